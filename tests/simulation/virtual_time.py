"""An event loop whose clock jumps to the next timer, and whose pages can be frozen."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from selectors import SelectorKey
from typing import Any, TypeVarTuple

Ts = TypeVarTuple("Ts")

MAX_TURNS = 200_000
"""Turns of the loop that no world needs; the longest ones take a tenth of them."""


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
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self._waiting: list[list[Any]] = []

    def turn(self, entry: list[Any]) -> None:
        """One callback of this page is due: now, or once it is thawed."""
        if self.frozen:
            self._waiting.append(entry)
        elif not self.ended:
            callback, args, _ = entry
            callback(*args)

    def thaw(self) -> None:
        """Run all that was due meanwhile, in order, save for what was cancelled."""
        waiting, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        if self.frozen:
            self.awake_since = loop.time()
        self.frozen = False
        for entry in waiting:
            _, _, (handle, context) = entry
            if not handle.cancelled():
                loop.call_soon(_turn_later, self, entry, handle, context=context)

    async def end(self) -> None:
        """Cancel everything that runs for this page until nothing does."""
        self.dead = True
        self.thaw()
        while running := [task for task in self.tasks if not task.done()]:
            # What cleans up calls a storage that never answers: it takes more than one cancel.
            for task in running:
                task.cancel()
            await asyncio.sleep(0)
        self.ended = True


def _turn_later(process: Process, entry: list[Any], handle: asyncio.Handle) -> None:
    if not handle.cancelled():
        process.turn(entry)


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""Whose code is running; ``None`` for the world itself: people, network, server."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Timers fire in their order and at their virtual time, at once in real time."""

    def __init__(self) -> None:
        self._virtual = 1_000.0
        self._turns = _JumpingSelector(self._jump)
        super().__init__(self._turns)
        self.set_task_factory(_owned_task)

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """See ``AbstractEventLoop``; what a frozen page would run waits."""
        process = PROCESS.get() if context is None else context.get(PROCESS)
        what: Any = callback
        if process is None or what is _turn_later:
            return super().call_soon(callback, *args, context=context)
        entry: list[Any] = [callback, args, None]
        context = copy_context() if context is None else context
        handle = super().call_soon(process.turn, entry, context=context)
        entry[2] = handle, context
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See ``AbstractEventLoop``; what a frozen page would run waits."""
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        entry: list[Any] = [callback, args, None]
        context = copy_context() if context is None else context
        handle = super().call_at(when, process.turn, entry, context=context)
        entry[2] = handle, context
        return handle

    def _jump(self, seconds: float) -> None:
        self._virtual += seconds

    def begin_anew(self) -> None:
        """Grant the turns that a world takes once more."""
        self._turns.left = MAX_TURNS


def _owned_task(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
    """A task that belongs to the page that began it."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
    context = more.get("context")
    process = PROCESS.get() if context is None else context.get(PROCESS)
    if process is not None:
        process.tasks[task] = None
        task.add_done_callback(lambda ended: process.tasks.pop(ended, None))
    return task


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump
        self.left = MAX_TURNS

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        self.left -= 1
        if self.left < 0:
            raise DeadlockError("everybody is busy and nobody gets anywhere")
        if timeout is None:
            ready = super().select(0)
            if not ready:
                raise DeadlockError("every task waits for something that will never happen")
            return ready
        # Nothing outside this process takes part: there is no need to ask the system.
        self._jump(max(timeout, 0.0))
        return []
