"""A worker, such as a notebook's kernel: the page's ``localStorage`` and events, from a distance.

``js/serve.js`` in the page answers; see there for how pages and kernels find each other. Requests,
locks and the mirror are the worker's own. Names that begin with ``js_`` hold JavaScript values.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import js
from pyodide.ffi import JsException, JsProxy, create_proxy, to_js

from atiha_web.backends.base import SIGNALS, Backend, Request, Storage, StorageChange, Usage
from atiha_web.backends.bridge import BRIDGE_VERSION, load_bridge_in_worker
from atiha_web.backends.local_storage import (
    QUOTA_UNITS,
    LocalStorageBase,
    flat_batches,
    storage_error,
)
from atiha_web.backends.memory import random_hex, system_clock
from atiha_web.backends.mirror import MirrorPolicy
from atiha_web.backends.notebook import shown_script
from atiha_web.backends.page import PageEnvironment, PageTransport, mirrored_in_browser
from atiha_web.backends.page_link import PageLink
from atiha_web.errors import PlatformError

HELLO = "atiha-web"
UNASKED_SECONDS = 0.5
"""How long a page may take to answer by itself, until a notebook shows it the script."""
MIRROR_PAUSE = 0.01
"""Seconds of which changes are mirrored together: a transaction takes longer here than a write."""
SERVED_SECONDS = 5.0
"""How long it may take in all."""


class WorkerStorage(LocalStorageBase):
    """The page's ``localStorage``; see ``Storage``. One call takes about 1 ms."""

    def __init__(self, link: PageLink) -> None:
        super().__init__()
        self._ask = link.ask

    async def read(self, keys: Sequence[str]) -> list[str | None]:
        """See ``Storage.read``."""
        if not keys:
            return []
        found: list[str | None] = await self._ask("read", *keys)
        return found

    async def write(self, changes: Mapping[str, str | None]) -> None:
        """See ``Storage.write``. A batch is one message."""
        for batch in flat_batches(changes):
            failure = await self._ask("write", *batch)
            if failure is not None:
                raise storage_error(failure["name"], failure["message"])

    async def keys(self, prefix: str) -> list[str]:
        """See ``Storage.keys``."""
        # JavaScript sorts by UTF-16 unit, Python by code point.
        return sorted(await self._ask("keys", prefix))


async def worker_backend(
    *,
    storage: Storage | None = None,
    mirror: MirrorPolicy | None = None,
) -> Backend:
    """Open a page of this origin as the backend of this worker.

    Args:
        storage: What to use in place of the page's ``localStorage``, for instance a
            ``MemoryStorage``; then no page is needed, and none is heard.
        mirror: What of ``localStorage`` to keep in the browser's database too; see
            ``page_backend``.

    Raises:
        PlatformError: no page answers, or the worker cannot load what it needs.
        StorageUnavailableError: the browser blocks ``localStorage`` for this site.
    """
    js_bridge = load_bridge_in_worker()
    if storage is not None:
        return _without_a_page(js_bridge, storage)
    _require_locks()
    mirrored = None
    with ExitStack() as opening:
        link = await _linked(js_bridge, opening)
        local = WorkerStorage(link)
        environment = PageEnvironment(js_bridge, lambda: link.online)
        link.news.add(lambda news: _pass_on(news, local, environment))
        # Fails now where the browser refuses.
        await local.read(["atiha_session"])
        if mirror is not None:
            policy = replace(mirror, pause=MIRROR_PAUSE)
            mirrored = await mirrored_in_browser(js_bridge, local, policy)
            opening.callback(mirrored.close)
        opened = opening.pop_all()

    def problems() -> tuple[str, ...]:
        lost = () if link.is_served else ("no page of this site answers for its storage now",)
        return (*lost, *(() if mirrored is None else mirrored.problems()))

    return Backend(
        storage=mirrored or local,
        transport=PageTransport(js_bridge, link.base),
        environment=environment,
        now_ms=system_clock,
        random=random.random,
        random_hex=random_hex,
        close=opened.close,
        is_mirrored=mirrored is not None,
        storage_problems=problems,
        persist=lambda ask: _persist(js_bridge, link, ask),
        usage=lambda: _usage(link),
        send_last=lambda request: _send_last(link, request),
    )


def _pass_on(news: tuple[Any, ...], local: WorkerStorage, environment: PageEnvironment) -> None:
    what, *values = news
    if what == "storage":
        local.deliver(StorageChange(*values))
    elif what in SIGNALS:
        environment.signal(what)


