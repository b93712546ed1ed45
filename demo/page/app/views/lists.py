"""The visitor's lists as grids."""

from __future__ import annotations

from dataclasses import dataclass

from ..browser import set_text
from ..cards import CardList
from ..routes import Route
from ..words import films
from .view import Empty, Page, View


@dataclass(frozen=True)
class List:
    """A tab: what it is called, the collection behind it, and what it says when it is empty."""

    title: str
    collection: str
    empty: str
    words: str


LISTS = {
    "watchlist": List(
        "My list",
        "watchlist",
        "Your list is empty",
        "Press + on any poster and the film waits for you here, on every device.",
    ),
    "favorites": List(
        "Favorites",
        "favorites",
        "No favorites yet",
        "Open a film you love and press the heart.",
    ),
    "ratings": List(
        "Ratings and reviews",
        "ratings",
        "Nothing rated yet",
        "Give a film one to five stars; a review is welcome too.",
    ),
    "history": List(
        "Watch history",
        "watch_history",
        "Nothing watched yet",
        "Films you start appear here, with the place where you stopped.",
    ),
}


class Lists(View):
    """One of the visitor's lists."""

    template = "view-library"

    def __init__(self, page: Page, route: Route) -> None:
        super().__init__(page, route)
        self._list = LISTS.get(route.argument, LISTS["watchlist"])
        self.title = f"{self._list.title} · Atiha"
        set_text(self.parts["title"], self._list.title)
        for tab in self.parts.root.querySelectorAll("[data-tab]"):
            if LISTS[tab.dataset.tab] is self._list:
                tab.setAttribute("aria-current", "page")
        notes = {"ratings": page.library.review, "watch_history": page.library.viewing}
        note = notes.get(self._list.collection, lambda _film: "")
        self._cards = CardList(self.parts["cards"], note)
        self._empty = Empty(self.parts["empty"])

    def update(self) -> None:
        """See `View.update`."""
        shown = self.page.library.films(self._list.collection)
        set_text(self.parts["count"], films(len(shown)) if shown else "")
        self._cards.show(shown, self.page.library)
        if shown:
            self._empty.hide()
        else:
            self._empty.show(self._list.empty, self._list.words, "#/browse", "Browse the films")
