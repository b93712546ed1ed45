"""Running the asynchronous client to completion, call by call, for the blocking one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from atiha_web.backends.base import Backend
from atiha_web.backends.mirror import MirrorPolicy

T = TypeVar("T")


class Runner(ABC):
    """Runs coroutines to completion while background work goes on between calls."""

    on_exit: Callable[[], Coroutine[Any, Any, None]] | None = None
    """What to run before everything ends, where anybody is told of the end."""

    @abstractmethod
    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, once it has ended.

        Raises:
            PlatformError: it cannot be waited for here; what it wrote before stays written.
            ClosedError: this was closed.
        """

    @abstractmethod
    async def choose_backend(self, *, mirror: MirrorPolicy | None, **choice: Any) -> Backend:
        """As ``auto.choose_backend``: the backend whose engine this runs."""

    def can_wait(self) -> bool:
        """Whether a call made now could wait for something that comes later."""
        return True

    def close(self) -> None:  # noqa: B027 - where what ended holds nothing, there is no more to do
        """Run nothing more. Idempotent."""
