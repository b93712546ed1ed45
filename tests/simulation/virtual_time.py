"""An event loop whose clock jumps to the next timer, and whose pages can be frozen."""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVarTuple

Ts = TypeVarTuple("Ts")

MAX_TURNS = 200_000
"""Turns of the loop that no world needs; the longest ones take a tenth of them."""
_TASKS_KEPT = 50


class DeadlockError(RuntimeError):
    """Nothing is left to happen, or something happens for ever."""


class Process:
    """Something whose code can be frozen, thawed and killed: one page of a browser."""

    def __init__(self) -> None:
        self.frozen = False
        self.dead = False
        self.crashed = False
        self.ended = False
        self.awake_since = 0.0
        self.waiting: list[asyncio.Handle] = []
        """What was due while it was frozen, in order."""
        self._tasks: list[asyncio.Task[Any]] = []

    def own(self, task: asyncio.Task[Any]) -> None:
        """A task that ends with the page."""
        self._tasks.append(task)
        if len(self._tasks) > _TASKS_KEPT:
            self._tasks = self._running()

    def _running(self) -> list[asyncio.Task[Any]]:
        return [task for task in self._tasks if not task.done()]

    def thaw(self) -> None:
        """Run all that was due meanwhile, in order, save for what was cancelled."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        if self.frozen:
            self.awake_since = loop.time()
        self.frozen = False
        waiting, self.waiting = self.waiting, []
        loop.run_soon(waiting)

    async def end(self) -> None:
        """Cancel everything that runs for this page until nothing does."""
        self.dead = True
        self.thaw()
        while running := self._running():
            # What cleans up calls a storage that never answers: it takes more than one cancel.
            for task in running:
                task.cancel()
            await asyncio.sleep(0)
        self._tasks = []
        self.ended = True


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""Whose code is running; ``None`` for the world itself: people, network, server."""


def _run(handle: Any) -> None:
    """A callback of a page is due, a handle's: now, or once the page is thawed."""
    process = handle.process
    if process.frozen:
        process.waiting.append(handle)
    elif not process.ended:
        try:
            handle._context.run(handle._callback, *handle._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - as asyncio's own handles do
            context = {"message": f"exception in {handle!r}", "exception": error}
            handle._loop.call_exception_handler(context)


class _PageHandle(asyncio.Handle):
    __slots__ = ("process",)
    process: Process
    _run = _run


class _PageTimer(asyncio.TimerHandle):
    __slots__ = ("process",)
    process: Process
    _run = _run


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Timers fire in their order and at their virtual time, at once in real time.

    Nothing outside this process takes part, so a turn asks neither the system nor the clock.
    """

    _ready: deque[asyncio.Handle]
    _process_events: Callable[[list[tuple[selectors.SelectorKey, int]]], None]
    # Never: `bool()` says so, and every handle and future asks.
    get_debug = staticmethod(bool)

    def __init__(self) -> None:
        self._virtual = 1_000.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = count()
        self._turns_left = MAX_TURNS
        self._outside = selectors.DefaultSelector()
        super().__init__(self._outside)
        self.set_task_factory(_owned_task)

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """See ``AbstractEventLoop``; what a frozen page would run waits."""
        if context is None:
            context = copy_context()
        process = context.get(PROCESS)
        if process is None:
            handle = asyncio.Handle(callback, args, self, context)
        else:
            handle = _PageHandle(callback, args, self, context)
            handle.process = process
        self._ready.append(handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See ``AbstractEventLoop``; what a frozen page would run waits."""
        if context is None:
            context = copy_context()
        process = context.get(PROCESS)
        if process is None:
            handle = asyncio.TimerHandle(when, callback, args, self, context)
        else:
            handle = _PageTimer(when, callback, args, self, context)
            handle.process = process
        heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def run_soon(self, handles: list[asyncio.Handle]) -> None:
        """Run these in their order, in the next turn."""
        self._ready.extend(handles)

    def begin_anew(self) -> None:
        """Grant the turns that a world takes once more."""
        self._turns_left = MAX_TURNS

    def _run_once(self) -> None:
        """One turn, in place of asyncio's."""
        self._turns_left -= 1
        if self._turns_left < 0:
            raise DeadlockError("everybody is busy and nobody gets anywhere")
        ready, timers = self._ready, self._timers
        if not ready:
            self._jump()
        now = self.time()
        while timers and timers[0][0] <= now:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _jump(self) -> None:
        """To the next timer."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heappop(timers)
        if timers:
            when = timers[0][0]
            # Never short of it by a rounding, nor back.
            self._virtual = max(self._virtual, when, self._virtual + when - self.time())
            return
        happened = self._outside.select(0)
        if not happened:
            raise DeadlockError("every task waits for something that will never happen")
        self._process_events(happened)


def _owned_task(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
    """A task that belongs to the page that began it."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
    context = more.get("context")
    process = PROCESS.get() if context is None else context.get(PROCESS)
    if process is not None:
        process.own(task)
    return task
