"""What all views are made of."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..browser import Parts, Tasks, set_text

if TYPE_CHECKING:
    from atiha_web import Client, User

    from ..catalogue import Catalogue
    from ..library import Library
    from ..routes import Route

Handler = Callable[[Any], Coroutine[Any, Any, None]]
"""Answers an event that happened on an element; gets that element."""


@dataclass(frozen=True)
class Page:
    """What a view may use of the page around it."""

    client: Client
    catalogue: Catalogue
    library: Library
    tasks: Tasks
    toast: Callable[[str], None]
    go: Callable[[str], None]
    welcome: Callable[[User], None]
    """Tell the page who just signed in."""
    update: Callable[[], None]
    """Ask for `View.update` in the next frame."""


class View:
    """A view: a copy of a template, kept up to date until it is closed."""

    template: ClassVar[str]
    title = "Atiha"

    def __init__(self, page: Page, route: Route) -> None:
        self.page = page
        self.route = route
        self.parts = Parts(self.template)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Handlers by the name that elements have as data-action, -change, -input or -form."""
        return {}

    def update(self) -> None:
        """Show what is known now; called after every change, once per frame."""

    async def left(self) -> None:
        """Save what must not be lost: the page is hidden and may never come back."""

    def close(self) -> None:
        """Stop what the view started."""


class Empty:
    """Says in the place of a list why it is empty and what to do."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._parts: Parts | None = None

    def show(self, title: str, words: str, link: str, link_words: str) -> None:
        """Take the place of the list."""
        if self._parts is None:
            self._parts = Parts("empty")
            self._root.replaceChildren(self._parts.root)
        set_text(self._parts["title"], title)
        set_text(self._parts["words"], words)
        set_text(self._parts["link"], link_words)
        self._parts["link"].href = link

    def hide(self) -> None:
        """Leave the place to the list."""
        if self._parts is not None:
            self._parts = None
            self._root.replaceChildren()
