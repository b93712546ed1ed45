"""The first page, of a guest and of a member."""

from __future__ import annotations

from datetime import UTC, datetime

from ..browser import set_text
from ..cards import CardList, Rows, draw_meter, paint
from ..catalogue import Film, Shelf
from ..routes import Route
from .view import Page, View

WALL = 28


class Landing(View):
    """What a guest sees first."""

    template = "view-landing"
    title = "Atiha: films that belong to everyone"

    def __init__(self, page: Page, route: Route) -> None:
        super().__init__(page, route)
        films = list(page.catalogue.films.values())
        # Neighbours in the wall should not be of one year.
        wall = [films[n * 37 % len(films)] for n in range(WALL)]
        CardList(self.parts["wall"]).show(wall, page.library)
        for link in self.parts["wall"].querySelectorAll("a"):
            link.tabIndex = -1
        self._rows = Rows(self.parts["rows"])
        self._shelves = page.catalogue.shelves()[:3]

    def update(self) -> None:
        """See `View.update`."""
        self._rows.show(self._shelves, self.page.library)


class Home(View):
    """What a member sees first: the film to go on with, their lists, and shelves."""

    template = "view-home"
    title = "Home · Atiha"

    def __init__(self, page: Page, route: Route) -> None:
        super().__init__(page, route)
        self._featured: Film | None = None
        self._rows = Rows(self.parts["rows"])
        self._shelves = page.catalogue.shelves()

    def update(self) -> None:
        """See `View.update`."""
        library = self.page.library
        unfinished = library.unfinished()
        self._feature(unfinished)
        own = [
            Shelf("Continue watching", unfinished, "#/library/history"),
            Shelf("My list", library.films("watchlist"), "#/library/watchlist"),
            Shelf("Favorites", library.films("favorites"), "#/library/favorites"),
        ]
        self._rows.show([*own, *self._shelves], library)

    def _feature(self, unfinished: list[Film]) -> None:
        films = list(self.page.catalogue.films.values())
        today = films[datetime.now(UTC).toordinal() * 29 % len(films)]
        film = unfinished[0] if unfinished else today
        if film is not self._featured:
            self._featured = film
            paint(self.parts, film)
            self.parts["hero"].dataset.palette = film.poster.palette
            set_text(self.parts["title"], film.title)
            set_text(self.parts["lede"], f"{film.year}. {film.sentence}")
            self.parts["play"].href = f"#/watch/{film.id}"
            self.parts["details"].href = f"#/film/{film.id}"
        set_text(self.parts["eyebrow"], "Continue watching" if unfinished else "Film of the day")
        set_text(self.parts["play"], "Resume" if unfinished else "Play")
        draw_meter(self.parts, self.page.library, film)
