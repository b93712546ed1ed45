"""Statements that fail with words. ``assert`` would vanish under ``python -O``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

Check = Callable[[T], Awaitable[None]]

PATIENCE = 10.0
"""Seconds until what should come is given up."""


def equal(actual: object, expected: object, what: str) -> None:
    """Fail unless both are equal and of one type: a ``JsNull`` is no ``None``, a 1 no ``True``."""
    if type(actual) is not type(expected) or actual != expected:
        raise AssertionError(f"{what}: expected {_short(expected)}, got {_short(actual)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:200]} … {text[-200:]}"


@asynccontextmanager
async def raises(error: type[Exception], what: str) -> AsyncIterator[None]:
    """Fail unless the block raises ``error``."""
    try:
        yield
    except error:
        return
    raise AssertionError(f"{what}: expected {error.__name__}, got no error")


class Checks(list[Check[T]]):
    """Checks that take a ``T``, in the order they are written."""

    def add(self, check: Check[T]) -> Check[T]:
        """Decorate a check."""
        self.append(check)
        return check


class Heard(Generic[T]):
    """Collects what a subscription brings."""

    def __init__(self, subscribe: Callable[[Callable[[T], None]], Callable[[], None]]) -> None:
        self._news: asyncio.Queue[T] = asyncio.Queue()
        self.unsubscribe = subscribe(self._news.put_nowait)

    async def take(self, count: int) -> list[T]:
        """The next ``count`` pieces of news, awaited."""
        taken: list[T] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while len(taken) < count:
                    taken.append(await self._news.get())
        except TimeoutError:
            raise AssertionError(f"expected {count} pieces of news, got {taken}") from None
        return taken

    async def until(self, last: T) -> None:
        """Await ``last``; what happened before the subscription may still have been on its way."""
        while await self.take(1) != [last]:
            pass

    def nothing_more(self, what: str) -> None:
        """Fail if something was heard that nobody took."""
        if not self._news.empty():
            raise AssertionError(f"{what}: heard {self._news.get_nowait()}")
