"""The web page: ``window.localStorage``, ``fetch``, Web Locks and the page's events.

Runs on Pyodide's main thread. What touches the browser goes through ``js/bridge.js``; names that
begin with ``js_`` hold JavaScript values.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Any

from pyodide.ffi import JsException, JsProxy, create_proxy, to_js

from atiha_web.backends.base import (
    Backend,
    Request,
    Response,
    Storage,
    StorageChange,
    Unsubscribe,
    Usage,
)
from atiha_web.backends.bridge import load_bridge
from atiha_web.backends.listeners import Listeners
from atiha_web.backends.local_storage import (
    QUOTA_UNITS,
    LocalStorageBase,
    flat_batches,
    storage_error,
)
from atiha_web.backends.memory import random_hex, system_clock
from atiha_web.backends.mirror import MirroredStorage, MirrorPolicy
from atiha_web.backends.page_mirror import PageMirror
from atiha_web.errors import NetworkError, RequestTimeoutError, StorageError

LONGEST_TIMER = 2**31 - 1
"""In ms; browsers run a longer timer at once."""


class PageStorage(LocalStorageBase):
    """``window.localStorage``; see ``Storage``. One ``setItem`` costs about 0.02 ms.

    Who listens with ``js_listener`` is told nothing of what is written here.
    """

    def __init__(self, js_bridge: JsProxy, js_listener: JsProxy) -> None:
        super().__init__()
        self._js_read = js_bridge.read
        self._js_write = js_bridge.writeAs(js_listener)
        self._js_keys = js_bridge.keys

    async def read(self, keys: Sequence[str]) -> list[str | None]:
        """See ``Storage.read``."""
        return self._listed(self._js_read, *keys)

    async def write(self, changes: Mapping[str, str | None]) -> None:
        """See ``Storage.write``. A batch is one call into JavaScript."""
        for batch in flat_batches(changes):
            js_failure = self._js_write(*batch)
            if js_failure is not None:
                raise storage_error(js_failure.name, js_failure.message)

    async def keys(self, prefix: str) -> list[str]:
        """See ``Storage.keys``."""
        # JavaScript sorts by UTF-16 unit, Python by code point.
        return sorted(self._listed(self._js_keys, prefix))

    def _listed(self, js_function: JsProxy, *arguments: str) -> list[Any]:
        try:
            found: list[Any] = js_function(*arguments).to_py()
        except JsException as error:
            raise storage_error(error.name, error.message) from error
        return found


class PageEnvironment:
    """The page's connectivity, visibility and Web Locks; see ``Environment``.

    ``online`` is how to learn the browser's hint. ``hidden`` is told when the page is hidden and
    again when it goes for good.
    """

    def __init__(self, js_bridge: JsProxy, online: Callable[[], bool]) -> None:
        self._js_bridge = js_bridge
        self._online = online
        self._listeners = Listeners[str]()

    def online(self) -> bool:
        """See ``Environment.online``."""
        return bool(self._online())

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
    """Asynchronous ``fetch``; see ``Transport``. Cookies go to the page's own origin only.

    ``base`` is the page's URL, where this is not the page.
    """

    keeps_cookies = True

    def __init__(self, js_bridge: JsProxy, base: str | None = None) -> None:
        self._js_bridge = js_bridge
        self.base = base

    async def request(self, request: Request) -> Response:
        """See ``Transport.request``."""
        js_exchange = self._js_bridge.request(
            request.url,
            request.method,
            json.dumps(dict(request.headers)),
            to_js(request.body),
            _milliseconds(request.timeout),
            self.base,
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
    environment = PageEnvironment(js_bridge, js_bridge.online)
    transport = PageTransport(js_bridge)
    mirrored = None

    def hear(what: str, key: str | None = None, value: str | None = None) -> None:
        if what == "storage":
            local.deliver(StorageChange(key, value))
        else:
            environment.signal(what)

    with ExitStack() as opening:
        js_hear = create_proxy(hear)
        opening.callback(js_hear.destroy)
        local = PageStorage(js_bridge, js_hear)
        opening.callback(js_bridge.listen(js_hear))
        if storage is None:
            # Fails now where the browser refuses, and makes it send us other documents' events.
            await local.read(["atiha_session"])
            if mirror is not None:
                mirrored = await mirrored_in_browser(js_bridge, local, mirror)
                opening.callback(mirrored.close)
        opened = opening.pop_all()
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
        usage=None if storage is not None else _usage(js_bridge),
        send_last=transport.send_last,
    )


async def mirrored_in_browser(
    js_bridge: JsProxy, local: Storage, policy: MirrorPolicy
) -> MirroredStorage:
    """Keep some of ``local`` in the browser's database too; brings back what it lost.

    Raises:
        StorageUnavailableError: ``local`` cannot be used.
    """
    mirrored = MirroredStorage(local, policy)
    try:
        await mirrored.open(PageMirror.open(js_bridge, mirrored.lose), system_clock())
    except StorageError:
        mirrored.close()
        raise
    return mirrored


def _usage(js_bridge: JsProxy) -> Callable[[], Awaitable[Usage]]:
    async def usage() -> Usage:
        return Usage(js_bridge.used(), QUOTA_UNITS)

    return usage


def _persist(js_bridge: JsProxy) -> Callable[[bool], Awaitable[bool]]:
    async def persist(ask: bool) -> bool:
        return bool(await js_bridge.persisted(ask))

    return persist
