"""The web page: ``window.localStorage``, ``fetch``, Web Locks and the page's events.

Runs on Pyodide's main thread. What touches the browser goes through ``js/bridge.js``; names that
begin with ``js_`` hold JavaScript values.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from importlib.resources import files
from itertools import chain, islice
from typing import Any

import js
from pyodide.ffi import JsException, JsProxy, create_proxy, to_js
from pyodide.ffi.wrappers import add_event_listener, remove_event_listener

from atiha_web.backends.base import (
    Backend,
    Level,
    Request,
    Response,
    Storage,
    StorageChange,
    Unsubscribe,
)
from atiha_web.backends.listeners import Listeners
from atiha_web.backends.memory import random_hex, system_clock
from atiha_web.backends.mirror import MirroredStorage, MirrorPolicy
from atiha_web.backends.page_mirror import PageMirror
from atiha_web.errors import (
    NetworkError,
    PlatformError,
    RequestTimeoutError,
    SaveError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)

BRIDGE_VERSION = 2
CHANGES_PER_CALL = 5_000
"""Browsers bound the number of arguments of one call; none below 65,535."""
LONGEST_TIMER = 2**31 - 1
"""In ms; browsers run a longer timer at once."""
FULL = ("QuotaExceededError", "NS_ERROR_DOM_QUOTA_REACHED")
"""What browsers call the error of a full storage."""


class PageStorage:
    """``window.localStorage``; see ``Storage``. One ``setItem`` costs about 0.02 ms."""

    def __init__(self, js_bridge: JsProxy) -> None:
        self._js_read = js_bridge.read
        self._js_write = js_bridge.write
        self._js_keys = js_bridge.keys
        self._listeners = Listeners[StorageChange]()

    async def read(self, keys: Sequence[str]) -> list[str | None]:
        """See ``Storage.read``."""
        return self._listed(self._js_read, *keys)

    async def write(self, changes: Mapping[str, str | None]) -> None:
        """See ``Storage.write``. A batch is one call into JavaScript."""
        pairs = iter(changes.items())
        while part := tuple(chain.from_iterable(islice(pairs, CHANGES_PER_CALL))):
            js_failure = self._js_write(*part)
            if js_failure is not None:
                raise storage_error(js_failure)

    async def keys(self, prefix: str) -> list[str]:
        """See ``Storage.keys``."""
        # JavaScript sorts by UTF-16 unit, Python by code point.
        return sorted(self._listed(self._js_keys, prefix))

    async def flush(self, level: Level) -> None:
        """Promises ``local`` only: a browser writes localStorage to the disk seconds later."""
        if level != "local":
            raise SaveError(
                f"localStorage alone cannot promise {level!r}: a killed browser may lose the last "
                "seconds; wait for 'local', or for the server's acknowledgement"
            )

    def subscribe(self, listener: Callable[[StorageChange], None]) -> Unsubscribe:
        """See ``Storage.subscribe``."""
        return self._listeners.add(listener)

    def deliver(self, change: StorageChange) -> None:
        """Tell the listeners of a change made by another document."""
        self._listeners.tell(change)

    def _listed(self, js_function: JsProxy, *arguments: str) -> list[Any]:
        try:
            found: list[Any] = js_function(*arguments).to_py()
        except JsException as error:
            raise storage_error(error) from error
        return found


def storage_error(js_failure: JsProxy | JsException) -> StorageError:
    """The error for what localStorage raised, which has a ``name`` and a ``message``."""
    if js_failure.name in FULL:
        return StorageFullError(
            "this browser's storage for this site is full; sync, then remove what is not needed"
        )
    return StorageUnavailableError(
        "this browser does not let the site keep data; allow cookies and site data for it and "
        f"reload the page ({js_failure.name}: {js_failure.message})"
    )


class PageEnvironment:
    """The page's connectivity, visibility and Web Locks; see ``Environment``.

    ``hidden`` is told when the page is hidden and again when it goes for good.
    """

    def __init__(self, js_bridge: JsProxy) -> None:
        self._js_bridge = js_bridge
        self._listeners = Listeners[str]()

    def online(self) -> bool:
        """See ``Environment.online``."""
        return bool(self._js_bridge.online())

    def subscribe(self, listener: Callable[[str], None]) -> Unsubscribe:
        """See ``Environment.subscribe``."""
        return self._listeners.add(listener)

    def signal(self, name: str) -> None:
        """Tell the listeners of one of ``SIGNALS``."""
        self._listeners.tell(name)

    def lock(self, name: str, timeout: float) -> AbstractAsyncContextManager[bool]:
        """See ``Environment.lock``. Without Web Locks (no secure context) it is never had."""
        return _hold(self._js_bridge, name, _milliseconds(timeout))


@asynccontextmanager
async def _hold(js_bridge: JsProxy, name: str, patience_ms: float) -> AsyncIterator[bool]:
    js_lock = js_bridge.lock(name, patience_ms)
    try:
        yield await js_lock.held
    finally:
        js_lock.release()


class PageTransport:
    """Asynchronous ``fetch``; see ``Transport``. Cookies go to the page's own origin only."""

    keeps_cookies = True

    def __init__(self, js_bridge: JsProxy) -> None:
        self._js_bridge = js_bridge

    async def request(self, request: Request) -> Response:
        """See ``Transport.request``."""
        js_exchange = self._js_bridge.request(
            request.url,
            request.method,
            json.dumps(dict(request.headers)),
            to_js(request.body),
            _milliseconds(request.timeout),
        )
        try:
            js_reply = await js_exchange.reply
        finally:
            # Where this task was cancelled the request must not go on behind its back.
            js_exchange.cancel()
        return _response(request, js_reply)

    def send_last(self, request: Request) -> None:
        """See ``Backend.send_last``; the browser bounds all of them under way to 64 KiB."""
        self._js_bridge.sendLast(
            request.url, request.method, json.dumps(dict(request.headers)), to_js(request.body)
        )

    async def close(self) -> None:
        """Nothing to release: the browser owns the connections."""


