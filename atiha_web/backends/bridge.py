"""Where Python finds ``js/bridge.js``, or loads it; ``js_`` begins the names of JS values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files

import js
from pyodide.code import run_js
from pyodide.ffi import JsException, JsProxy, to_js
from pyodide.ffi.wrappers import add_event_listener, remove_event_listener

from atiha_web.errors import PlatformError

BRIDGE_VERSION = 4


def script(name: str) -> str:
    """The text of one of this package's scripts."""
    return files("atiha_web").joinpath("js", name).read_text("utf-8")


async def load_bridge(bridge_url: str | None = None, js_window: JsProxy | None = None) -> JsProxy:
    """Find ``bridge.js`` in a window, or load it there.

    Best is a page that loads it itself, beside Pyodide: ``<script src="/atiha/bridge.js">``. Else
    it is loaded from ``bridge_url``, relative to the page. Else the file of this package is loaded
    as a blob, which a Content-Security-Policy without ``blob:`` refuses.

    Raises:
        PlatformError: none of these gave the version that this package needs.
    """
    js_window = js.window if js_window is None else js_window
    if bridge_url is not None and _found(js_window) is None:
        await _run_script(js_window, bridge_url)
    if _found(js_window) is None:
        with _packaged_script() as url:
            await _run_script(js_window, url)
    js_bridge = _found(js_window)
    if js_bridge is None:
        raise PlatformError(
            f"bridge.js of version {BRIDGE_VERSION} could not be loaded: serve this package's "
            "js/bridge.js from the page's origin, for instance as /atiha/bridge.js, and add "
            '<script src="/atiha/bridge.js"></script> to the page or give its URL as bridge_url'
        )
    return js_bridge


def load_bridge_in_worker() -> JsProxy:
    """Find ``bridge.js`` in this worker, or run this package's.

    Raises:
        PlatformError: a Content-Security-Policy of the worker without ``'unsafe-eval'`` refused it.
    """
    if _found(js.globalThis) is None:
        # Python in a worker cannot load a script by its URL without an evaluated `import` either.
        with suppress(JsException):
            run_js(script("bridge.js"))
    js_bridge = _found(js.globalThis)
    if js_bridge is None:
        raise PlatformError(
            f"bridge.js of version {BRIDGE_VERSION} could not be loaded: serve this package's "
            "js/bridge.js from the page's origin, for instance as /atiha/bridge.js, and begin the "
            'worker\'s own script with import "/atiha/bridge.js"'
        )
    return js_bridge


def _found(js_global: JsProxy) -> JsProxy | None:
    js_bridge = getattr(js_global, "atihaBridge", None)
    return js_bridge if getattr(js_bridge, "version", None) == BRIDGE_VERSION else None


@contextmanager
def _packaged_script() -> Iterator[str]:
    js_options = to_js({"type": "text/javascript"}, dict_converter=js.Object.fromEntries)
    url = js.URL.createObjectURL(js.Blob.new(to_js([script("bridge.js")]), js_options))
    try:
        yield url
    finally:
        js.URL.revokeObjectURL(url)


async def _run_script(js_window: JsProxy, url: str) -> None:
    """Return once the window ran the script or could not; the caller looks for what it set."""
    settled = asyncio.Event()

    def settle(_: JsProxy) -> None:
        settled.set()

    js_script = js_window.document.createElement("script")
    js_script.src = url
    for event in ("load", "error"):
        add_event_listener(js_script, event, settle)
    js_window.document.head.append(js_script)
    try:
        await settled.wait()
    finally:
        js_script.remove()
        for event in ("load", "error"):
            remove_event_listener(js_script, event, settle)
