"""Long work in parts, so that a page goes on answering meanwhile, and work that is never half done.

How long a part is, is counted and not timed: so the simulation repeats itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from atiha_web.loading import BEFORE_MODELS, import_in_turns

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")

CHANGES_PER_TURN = 100
"""How many rows are taken in before others get a turn: a browser needs some ms for them."""


async def in_turns(items: Iterable[T], size: int) -> AsyncIterator[list[T]]:
    """``items`` in lists of ``size``; between two of them others get a turn of the event loop."""
    remaining = iter(items)
    part = list(islice(remaining, size))
    while part:
        yield part
        part = list(islice(remaining, size))
        if part:
            await asyncio.sleep(0)


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
