"""What a browser keeps: localStorage as it reaches the disk late, and IndexedDB with its faults."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field

from atiha_web.backends.base import Level, StorageChange, Unsubscribe
from atiha_web.backends.listeners import Listeners
from atiha_web.backends.memory import units
from atiha_web.errors import SaveError, StorageError, StorageFullError, StorageUnavailableError
from tests.simulation.virtual_time import Process


class Disk:
    """One profile's localStorage: what pages share, and what a killed browser falls back to.

    ``quota`` is in UTF-16 units, keys included. Changes since the browser began are remembered, so
    that it can be rolled back to any moment since.
    """

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.quota: int | None = None
        self.used = 0
        self.documents: list[TabStorage] = []
        self.numbers: dict[str, int] = {}
        self._history: list[tuple[float, str, str | None]] = []
        self._count = 0

    def set(self, key: str, value: str | None) -> int:
        """Set or remove one item; returns a number that grows with every change."""
        old = self.items.get(key)
        size = 0 if value is None else units(key) + units(value)
        change = size - (0 if old is None else units(key) + units(old))
        if self.quota is not None and change > 0 and self.used + change > self.quota:
            raise StorageFullError("local storage is full")
        self._history.append((asyncio.get_running_loop().time(), key, old))
        self._put(key, value, change)
        return self._count

    def damage(self, key: str, text: str) -> None:
        """An item changes, and no document has changed it."""
        old = self.items.get(key)
        size = 0 if old is None else units(key) + units(old)
        self._put(key, text, units(key) + units(text) - size)

    def _put(self, key: str, value: str | None, change: int) -> None:
        self.used += change
        self._count += 1
        self.numbers[key] = self._count
        if value is None:
            self.items.pop(key, None)
        else:
            self.items[key] = value

    def clear(self, by: TabStorage | None = None) -> None:
        """A person clears the site's data: every document hears of it, save the one that did."""
        now = asyncio.get_running_loop().time()
        self._history.extend((now, key, text) for key, text in self.items.items())
        self.items.clear()
        self.used = 0
        self._count += 1
        for document in self.documents:
            if document is by:
                document.forget()
            else:
                document.hear(StorageChange(None, None), self._count)

    def roll_back(self, moment: float) -> None:
        """The browser was killed: what it did after ``moment`` never reached the disk."""
        while self._history and self._history[-1][0] > moment:
            _, key, old = self._history.pop()
            if old is None:
                self.items.pop(key, None)
            else:
                self.items[key] = old
        self.reached()

    def reached(self) -> None:
        """All of it is on the disk: the browser ended, or one begins."""
        self._history.clear()
        self.used = sum(units(key) + units(text) for key, text in self.items.items())


