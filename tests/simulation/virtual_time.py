"""An event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from selectors import SelectorKey


class DeadlockError(RuntimeError):
    """Nothing is left to happen: no timer runs, and nobody outside can wake the loop."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Timers fire in their order and at their virtual time, at once in real time."""

    def __init__(self) -> None:
        self._virtual = 1_000.0
        super().__init__(_JumpingSelector(self._jump))

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual

    def _jump(self, seconds: float) -> None:
        self._virtual += seconds


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise DeadlockError("every task waits for something that will never happen")
            self._jump(max(timeout, 0.0))
        return ready
