"""The page's only door to JavaScript: nodes, templates, events, frames and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import js
from pyodide.ffi import create_once_callable, create_proxy, to_js
from pyodide.ffi.wrappers import add_event_listener

document: Any = js.document
window: Any = js.window
DOWNLOAD_MS = 60_000


def by_id(element_id: str) -> Any:
    """An element that index.html has."""
    return document.getElementById(element_id)


class Parts:
    """A copy of a template; its parts are found by their name, once."""

    def __init__(self, template_id: str) -> None:
        self.root: Any = by_id(template_id).content.firstElementChild.cloneNode(True)
        self._found: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """The part `name`; the root itself may be a part."""
        if name not in self._found:
            selector = f'[data-part="{name}"]'
            self._found[name] = self.root.querySelector(selector) or self.root
        return self._found[name]


def set_text(node: Any, words: str) -> None:
    """Write a text, unless it stands there."""
    if node.textContent != words:
        node.textContent = words


def set_shown(node: Any, shown: bool) -> None:
    """Show or hide a node."""
    if bool(node.hidden) == shown:
        node.hidden = not shown


def set_attribute(node: Any, name: str, value: str) -> None:
    """Write an attribute, unless it stands there."""
    if node.getAttribute(name) != value:
        node.setAttribute(name, value)


def option(value: str, words: str) -> Any:
    """One choice of a select."""
    node = document.createElement("option")
    node.value, node.textContent = value, words
    return node


def download(name: str, text: str) -> None:
    """Offer a text in JSON as a file."""
    options = to_js({"type": "application/json"}, dict_converter=js.Object.fromEntries)
    link = document.createElement("a")
    link.href = js.URL.createObjectURL(js.Blob.new(to_js([text]), options))
    link.download = name
    link.click()
    # Some browsers read it only after the click.
    forget = create_once_callable(lambda: js.URL.revokeObjectURL(link.href))
    window.setTimeout(forget, DOWNLOAD_MS)


def on(target: Any, event: str, handler: Callable[[Any], None]) -> None:
    """Listen for as long as the page lives."""
    add_event_listener(target, event, handler)


class Frame:
    """Runs one function at most once per animation frame, however often it is asked for."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._js_run = create_proxy(self._run)
        self._asked = False

    def ask(self) -> None:
        """Run the function in the next frame."""
        if not self._asked:
            self._asked = True
            window.requestAnimationFrame(self._js_run)

    def _run(self, _time: float) -> None:
        self._asked = False
        self._function()


class Tasks:
    """Tasks that somebody looks after: what goes wrong in one is told to `on_error`."""

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error
        self._running: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine, at once up to where it first waits.

        So a write that a click asked for is in storage before the click's event is over, and a
        reload right after it loses nothing.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.Task(coroutine, loop=loop, eager_start=True)  # type: ignore[call-arg]
        if task.done():
            self._finished(task)
        else:
            self._running.add(task)
            task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._on_error(error)