def _response(request: Request, js_reply: JsProxy) -> Response:
    failure = getattr(js_reply, "failure", None)
    if failure == "timeout":
        raise RequestTimeoutError(f"no answer within {request.timeout:g} s")
    if failure is not None:
        raise NetworkError(f"the server cannot be reached: {js_reply.message}")
    return Response(
        status=js_reply.status,
        headers=js_reply.headers.to_py(),
        body=js_reply.body.to_bytes(),
        url=js_reply.url,
    )


def _milliseconds(seconds: float) -> float:
    return min(seconds * 1000, LONGEST_TIMER)


async def page_backend(
    *,
    storage: Storage | None = None,
    bridge_url: str | None = None,
    js_window: JsProxy | None = None,
    mirror: MirrorPolicy | None = None,
) -> Backend:
    """Open the page as a backend.

    Args:
        storage: What to use in place of ``localStorage``, for instance a ``MemoryStorage``.
        bridge_url: Where ``bridge.js`` is served; see ``load_bridge``.
        js_window: Another window of this origin, such as an iframe's; this one by default.
        mirror: What of ``localStorage`` to keep in the browser's database too, and how to bring it
            back; without it ``disk`` is not promised.

    Raises:
        StorageUnavailableError: the browser blocks ``localStorage`` for this site.
        PlatformError: ``bridge.js`` cannot be loaded.
    """
    js_bridge = await load_bridge(bridge_url, js_window)
    local, environment = PageStorage(js_bridge), PageEnvironment(js_bridge)
    transport = PageTransport(js_bridge)
    mirrored = None
    opened = ExitStack()
    if storage is None:
        # Fails now where the browser refuses, and makes it send us the events of other documents.
        await local.read(["atiha_session"])
        if mirror is not None:
            mirrored = await _mirrored(js_bridge, local, mirror)
            opened.callback(mirrored.close)

    def hear(what: str, key: str | None = None, value: str | None = None) -> None:
        if what == "storage":
            local.deliver(StorageChange(key, value))
        else:
            environment.signal(what)

    js_hear = create_proxy(hear)
    opened.callback(js_hear.destroy)
    opened.callback(js_bridge.listen(js_hear))
    return Backend(
        storage=storage or mirrored or local,
        transport=transport,
        environment=environment,
        now_ms=system_clock,
        random=random.random,
        random_hex=random_hex,
        close=opened.close,
        is_mirrored=mirrored is not None,
        storage_problems=tuple if mirrored is None else mirrored.problems,
        persist=None if storage is not None else _persist(js_bridge),
        send_last=transport.send_last,
    )


async def _mirrored(
    js_bridge: JsProxy, local: PageStorage, policy: MirrorPolicy
) -> MirroredStorage:
    mirrored = MirroredStorage(local, policy)
    try:
        await mirrored.open(PageMirror.open(js_bridge, mirrored.lose), system_clock())
    except StorageError:
        mirrored.close()
        raise
    return mirrored


def _persist(js_bridge: JsProxy) -> Callable[[bool], Awaitable[bool]]:
    async def persist(ask: bool) -> bool:
        return bool(await js_bridge.persisted(ask))

    return persist


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


def _found(js_window: JsProxy) -> JsProxy | None:
    js_bridge = getattr(js_window, "atihaBridge", None)
    return js_bridge if getattr(js_bridge, "version", None) == BRIDGE_VERSION else None


@contextmanager
def _packaged_script() -> Iterator[str]:
    text = files("atiha_web").joinpath("js/bridge.js").read_text("utf-8")
    js_options = to_js({"type": "text/javascript"}, dict_converter=js.Object.fromEntries)
    url = js.URL.createObjectURL(js.Blob.new(to_js([text]), js_options))
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
