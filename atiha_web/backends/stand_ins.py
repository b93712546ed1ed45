"""A backend for a blocking client in a browser, where a call may have to go on without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from atiha_web.backends.base import (
    Backend,
    Environment,
    Level,
    Request,
    Response,
    Storage,
    StorageChange,
    Transport,
    Unsubscribe,
)
from atiha_web.backends.stepped_loop import SteppedLoop
from atiha_web.errors import AtihaError, SaveError

T = TypeVar("T")

SendAtOnce = Callable[[Request], Response]
"""Sends a request and returns its reply without awaiting; raises as ``Transport.request`` does."""


class StandIns:
    """What background work waits for, each with what takes its place when a call cannot wait."""

    def __init__(self) -> None:
        self._waits: dict[asyncio.Future[Any], Callable[[], Any]] = {}

    async def wait_for(self, work: Coroutine[Any, Any, T], stand_in: Callable[[], T]) -> T:
        """The result of ``work``, or of ``stand_in`` if somebody hurried before; ends ``work``."""
        settled: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        working = asyncio.ensure_future(work)
        working.add_done_callback(partial(_pass_on, settled))
        self._waits[settled] = stand_in
        try:
            return await settled
        finally:
            del self._waits[settled]
            working.cancel()

    def hurry(self) -> bool:
        """Put one stand-in in the place of what is waited for; tells whether there was any.

        The last first: it is the likeliest to be what the call itself waits for.
        """
        for settled, stand_in in reversed(self._waits.items()):
            if not settled.done():
                try:
                    settled.set_result(stand_in())
                except AtihaError as error:
                    settled.set_exception(error)
                return True
        return False


def _pass_on(settled: asyncio.Future[T], working: asyncio.Task[T]) -> None:
    if working.cancelled():
        return
    error = working.exception()
    if settled.done():
        return
    if error is None:
        settled.set_result(working.result())
    else:
        settled.set_exception(error)


class CallTransport:
    """Sends at once what a blocking call asks for; what the background asks for may be hurried.

    A request that is hurried may have been sent before: the protocol bears that, as it bears a lost
    reply. What a blocking call asks for itself is sent once. Nothing else is begun during a call:
    ``between_calls`` returns when there is none.
    """

    def __init__(
        self,
        inner: Transport,
        send_at_once: SendAtOnce,
        *,
        in_call: Callable[[], bool],
        between_calls: Callable[[], Awaitable[None]],
        waits: StandIns,
    ) -> None:
        self.keeps_cookies = inner.keeps_cookies
        self._inner = inner
        self._send_at_once = send_at_once
        self._in_call = in_call
        self._between_calls = between_calls
        self._waits = waits

    async def request(self, request: Request) -> Response:
        """See ``Transport.request``."""
        if self._in_call():
            return self._send_at_once(request)
        at_once = partial(self._send_at_once, request)
        return await self._waits.wait_for(self._send(request), at_once)

    async def _send(self, request: Request) -> Response:
        await self._between_calls()
        return await self._inner.request(request)

    async def close(self) -> None:
        """See ``Transport.close``."""
        await self._inner.close()


class CallEnvironment:
    """Goes on without a lock where a call cannot wait for it; tells listeners on our loop."""

    def __init__(self, inner: Environment, loop: SteppedLoop, waits: StandIns) -> None:
        self.online = inner.online
        self._inner = inner
        self._loop = loop
        self._waits = waits

    def subscribe(self, listener: Callable[[str], None]) -> Unsubscribe:
        """See ``Environment.subscribe``."""
        return self._inner.subscribe(on_loop(self._loop, listener))

    def lock(self, name: str, timeout: float) -> AbstractAsyncContextManager[bool]:
        """See ``Environment.lock``. The engine is right without it, only less thrifty."""
        return self._hold(partial(self._inner.lock, name, timeout))

    @asynccontextmanager
    async def _hold(
        self, lock: Callable[[], AbstractAsyncContextManager[bool]]
    ) -> AsyncIterator[bool]:
        if self._loop.in_call() and not self._loop.can_wait():
            yield False
            return
        async with AsyncExitStack() as held:
            entering = held.enter_async_context(lock())
            yield await self._waits.wait_for(entering, lambda: False)


class CallStorage:
    """The storage itself, which tells its listeners on our loop."""

    def __init__(self, inner: Storage, loop: SteppedLoop, waits: StandIns) -> None:
        self.read = inner.read
        self.write = inner.write
        self.keys = inner.keys
        self._inner = inner
        self._loop = loop
        self._waits = waits

    async def flush(self, level: Level) -> None:
        """See ``Storage.flush``; no call waits for the disk where none can wait."""
        await self._waits.wait_for(self._inner.flush(level), _no_disk)

    def subscribe(self, listener: Callable[[StorageChange], None]) -> Unsubscribe:
        """See ``Storage.subscribe``."""
        return self._inner.subscribe(on_loop(self._loop, listener))


def _no_disk() -> None:
    raise SaveError(
        "'disk' is reached soon, but no call can wait for it here: call again a little later, or "
        "from code that the browser lets wait, as runPythonAsync does"
    )


def on_loop(loop: SteppedLoop, listener: Callable[[T], None]) -> Callable[[T], None]:
    """A listener that may begin tasks: they belong to ``loop``, whichever one runs then."""

    def listen(news: T) -> None:
        with loop.in_charge():
            listener(news)

    return listen


def for_calls(
    backend: Backend, loop: SteppedLoop, waits: StandIns, send_at_once: SendAtOnce
) -> Backend:
    """A backend whose engine runs on ``loop``."""
    return replace(
        backend,
        storage=CallStorage(backend.storage, loop, waits),
        transport=CallTransport(
            backend.transport,
            send_at_once,
            in_call=loop.in_call,
            between_calls=loop.between_calls,
            waits=waits,
        ),
        environment=CallEnvironment(backend.environment, loop, waits),
    )
