"""Telling observers of changes, without ever making the writer wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Hub(Generic[T]):
    """A value others follow. A slow follower skips to the newest value and holds up nobody."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._events: set[asyncio.Event] = set()
        self._closed = False

    def notify(self) -> None:
        """The value may have changed."""
        for event in self._events:
            event.set()

    def close(self) -> None:
        """End every iteration."""
        self._closed = True
        self.notify()

    async def follow(self) -> AsyncIterator[T]:
        """Yield the value now, and again after every change, until closed."""
        event = asyncio.Event()
        self._events.add(event)
        try:
            while not self._closed:
                event.clear()
                yield self._read()
                await event.wait()
        finally:
            self._events.discard(event)