class TabStorage:
    """One page's localStorage, a ``Storage`` that may die at any call, halfway through a write.

    Without ``latency`` pages share one process. With it (seconds) each has a copy of its own, as
    in Chromium, and learns of others' changes that much later.
    """

    def __init__(
        self, disk: Disk, process: Process, context: Context, latency: float | None
    ) -> None:
        self.calls_left: int | None = None
        self.counts_all = True
        """Whether every call counts, or only those that change more than views."""
        self.seconds = 0.0
        """What each call takes, where it is a message."""
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._disk = disk
        self._process = process
        self._context = context
        self._latency = latency
        self._items = disk.items if latency is None else dict(disk.items)
        self._own: dict[str, int] = {}
        self._coming: deque[tuple[StorageChange, int]] = deque()
        self._listeners = Listeners[StorageChange]()
        disk.documents.append(self)

    @property
    def known_keys(self) -> Iterable[str]:
        """What this page finds there: another process's last changes may not have come yet."""
        return self._items

    async def _step(self, *, weighty: bool = False) -> None:
        if self._latency is not None or self.seconds:
            # Pages of several processes: anything may happen in between two calls.
            await asyncio.sleep(self.seconds)
        if self.calls_left is not None and (weighty or self.counts_all):
            self.calls_left -= 1
            if self.calls_left < 0:
                self.die()
        if self._process.dead:
            await asyncio.get_running_loop().create_future()

    def die(self) -> None:
        """Nothing reaches storage any more."""
        self._process.dead = self._process.crashed = True
        self.close()
        if not self.died.done():
            self.died.set_result(None)

    async def read(self, keys: Sequence[str]) -> list[str | None]:
        """See ``Storage.read``."""
        await self._step()
        return [self._items.get(key) for key in keys]

    async def keys(self, prefix: str) -> list[str]:
        """See ``Storage.keys``."""
        await self._step()
        return sorted(key for key in self._items if key.startswith(prefix))

    async def write(self, changes: Mapping[str, str | None]) -> None:
        """See ``Storage.write``."""
        for key, value in changes.items():
            # Views have an underscore there.
            await self._step(weighty=key.startswith("atiha:"))
            if self._items.get(key) != value:
                self._set(key, value)

    def _set(self, key: str, value: str | None) -> None:
        number = self._disk.set(key, value)
        if self._latency is not None:
            self._own[key] = number
            self._keep(key, value)
        for document in self._disk.documents:
            if document is not self:
                document.hear(StorageChange(key, value), number)

    def _keep(self, key: str, value: str | None) -> None:
        if value is None:
            self._items.pop(key, None)
        else:
            self._items[key] = value

    async def flush(self, level: Level) -> None:
        """See ``Storage.flush``: localStorage alone promises ``local``."""
        if level != "local":
            raise SaveError(f"localStorage alone cannot promise {level!r}")

    def subscribe(self, listener: Callable[[StorageChange], None]) -> Unsubscribe:
        """See ``Storage.subscribe``."""
        return self._listeners.add(listener)

    def hear(self, change: StorageChange, number: int) -> None:
        """Another document changed something: this page learns of it later, in order."""
        self._coming.append((change, number))
        loop = asyncio.get_running_loop()
        loop.call_later(self._latency or 0.0, self._take_in, context=self._context)

    def forget(self) -> None:
        """Its own copy is gone, too."""
        self._items.clear()

    def _take_in(self) -> None:
        change, number = self._coming.popleft()
        if self._latency is not None:
            if change.key is None:
                # What this process wrote after the clear, in its order, stays.
                older = [key for key in self._items if self._own.get(key, 0) < number]
                for key in older:
                    del self._items[key]
            elif self._own.get(change.key, 0) < number:
                self._keep(change.key, change.value)
        self._listeners.tell(change)

    def close(self) -> None:
        """Leave: no more changes are heard."""
        self._listeners.clear()
        if self in self._disk.documents:
            self._disk.documents.remove(self)


@dataclass
class Database:
    """One profile's IndexedDB. A transaction that ended survives everything but the device.

    ``seconds`` is what a transaction takes, ``opening`` what opening takes; ``failures`` are raised
    by the next transactions, one each.
    """

    entries: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.002
    opening: float = 0.0
    absent: bool = False
    failures: deque[StorageError] = field(default_factory=deque)
    life: int = 0
    """Counts the browsers that used it: what one that was killed had begun never ends."""
    last: asyncio.Task[None] | None = None
    """The transaction begun last: they take effect one after another."""

    async def open(self, process: Process) -> Connection:
        """What ``PageMirror.open`` does: a connection of one page."""
        await asyncio.sleep(self.opening)
        if self.absent:
            raise StorageUnavailableError("this browser has no database")
        return Connection(self, process)

    def kill(self) -> None:
        """The browser is killed."""
        self.life += 1
        self.last = None


class Connection:
    """One page's connection, a ``Mirror``."""

    def __init__(self, database: Database, process: Process) -> None:
        self._database = database
        self._process = process

    async def read(self) -> dict[str, str]:
        """See ``Mirror.read``."""
        await asyncio.sleep(self._database.seconds)
        if self._database.failures:
            raise self._database.failures.popleft()
        return dict(self._database.entries)

    def apply(self, changes: Mapping[str, str | None]) -> Awaitable[None]:
        """See ``Mirror.apply``; the browser goes on with what was begun, without the page."""
        loop = asyncio.get_running_loop()
        if self._process.dead:
            return loop.create_future()
        work = self._commit(dict(changes), self._database.last, self._database.life)
        self._database.last = loop.create_task(work, context=Context())
        self._database.last.add_done_callback(_seen)
        # Nobody can take back what was begun.
        return asyncio.shield(self._database.last)

    async def _commit(
        self, changes: dict[str, str | None], before: asyncio.Future[None] | None, life: int
    ) -> None:
        database = self._database
        if before is not None:
            await asyncio.wait([before])
        await asyncio.sleep(database.seconds)
        if life != database.life or self._process.crashed:
            raise StorageUnavailableError("the browser gave this transaction up")
        if database.failures:
            raise database.failures.popleft()
        for key, text in changes.items():
            if text is None:
                database.entries.pop(key, None)
            else:
                database.entries[key] = text

    def close(self) -> None:
        """See ``Mirror.close``: what was begun ends by itself."""


def _seen(ended: asyncio.Future[None]) -> None:
    if not ended.cancelled():
        ended.exception()
