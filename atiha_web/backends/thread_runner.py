"""Blocking calls on CPython: a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from atiha_web.backends.auto import choose_backend
from atiha_web.backends.base import Backend
from atiha_web.backends.mirror import MirrorPolicy
from atiha_web.backends.runners import Runner, T
from atiha_web.errors import ClosedError, PlatformError

EXIT_SECONDS = 5.0
"""How long a process that ends waits for what was not closed."""
WAKE_SECONDS = 1.0
"""How long a call waits without looking up: CPython misses an interrupt that comes right between
its last look at signals and its waiting for a lock, and would never wake."""


class ThreadRunner(Runner):
    """A thread with an event loop of its own. Any thread may call, in a running loop too."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(started)), name="atiha_web", daemon=True
        )
        self._thread.start()
        started.wait()
        atexit.register(self._at_exit)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """See ``Runner.run``. An interrupt (Ctrl-C) ends the work and is raised again."""
        return self._run(work, None)

    async def choose_backend(self, *, mirror: MirrorPolicy | None, **choice: Any) -> Backend:
        """See ``Runner.choose_backend``."""
        return await choose_backend(mirror=mirror, **choice)

    def close(self) -> None:
        """See ``Runner.close``."""
        atexit.unregister(self._at_exit)
        loop, self._loop = self._loop, None
        if loop is not None and self._pid == os.getpid():
            loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def _run(self, work: Coroutine[Any, Any, T], seconds: float | None) -> T:
        loop = self._loop
        problem = self._problem()
        if loop is None or problem is not None:
            work.close()
            raise problem or ClosedError("this client was closed; open a new one with connect()")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return self._result(future, seconds)
        except concurrent.futures.CancelledError as error:
            raise ClosedError("the client was closed during this call") from error
        finally:
            # Only an interrupt leaves it before it is done.
            future.cancel()

    @staticmethod
    def _result(future: concurrent.futures.Future[T], seconds: float | None) -> T:
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            left = WAKE_SECONDS if until is None else min(WAKE_SECONDS, until - time.monotonic())
            try:
                return future.result(left)
            except TimeoutError:
                if future.done():
                    return future.result()
                if until is not None and time.monotonic() >= until:
                    raise

    def _problem(self) -> PlatformError | None:
        if threading.current_thread() is self._thread:
            return PlatformError(
                "a blocking call was made from a callback of the same client: it would wait for "
                "itself; make it from another thread"
            )
        if self._pid != os.getpid():
            return PlatformError(
                "this client belongs to the process that was forked: connect again in this one"
            )
        return None

    def _at_exit(self) -> None:
        if self._pid != os.getpid():
            return
        if self.on_exit is not None:
            # What hangs must not keep the process; what is pending is stored already.
            with suppress(TimeoutError):
                self._run(self.on_exit(), EXIT_SECONDS)
        self.close()

    async def _live(self, started: threading.Event) -> None:
        self._stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        started.set()
        await self._stopping.wait()
