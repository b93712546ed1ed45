"""Long work in parts, so that a page goes on answering meanwhile, and work that is never half done.

How long a part is, is counted and not timed: so the simulation repeats itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from atiha_web.loading import BEFORE_MODELS, import_in_turns

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")

CHANGES_PER_TURN = 100
"""How many rows are taken in before others get a turn: a browser needs some ms for them."""


Pause = Callable[[], Awaitable[None]]
"""Gives others a turn of the event loop."""


async def pause() -> None:
    """Give others a turn of the event loop."""
    await asyncio.sleep(0)


class PausingLock:
    """Keeps long works apart from each other, and lets short ones in where a long one pauses.

    So what somebody does on a page is stored within the turn in which they did it, whatever a
    synchronisation is in the middle of.
    """

    def __init__(self) -> None:
        self._long = asyncio.Lock()
        self.short = asyncio.Lock()
        """To be held for a short work, which leaves to long ones what needs the whole lock."""

    async def __aenter__(self) -> None:
        await self._long.acquire()
        try:
            await self.short.acquire()
        except BaseException:
            self._long.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self.short.release()
        self._long.release()

    def locked(self) -> bool:
        """Whether somebody works."""
        return self._long.locked() or self.short.locked()

    async def pause(self) -> None:
        """Let others have a turn, and short works in; the caller holds the lock."""
        self.short.release()
        cancelled = None
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            cancelled = error
        while not await self._acquired_again():
            cancelled = cancelled or asyncio.CancelledError()
        if cancelled is not None:
            raise cancelled

    async def _acquired_again(self) -> bool:
        try:
            return await self.short.acquire()
        except asyncio.CancelledError:
            return False


async def in_turns(items: Iterable[T], size: int, pause: Pause = pause) -> AsyncIterator[list[T]]:
    """``items`` in lists of ``size``; between two of them there is a ``pause``."""
    remaining = iter(items)
    part = list(islice(remaining, size))
    while part:
        yield part
        part = list(islice(remaining, size))
        if part:
            await pause()


async def built_in_turns(models: Iterable[type[BaseModel]]) -> None:
    """Build models that were deferred, one in each turn: a browser takes up to 40 ms for one."""
    await import_in_turns(BEFORE_MODELS)
    from atiha_web.first_model import First  # noqa: PLC0415 - it is loaded by now

    kinds: list[type[BaseModel]] = [First, *models]
    for model in kinds:
        if not model.__pydantic_complete__:
            model.model_rebuild()
            await asyncio.sleep(0)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Do ``work`` wholly, even if whoever awaits it is cancelled; the cancellation comes after."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise
