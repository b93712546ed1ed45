"""Everything in memory: for tests, simulations and values that need not outlive the process."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from atiha_web.backends.base import (
    Backend,
    Level,
    StorageChange,
    Transport,
    Unsubscribe,
)
from atiha_web.backends.listeners import Listeners
from atiha_web.errors import SaveError, StorageFullError


def units(text: str) -> int:
    """How many UTF-16 code units a text takes, as browsers count their quota."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


class MemoryOrigin:
    """One browser profile's worth of shared state: items, documents and locks.

    ``quota`` is in UTF-16 units, keys included, as in browsers; ``None`` for no bound.
    """

    def __init__(self, quota: int | None = None) -> None:
        self.items: dict[str, str] = {}
        self.quota = quota
        self.used = 0
        self.documents: list[MemoryStorage] = []
        self.locks: dict[str, asyncio.Lock] = {}

    def set(self, key: str, value: str | None) -> None:
        """Set or remove one item; raises ``StorageFullError`` and keeps the old value."""
        old = self.items.get(key)
        change = (units(key) + units(value) if value is not None else 0) - (
            units(key) + units(old) if old is not None else 0
        )
        if self.quota is not None and change > 0 and self.used + change > self.quota:
            raise StorageFullError("local storage is full; remove something or sync first")
        self.used += change
        if value is None:
            self.items.pop(key, None)
        else:
            self.items[key] = value

    def clear(self) -> None:
        """What a person does who clears the site's data: every document hears of it."""
        self.items.clear()
        self.used = 0
        for document in list(self.documents):
            document.deliver(StorageChange(None, None))


class MemoryStorage:
    """One document's view of a ``MemoryOrigin``."""

    def __init__(self, origin: MemoryOrigin | None = None) -> None:
        self.origin = origin or MemoryOrigin()
        self.origin.documents.append(self)
        self._listeners = Listeners[StorageChange]()

    async def read(self, keys: Sequence[str]) -> list[str | None]:
        """See ``Storage.read``."""
        return [self.origin.items.get(key) for key in keys]

    async def write(self, changes: Mapping[str, str | None]) -> None:
        """See ``Storage.write``."""
        for key, value in changes.items():
            if self.origin.items.get(key) == value:
                continue
            self.origin.set(key, value)
            for document in list(self.origin.documents):
                if document is not self:
                    document.deliver(StorageChange(key, value))

    async def keys(self, prefix: str) -> list[str]:
        """See ``Storage.keys``."""
        return sorted(key for key in self.origin.items if key.startswith(prefix))

    async def flush(self, level: Level) -> None:
        """Memory survives nothing but the page."""
        if level != "local":
            raise SaveError("memory keeps nothing beyond this process; choose another storage")

    def subscribe(self, listener: Callable[[StorageChange], None]) -> Unsubscribe:
        """See ``Storage.subscribe``."""
        return self._listeners.add(listener)

    def deliver(self, change: StorageChange) -> None:
        """Tell this document's listeners of a change made by another one."""
        self._listeners.tell(change)

    def close(self) -> None:
        """Leave the origin: no more changes are delivered."""
        self._listeners.clear()
        with suppress(ValueError):
            self.origin.documents.remove(self)


class MemoryEnvironment:
    """Connectivity as the test says it is; locks shared through the origin."""

    def __init__(self, origin: MemoryOrigin | None = None) -> None:
        self.origin = origin or MemoryOrigin()
        self._online = True
        self._listeners = Listeners[str]()

    def online(self) -> bool:
        """See ``Environment.online``."""
        return self._online

    def set_online(self, online: bool) -> None:
        """Flip the hint and tell the listeners, as a browser does."""
        self._online = online
        self.signal("online" if online else "offline")

    def signal(self, name: str) -> None:
        """Tell the listeners of one of ``SIGNALS``."""
        self._listeners.tell(name)

    def subscribe(self, listener: Callable[[str], None]) -> Unsubscribe:
        """See ``Environment.subscribe``."""
        return self._listeners.add(listener)

    def lock(self, name: str, timeout: float) -> AbstractAsyncContextManager[bool]:
        """See ``Environment.lock``."""
        return hold(self.origin.locks.setdefault(name, asyncio.Lock()), timeout)


@asynccontextmanager
async def hold(lock: asyncio.Lock, patience: float) -> AsyncIterator[bool]:
    """Hold ``lock`` if it is had within ``patience`` seconds; yields whether it was."""
    held = False
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            held = await lock.acquire()
    try:
        yield held
    finally:
        if held:
            lock.release()


def system_clock() -> int:
    """Wall-clock time of this machine in ms since 1970."""
    return time.time_ns() // 1_000_000


def random_hex(digits: int) -> str:
    """That many random lower-case hex digits, from the system's source."""
    return os.urandom((digits + 1) // 2).hex()[:digits]


def memory_backend(transport: Transport, origin: MemoryOrigin | None = None) -> Backend:
    """A backend that keeps everything in ``origin`` (a new one unless given)."""
    origin = origin or MemoryOrigin()
    storage = MemoryStorage(origin)
    return Backend(
        storage=storage,
        transport=transport,
        environment=MemoryEnvironment(origin),
        now_ms=system_clock,
        random=random.random,
        random_hex=random_hex,
        close=storage.close,
    )
