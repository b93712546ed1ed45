"""All films: search, filters, order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..browser import by_id, option, set_shown, set_text
from ..cards import CardList
from ..catalogue import Filters
from ..routes import Route, address
from ..words import films
from .view import Empty, Handler, Page, View

SELECTS = ("genre", "decade", "sound", "sort")
FIELDS = ("query", *SELECTS)


class Browse(View):
    """The catalogue as a grid."""

    template = "view-browse"
    title = "Browse · Atiha"

    def __init__(self, page: Page, route: Route) -> None:
        super().__init__(page, route)
        self._cards = CardList(self.parts["cards"])
        self._empty = Empty(self.parts["empty"])
        self._fill_filters()

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """See `View.handlers`."""
        return {"filter": self._filter, "clear-filters": self._clear}

    def update(self) -> None:
        """See `View.update`."""
        filters = Filters(**{k: v for k, v in self.route.parameters.items() if k in FIELDS})
        for name in SELECTS:
            self.parts[name].value = getattr(filters, name)
        found = self.page.catalogue.find(filters)
        set_text(self.parts["title"], f"“{filters.query}”" if filters.query else "Browse")
        set_text(self.parts["count"], films(len(found)))
        set_shown(self.parts["clear"], filters.narrow)
        self._cards.show(found, self.page.library)
        if found:
            self._empty.hide()
        else:
            words = "Try another word, a director, a year, or fewer filters."
            self._empty.show("No film matches", words, "#/browse", "See all films")

    def _fill_filters(self) -> None:
        catalogue = self.page.catalogue
        genres = [option("", "All genres"), *(option(name, name) for name in catalogue.genres)]
        decades = [option(str(year), f"{year}s") for year in catalogue.decades]
        self.parts["genre"].replaceChildren(*genres)
        self.parts["decade"].replaceChildren(option("", "All decades"), *decades)

    async def _filter(self, _select: Any) -> None:
        chosen = {name: str(self.parts[name].value) for name in SELECTS}
        query = self.route.parameters.get("query", "")
        self.page.go(address("browse", query=query, **chosen))

    async def _clear(self, _button: Any) -> None:
        by_id("search").value = ""
        self.page.go(address("browse"))
