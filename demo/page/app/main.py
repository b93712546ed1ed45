"""Starts the page: connects, follows what changes, and answers what the visitor does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import atiha_web
from atiha_web import AtihaError, Client, PendingOperationsError, User

from . import member as members
from .browser import Frame, Tasks, by_id, document, on, window
from .catalogue import Catalogue
from .library import Library
from .member import Member
from .routes import Route, address, parse
from .shell import Dialog, Header, StatusBar, Toasts, close_menus, show_view
from .views import VIEWS, Landing, Page, View
from .views.view import Handler

CLOCK_SECONDS = 10.0
"""How often the words about time are brought up to date."""
FOR_GUESTS = {"home", "browse", "film", "watch", "login", "register"}


async def start(films: str, python_globals: dict[str, object]) -> None:
    """Called by boot.js with films.json; leaves `client` among the globals of `window.pyodide`."""
    client = await atiha_web.connect()
    python_globals["client"] = client
    App(client, Catalogue.read(films)).run()


class App:
    """The page as a whole; every change ends in one update per animation frame."""

    def __init__(self, client: Client, catalogue: Catalogue) -> None:
        self._client = client
        self._frame = Frame(self._update)
        self._tasks = Tasks(self._failed)
        self._library = Library(client, catalogue, self._frame.ask)
        self._catalogue = catalogue
        self._header, self._status = Header(), StatusBar()
        self._toasts, self._dialog = Toasts(), Dialog("confirm-logout")
        self._toast: asyncio.Task[None] | None = None
        self._user_id = client.user_id
        self._member: Member | None = None
        self._view: View | None = None
        self._page = Page(
            client,
            catalogue,
            self._library,
            self._tasks,
            self._say,
            self._go,
            self._welcome,
            self._frame.ask,
        )
        self._handlers: Mapping[str, Handler] = {
            "sync": self._sync,
            "toggle-watchlist": self._toggle_watchlist,
            "toggle-favorite": self._toggle_favorite,
            "logout": self._logout,
            "logout-drain": self._logout_drain,
            "logout-keep": self._logout_keep,
            "logout-discard": self._logout_discard,
            "dismiss-dialog": self._dismiss,
            "search": self._search,
            "skip": self._skip,
        }

    def run(self) -> None:
        """Listen, follow, and show the first view."""
        for event, name in (("click", "action"), ("change", "change"), ("input", "input")):
            on(document, event, self._listener(name))
        on(document, "submit", self._submitted)
        on(document, "keydown", self._pressed)
        on(document, "visibilitychange", self._hidden)
        on(window, "pagehide", self._hidden)
        on(window, "hashchange", lambda _event: self._route())
        for watcher in (*self._library.watchers(), self._follow_status(), self._tell_time()):
            self._tasks.start(watcher)
        self._signed(self._user_id)
        self._route()

    # What happens

    async def _follow_status(self) -> None:
        async for status in self._client.statuses():
            if status.user_id != self._user_id:
                # What it asks is for somebody who is gone, and nobody can type under it.
                self._dialog.close()
                self._signed(status.user_id)
                self._show(Route() if status.user_id is None else self._current_route())
            self._frame.ask()

    async def _tell_time(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            self._frame.ask()

    def _signed(self, user_id: str | None) -> None:
        self._user_id = user_id
        self._member = members.remembered(user_id) if user_id else None
        if self._member and not self._member.name:
            self._tasks.start(self._learn_name(self._member.id))

    async def _learn_name(self, user_id: str) -> None:
        # Without a network the menu has no name; the next visit asks again.
        with contextlib.suppress(AtihaError):
            self._welcome(await self._client.users.get_user(user_id))

    def _welcome(self, user: User) -> None:
        self._member = Member(user.id, user.name, user.email)
        members.remember(self._member)
        self._frame.ask()

    def _listener(self, name: str) -> Callable[[Any], None]:
        def heard(event: Any) -> None:
            if name == "action":
                close_menus(event.target)
            node = event.target.closest(f"[data-{name}]")
            if node:
                self._handle(str(node.getAttribute(f"data-{name}")), node)

        return heard

    def _submitted(self, event: Any) -> None:
        event.preventDefault()
        form = event.target
        self._handle(str(form.dataset.form), form)

    def _pressed(self, event: Any) -> None:
        typing = event.target.closest("input, textarea, select")
        if event.key == "Escape":
            close_menus()
        elif event.key == "/" and not typing:
            event.preventDefault()
            by_id("search").focus()

    def _hidden(self, _event: Any) -> None:
        if self._view and document.visibilityState == "hidden":
            self._tasks.start(self._view.left())

    def _handle(self, name: str, node: Any) -> None:
        handlers = {**self._handlers, **(self._view.handlers if self._view else {})}
        if handler := handlers.get(name):
            self._tasks.start(handler(node))

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, AtihaError):
            window.console.error(f"{type(error).__name__}: {error}")
        self._say(str(error) if isinstance(error, AtihaError) else "Something went wrong here.")

    # What is shown

    def _current_route(self) -> Route:
        return parse(str(window.location.hash))

    def _route(self) -> None:
        self._show(self._current_route())

    def _go(self, target: str) -> None:
        """Go to an address; another search or filter of the same view leaves no trace behind."""
        if self._view and parse(target).view == self._view.route.view:
            window.location.replace(target)
        else:
            window.location.hash = target

    def _show(self, route: Route) -> None:
        route = self._allowed(route)
        old = self._view
        if old and old.route.view == route.view and (old.__class__ is self._class_for(route)):
            old.route = route
        else:
            if old:
                old.close()
            self._view = self._class_for(route)(self._page, route)
            self._update()
            show_view(self._view.parts.root, self._view.title, first=old is None)
        self._header.show_route(route)
        self._frame.ask()

    def _allowed(self, route: Route) -> Route:
        if route.name in {"film", "watch"} and route.argument not in self._catalogue.films:
            return Route()
        if self._user_id is None:
            return route if route.name in FOR_GUESTS else Route("login")
        ended = self._client.status.state == "needs_auth"
        return Route() if route.name in {"login", "register"} and not ended else route

    def _class_for(self, route: Route) -> type[View]:
        return Landing if route.name == "home" and self._user_id is None else VIEWS[route.name]

    def _update(self) -> None:
        self._header.show_member(self._member)
        self._status.show(self._client.status)
        if self._view:
            self._view.update()

    def _say(self, words: str) -> None:
        if self._toast:
            self._toast.cancel()
        self._toast = self._tasks.start(self._toasts.show(words))

    # What the visitor does

    async def _sync(self, _button: Any) -> None:
        if self._client.status.state == "needs_auth":
            self._go(address("login"))
            return
        report = await self._client.sync()
        self._say("Everything is saved." if report.ok else report.message)

    async def _search(self, field: Any) -> None:
        parameters = self._current_route().parameters if self._at("browse") else {}
        self._go(address("browse", **{**parameters, "query": str(field.value).strip()}))

    def _at(self, name: str) -> bool:
        return self._view is not None and self._view.route.name == name

    async def _skip(self, _link: Any) -> None:
        by_id("view").focus()

    async def _toggle_watchlist(self, button: Any) -> None:
        await self._toggle("watchlist", button, "Added to your list.", "Taken off your list.")

    async def _toggle_favorite(self, button: Any) -> None:
        await self._toggle("favorites", button, "A favorite now.", "No favorite any more.")

    async def _toggle(self, collection: str, button: Any, added: str, removed: str) -> None:
        if self._user_id is None:
            self._say("Log in to keep lists.")
            self._go(address("login"))
            return
        film = self._catalogue.films[str(button.dataset.film)]
        self._say(added if await self._library.toggle(collection, film) else removed)

    async def _logout(self, _button: Any) -> None:
        try:
            await self._client.users.logout()
        except PendingOperationsError as error:
            self._dialog.ask(f"{_pending(error.pending)} not on the server yet. What shall we do?")
        else:
            self._left()

    async def _logout_drain(self, button: Any) -> None:
        self._dialog.close()
        await self._logout(button)

    async def _logout_keep(self, _button: Any) -> None:
        self._dialog.close()
        await self._client.users.logout(pending="keep")
        self._left()

    async def _logout_discard(self, _button: Any) -> None:
        self._dialog.close()
        await self._client.users.logout(pending="discard")
        self._left()

    def _left(self) -> None:
        members.remember(None)
        # The lists went before the session ended; whoever has moved on since stays there.
        if self._current_route().name not in FOR_GUESTS:
            self._go(address("home"))
        self._say("You are logged out.")

    async def _dismiss(self, _button: Any) -> None:
        self._dialog.close()


def _pending(count: int) -> str:
    return "One change is" if count == 1 else f"{count} changes are"
