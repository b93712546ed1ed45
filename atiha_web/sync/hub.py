"""Telling observers of changes, without ever making the writer wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Generic, TypeVar

from atiha_web.backends.base import Unsubscribe
from atiha_web.backends.listeners import Listeners

T = TypeVar("T")


class Hub(Generic[T]):
    """A value others follow. A slow follower skips to the newest value and holds up nobody."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._events: set[asyncio.Event] = set()
        self._listeners = Listeners[None]()
        self._closed = False

    def notify(self) -> None:
        """The value may have changed."""
        for event in self._events:
            event.set()
        self._listeners.tell(None)

    def subscribe(self, listener: Callable[[None], None]) -> Unsubscribe:
        """Call ``listener`` with every ``notify``: it must be quick. Returns what ends that."""
        return self._listeners.add(listener)

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


class Feed(Generic[T]):
    """Items in the order they came, the newest ``size`` of them kept; followers get each one."""

    def __init__(self, size: int) -> None:
        self._items: deque[T] = deque(maxlen=size)
        self._count = 0
        self._hub: Hub[None] = Hub(lambda: None)

    @property
    def kept(self) -> tuple[T, ...]:
        """What is kept, oldest first."""
        return tuple(self._items)

    def add(self, item: T) -> None:
        """One more; never waits for a follower."""
        self._items.append(item)
        self._count += 1
        self._hub.notify()

    def close(self) -> None:
        """End every iteration, once it has had what is kept."""
        self._hub.close()

    async def follow(self) -> AsyncIterator[T]:
        """Yield what is kept, then each item as it comes, until closed.

        Who falls behind by more than ``size`` items misses the oldest of them.
        """
        seen = 0
        async for _ in self._hub.follow():
            for number, item in self._after(seen):
                seen = number
                yield item
        for _, item in self._after(seen):
            yield item

    def _after(self, seen: int) -> Iterator[tuple[int, T]]:
        """The items after the first ``seen``, each with its number; looks anew for each."""
        while seen < self._count:
            seen = max(seen, self._count - len(self._items)) + 1
            yield seen, self._items[seen - 1 - self._count]