def _without_a_page(js_bridge: JsProxy, storage: Storage) -> Backend:
    transport = PageTransport(js_bridge, js.location.origin)
    return Backend(
        storage=storage,
        transport=transport,
        environment=PageEnvironment(js_bridge, js_bridge.online),
        now_ms=system_clock,
        random=random.random,
        random_hex=random_hex,
        close=lambda: None,
        send_last=transport.send_last,
    )


def _require_locks() -> None:
    if not hasattr(js.navigator, "locks"):
        raise PlatformError(
            "a worker needs Web Locks, which browsers have in secure contexts only: serve the site "
            "over https, or from localhost"
        )


async def _usage(link: PageLink) -> Usage:
    return Usage(await link.ask("used"), QUOTA_UNITS)


async def _persist(js_bridge: JsProxy, link: PageLink, ask: bool) -> bool:
    if ask:
        # Only a page may ask, and a person may take their time: what came of it shows later.
        link.tell("persisted", True)
    return bool(await js_bridge.persisted(False))


def _send_last(link: PageLink, request: Request) -> None:
    """The page sends it: what a worker sends ends with the worker."""
    headers = json.dumps(dict(request.headers))
    link.tell("sendLast", request.url, request.method, headers, request.body)


# -- finding a page ------------------------------------------------------------------------


async def _linked(js_bridge: JsProxy, opening: ExitStack) -> PageLink:
    """A link that a page serves; leaving ``opening`` ends it, and the page's part in it.

    Raises:
        PlatformError: no page answers.
    """
    name = f"atiha:{random_hex(32)}"
    # Held as long as the kernel lives: the browser tells pages of its end.
    js_life = js_bridge.lock(f"{name}:kernel", 0)
    opening.callback(js_life.release)
    try:
        await js_life.held
    except JsException as error:
        raise PlatformError(
            "the browser keeps this worker apart from all pages, as that of a sandboxed frame: "
            f"let the frame have its site's origin (allow-same-origin in its sandbox; {error})"
        ) from error
    js_channel = js.BroadcastChannel.new(name)
    opening.callback(js_channel.close)
    # Looked up once: each look into JavaScript takes a part of a message's time.
    js_post = js_channel.postMessage
    link = PageLink(
        lambda message: js_post(to_js(message)),
        lambda: js_bridge.steal(f"{name}:page"),
        system_clock,
    )
    opening.callback(link.close)
    opening.enter_context(_heard(js_channel, link.hear))
    refusals: list[int] = []
    opening.enter_context(_greeting(name, refusals))
    await _served(link, refusals)
    return link


@contextmanager
def _heard(js_channel: JsProxy, hear: Callable[..., None]) -> Iterator[None]:
    js_is_list = js.Array.isArray

    def on_message(js_event: JsProxy) -> None:
        js_data = js_event.data
        # The origin's other scripts may use the channels' names for messages of their own.
        message = js_data.to_py() if js_is_list(js_data) else ()
        if message and isinstance(message[0], str):
            hear(*message)

    js_on_message = create_proxy(on_message)
    js_channel.onmessage = js_on_message
    try:
        yield
    finally:
        js_channel.onmessage = None
        js_on_message.destroy()


@contextmanager
def _greeting(name: str, refusals: list[int]) -> Iterator[None]:
    """Say hello to the pages that are there, and to those that come later."""
    js_channel = js.BroadcastChannel.new(HELLO)

    def greet() -> None:
        js_channel.postMessage(to_js(["hello", BRIDGE_VERSION, name]))

    def hear(what: str, version: int = 0, kernel: str | None = None, *_: object) -> None:
        if version != BRIDGE_VERSION:
            if what == "here" or kernel == name:
                refusals[:] = [version]
        elif what == "here":
            greet()

    with _heard(js_channel, hear):
        greet()
        try:
            yield
        finally:
            js_channel.close()


async def _served(link: PageLink, refusals: list[int]) -> None:
    if await _met(link.met(), UNASKED_SECONDS):
        return
    with shown_script():
        if not await _met(link.met(), SERVED_SECONDS - UNASKED_SECONDS):
            raise PlatformError(_advice(refusals))


async def _met(meeting: Awaitable[None], seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await meeting
    except TimeoutError:
        return False
    return True


def _advice(refusals: list[int]) -> str:
    if refusals:
        return (
            f"the page serves version {refusals[-1]} of atiha_web's serve.js, and this worker "
            f"needs {BRIDGE_VERSION}: use one release of atiha_web in both, and reload the page"
        )
    return (
        "a worker has no localStorage, and no page of this site lends it its own. In JupyterLab or "
        "JupyterLite install the extension that is in this package, or call connect() in a cell "
        "whose output is shown, not under %%capture. To a page of your own add "
        '<script src="/atiha/serve.js"></script>, served from this package\'s js '
        "folder. connect(storage='memory') works without"
    )
