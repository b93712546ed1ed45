"""An event loop inside another one that can also be run by hand, without returning to the other.

A browser's loop runs only while nobody waits for it. What a blocking client does runs on a loop of
its own instead: in the background the browser's loop runs it like anything else, and during a
blocking call everything on it that needs nothing from outside goes on at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

from atiha_web.errors import PlatformError

logger = logging.getLogger("atiha_web")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LONGEST_SLEEP = 1.0
"""In seconds; what is due later is not slept for."""
SLEEP_BUDGET = 3.0
"""In seconds, of one call."""


class SteppedLoop(asyncio.AbstractEventLoop):
    """Runs in the background on the loop ``host``, and in the foreground during ``run``.

    ``hurry`` is asked when a call can only go on with something from outside: it makes one thing
    happen and returns ``True``, or ``False`` where it can make nothing happen. ``wait`` waits for a
    future of ``host`` where the platform can do that, and is ``None`` where it cannot.
    """

    def __init__(
        self,
        host: asyncio.AbstractEventLoop,
        *,
        hurry: Callable[[], bool] = lambda: False,
        wait: Callable[[], Callable[[asyncio.Future[None]], None] | None] = lambda: None,
    ) -> None:
        self.hurry = hurry
        self._host = host
        self._wait = wait
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[asyncio.TimerHandle] = []
        self._soon = False
        self._alarm = math.inf
        self._calls: set[asyncio.Task[Any]] = set()

    # -- running ---------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` to its end, and whatever else is ready meanwhile.

        Raises:
            PlatformError: it waits for something that cannot be waited for here, or it would wait
                for itself.
        """
        if asyncio._get_running_loop() is self:  # noqa: SLF001 - there is no other way to ask
            work.close()
            raise PlatformError(
                "a blocking call was made while another one runs, for instance from a callback of "
                "the same client: it would wait for itself; make it after the other returned"
            )
        with self.in_charge():
            call = self.create_task(work)
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            self._run_ready(until=call)
        wait = self._wait()
        if not call.done() and wait is not None:
            self._wait_for(call, wait)
        elif not call.done():
            with self.in_charge():
                self._force(call)
        return call.result()

    def can_wait(self) -> bool:
        """Whether a call made now could wait for what comes from outside."""
        return self._wait() is not None

    def in_call(self) -> bool:
        """Whether a blocking call asks this, and not what runs in the background."""
        return asyncio.current_task(self) in self._calls

    async def between_calls(self) -> None:
        """Return once the host has a turn again: no call is being made then."""
        turn = self.create_future()
        self._host.call_soon(_settle, turn)
        await turn

    @contextmanager
    def in_charge(self) -> Iterator[None]:
        """Be the running loop for the block; what it leaves ready is run by the host."""
        outer = asyncio._get_running_loop()  # noqa: SLF001 - as above
        task = None if outer is None else asyncio.current_task(outer)
        # As documented for loops and tasks of third parties.
        if outer is not None and task is not None:
            asyncio.tasks._leave_task(outer, task)  # noqa: SLF001
        asyncio._set_running_loop(self)  # noqa: SLF001
        try:
            yield
        finally:
            asyncio._set_running_loop(outer)  # noqa: SLF001
            if outer is not None and task is not None:
                asyncio.tasks._enter_task(outer, task)  # noqa: SLF001
            self._arm()

    def _run_ready(self, until: asyncio.Future[Any] | None = None) -> None:
        """Run what is ready, and what that makes ready: all of it, or until a call has ended."""
        while until is None or not until.done():
            self._ring()
            if not self._ready:
                return
            # Without a call to end, one round only: the host has other things to do.
            for _ in range(len(self._ready)):
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()  # noqa: SLF001 - what every loop does
            if until is None:
                return

    def _wait_for(
        self, call: asyncio.Task[Any], wait: Callable[[asyncio.Future[None]], None]
    ) -> None:
        """Let the host run everything until the call has ended."""
        ended: asyncio.Future[None] = self._host.create_future()
        call.add_done_callback(lambda _: _settle(ended))
        try:
            wait(ended)
        except BaseException:
            self._give_up(call)
            raise

    def _force(self, call: asyncio.Task[Any]) -> None:
        """Go on without anything from outside: hurry what is waited for, or sleep a little."""
        until = time.monotonic() + SLEEP_BUDGET
        while not call.done():
            if not self.hurry() and not self._sleep(until):
                self._give_up(call)
                raise PlatformError(
                    "this call has to wait for something that comes later, and nothing can wait "
                    "here: use the asynchronous client (await atiha_web.connect(…)), or make the "
                    "call from code that the browser lets wait, as runPythonAsync does"
                )
            self._run_ready(until=call)

    def _sleep(self, until: float) -> bool:
        """Sleep until the next timer is due; tells whether there is one that soon."""
        self._forget_cancelled()
        if not self._timers:
            return False
        seconds = max(self._timers[0].when() - self.time(), 0.0)
        if seconds > LONGEST_SLEEP or time.monotonic() + seconds > until:
            return False
        time.sleep(seconds)
        return True

    def _give_up(self, call: asyncio.Task[Any]) -> None:
        call.cancel()
        self._calls.discard(call)
        call.add_done_callback(_forget_outcome)

    # -- being run by the host -------------------------------------------------------------

    def _arm(self) -> None:
        """Have the host run us as soon as something is ready, or due."""
        self._forget_cancelled()
        if self._ready and not self._soon:
            self._soon = True
            self._host.call_soon(self._on_soon)
        # An alarm that rings too early does no harm, and a new one is a crossing to the browser.
        if self._timers and self._timers[0].when() < self._alarm:
            self._alarm = self._timers[0].when()
            # A host may refuse what is due already.
            self._host.call_at(max(self._alarm, self._host.time()), self._on_alarm, self._alarm)

    def _on_soon(self) -> None:
        self._soon = False
        with self.in_charge():
            self._run_ready()

    def _on_alarm(self, when: float) -> None:
        if self._alarm == when:
            self._alarm = math.inf
        with self.in_charge():
            self._run_ready()

    def _ring(self) -> None:
        """Make ready what is due."""
        now = self.time()
        while self._timers and self._timers[0].when() <= now:
            self._ready.append(heapq.heappop(self._timers))

    def _forget_cancelled(self) -> None:
        while self._timers and self._timers[0].cancelled():
            heapq.heappop(self._timers)

    # -- what asyncio asks of a loop -------------------------------------------------------

    def time(self) -> float:
        """The host's clock, in seconds."""
        return self._host.time()

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Call ``callback`` in the next round."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        if len(self._ready) == 1 and asyncio._get_running_loop() is not self:  # noqa: SLF001
            self._arm()
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """As ``call_soon``, from another thread, where the host has threads."""
        return self._host.call_soon_threadsafe(
            partial(self.call_soon, callback, *args, context=context)
        )

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call ``callback`` in ``delay`` seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call ``callback`` once ``time()`` is ``when``."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, timer)
        if self._timers[0] is timer and asyncio._get_running_loop() is not self:  # noqa: SLF001
            self._arm()
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is left out when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        **kwargs: Any,
    ) -> asyncio.Task[T]:
        """Run a coroutine in the background."""
        return asyncio.Task(coro, loop=self, **kwargs)

    def is_running(self) -> bool:
        """It never ends: what is on it lives as long as the host."""
        return True

    def is_closed(self) -> bool:
        """See ``is_running``."""
        return False

    def get_debug(self) -> bool:
        """It has no debug mode."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Log what went wrong in the background."""
        logger.error("%s", context.get("message"), exc_info=context.get("exception"))


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _forget_outcome(call: asyncio.Future[Any]) -> None:
    """Who made the call was told already."""
    if not call.cancelled():
        call.exception()
