"""Documents in one page for the contract checks. Runs inside Pyodide, where tests copy it to."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import js
from pyodide.ffi import to_js
from pyodide.ffi.wrappers import add_event_listener, remove_event_listener

from atiha_web.backends.base import Backend, Environment, Storage, Transport
from atiha_web.backends.page import page_backend

kept: dict[str, Any] = {}
"""What one step of a test leaves for the next, when something happens to the browser between."""


class Documents:
    """The page itself and iframes in it, which share its origin; as a context manager."""

    quota = 6_000_000

    def __init__(self) -> None:
        self._backends: list[Backend] = []
        self._js_frames: list[Any] = []
        self._js_windows: dict[int, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for backend in self._backends:
            backend.close()
        for js_frame in self._js_frames:
            js_frame.remove()

    def frame(self) -> Any:
        """The window of a new iframe."""
        js_frame = js.document.createElement("iframe")
        js.document.body.append(js_frame)
        self._js_frames.append(js_frame)
        return js_frame.contentWindow

    async def page(self, url: str) -> Any:
        """The window of a new iframe that shows a page of this origin."""
        js_frame = js.document.createElement("iframe")
        js_frame.src = url
        self._js_frames.append(js_frame)
        loaded = asyncio.Event()

        def on_load(_: Any) -> None:
            loaded.set()

        add_event_listener(js_frame, "load", on_load)
        js.document.body.append(js_frame)
        await loaded.wait()
        remove_event_listener(js_frame, "load", on_load)
        return js_frame.contentWindow

    async def backend(self, js_window: Any) -> Backend:
        """The backend of a window."""
        backend = await page_backend(js_window=js_window)
        self._backends.append(backend)
        self._js_windows[id(backend.environment)] = js_window
        return backend

    async def clear(self) -> None:
        self.frame().localStorage.clear()

    async def happen(self, environment: Environment, signal: str) -> None:
        js_window = self._js_windows[id(environment)]
        if signal in ("online", "offline"):
            override(js_window.navigator, "onLine", signal == "online")
            js_window.dispatchEvent(js_window.Event.new(signal))
        else:
            override(js_window.document, "visibilityState", signal)
            js_window.document.dispatchEvent(js_window.Event.new("visibilitychange"))


def override(js_object: Any, name: str, value: object) -> None:
    """Let a JavaScript object say something else than the browser does."""
    options = to_js({"value": value, "configurable": True}, dict_converter=js.Object.fromEntries)
    js.Object.defineProperty(js_object, name, options)


class PageOrigin(Documents):
    """For the checks of storage: the first document is the page."""

    async def open(self) -> Storage:
        js_window = self.frame() if self._backends else js.window
        return (await self.backend(js_window)).storage


class PageWorld(Documents):
    """For the checks of environments: iframes only, so that what they are told ends with them."""

    async def open(self) -> Environment:
        return (await self.backend(self.frame())).environment


class PageNetwork(Documents):
    """For the checks of transports."""

    def __init__(self, url: str, dead_url: str) -> None:
        super().__init__()
        self.url = url
        self.dead_url = dead_url

    async def open(self) -> Transport:
        return (await self.backend(js.window)).transport


@contextmanager
def blocked_storage(js_window: Any) -> Iterator[None]:
    """Let a window refuse its storage, as a browser does where cookies are blocked."""
    js_own = js.Object.getOwnPropertyDescriptor(js_window, "localStorage")
    js_refuse = js_window.Function.new(
        "throw new DOMException('access is denied', 'SecurityError')"
    )
    js_blocked = to_js(
        {"get": js_refuse, "configurable": True}, dict_converter=js.Object.fromEntries
    )
    js.Object.defineProperty(js_window, "localStorage", js_blocked)
    try:
        yield
    finally:
        js.Object.defineProperty(js_window, "localStorage", js_own)
