"""One film: facts, play, lists, rating."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..browser import document, set_attribute, set_shown, set_text
from ..cards import Rows, draw_meter, draw_poster
from ..catalogue import Film, Shelf
from ..routes import Route
from ..words import running_time
from .view import Handler, Page, View


class FilmPage(View):
    """The page of a film."""

    template = "view-film"

    def __init__(self, page: Page, route: Route) -> None:
        super().__init__(page, route)
        self._film = page.catalogue.films[route.argument]
        self.title = f"{self._film.title} ({self._film.year}) · Atiha"
        self._rows = Rows(self.parts["rows"])
        self._draw(self._film)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """See `View.handlers`."""
        return {"star": self._rate, "rating": self._review, "remove-rating": self._unrate}

    def _draw(self, film: Film) -> None:
        draw_poster(self.parts, film)
        facts = {
            "eyebrow": f"{film.year} · {film.genre}",
            "title": film.title,
            "lede": film.sentence,
            "director-label": "Directors" if len(film.directors) > 1 else "Director",
            "director": ", ".join(film.directors),
            "year": str(film.year),
            "runtime": running_time(film.minutes),
            "genre": film.genre,
            "country": film.country,
            "sound": "Silent" if film.silent else "With sound",
        }
        for name, words in facts.items():
            set_text(self.parts[name], words)
        self.parts["play"].href = f"#/watch/{film.id}"
        for name in ("watchlist", "favorite"):
            self.parts[name].dataset.film = film.id

    def update(self) -> None:
        """See `View.update`."""
        library, film = self.page.library, self._film
        listed = library.entry("watchlist", film) is not None
        loved = library.entry("favorites", film) is not None
        set_attribute(self.parts["watchlist"], "aria-pressed", "true" if listed else "false")
        set_attribute(self.parts["favorite"], "aria-pressed", "true" if loved else "false")
        set_text(self.parts["play"], "Resume" if library.time_left(film) else "Play")
        draw_meter(self.parts, library, film)
        self._show_rating()
        like = Shelf("More like this", self.page.catalogue.like(film))
        self._rows.show([like], library)

    def _show_rating(self) -> None:
        entry = self.page.library.entry("ratings", self._film)
        rating, review = (entry.rating, entry.review or "") if entry else (0, "")
        for box in self.parts["rating"].querySelectorAll("input"):
            box.checked = int(box.value) == rating
        field = self.parts["review"]
        if document.activeElement.isSameNode(field) is False and not self._drafting():
            field.value = field.defaultValue = review
        for name in ("review-label", "rating-buttons"):
            set_shown(self.parts[name], entry is not None)

    def _drafting(self) -> bool:
        """Whether the visitor wrote something that is not saved."""
        field = self.parts["review"]
        return bool(field.value != field.defaultValue)

    async def _rate(self, box: Any) -> None:
        if not self.page.library.user_id:
            self._show_rating()
            self.page.toast("Log in to rate films.")
            self.page.go("#/login")
            return
        entry = self.page.library.entry("ratings", self._film)
        await self.page.library.rate(self._film, int(box.value), entry.review if entry else None)
        self.page.toast(f"You gave it {box.value} of 5.")

    async def _review(self, _form: Any) -> None:
        entry = self.page.library.entry("ratings", self._film)
        if entry is None:
            self.page.toast("Choose some stars first.")
            return
        field = self.parts["review"]
        review = str(field.value).strip()
        await self.page.library.rate(self._film, entry.rating, review)
        field.value = field.defaultValue = review
        self.page.toast("Review saved.")

    async def _unrate(self, _button: Any) -> None:
        await self.page.library.unrate(self._film)
        self.parts["rating"].reset()
        self.page.toast("Rating removed.")
