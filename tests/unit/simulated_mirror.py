"""The browser's database and a browser that may be killed, without a browser."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from atiha_web.backends.base import Backend
from atiha_web.backends.memory import MemoryStorage
from atiha_web.backends.mirror import MirroredStorage
from atiha_web.errors import StorageError
from atiha_web.sync.recovery import MIRRORED
from atiha_web.testing.fake_server import FakeDevice


@dataclass
class Database:
    """What is on the disk, and how the database behaves.

    `failures` are raised by the next transactions, one each; without `commits` none ends. `life`
    counts the browsers that used it: what one that was killed had begun never ends.
    """

    entries: dict[str, str] = field(default_factory=dict)
    transactions: list[dict[str, str | None]] = field(default_factory=list)
    failures: deque[StorageError] = field(default_factory=deque)
    commits: asyncio.Event = field(default_factory=asyncio.Event)
    life: int = 0
    _grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def reached(self, transactions: int) -> None:
        """Return in the turn of the loop in which that many transactions have ended."""
        async with self._grown:
            await self._grown.wait_for(lambda: len(self.transactions) >= transactions)

    async def commit(self, changes: dict[str, str | None]) -> None:
        """Make them durable."""
        self.transactions.append(changes)
        for key, text in changes.items():
            if text is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = text
        async with self._grown:
            self._grown.notify_all()

    def __post_init__(self) -> None:
        self.commits.set()


class SimulatedMirror:
    """One document's connection to a `Database`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.closed = False
        self._life = database.life
        self._last: asyncio.Future[None] | None = None

    async def read(self) -> dict[str, str]:
        if self.database.failures:
            raise self.database.failures.popleft()
        return dict(self.database.entries)

    def apply(self, changes: Mapping[str, str | None]) -> "asyncio.Future[None]":
        self._last = asyncio.ensure_future(self._commit(dict(changes), self._last))
        return self._last

    def close(self) -> None:
        self.closed = True

    async def _commit(
        self, changes: dict[str, str | None], before: "asyncio.Future[None] | None"
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        await self.database.commits.wait()
        if self._life != self.database.life:
            await asyncio.get_running_loop().create_future()
        if self.database.failures:
            raise self.database.failures.popleft()
        await self.database.commit(changes)


async def opening(database: Database, *, seconds: float = 0.0) -> SimulatedMirror:
    """A mirror that takes its time to open."""
    await asyncio.sleep(seconds)
    return SimulatedMirror(database)


class Browser:
    """A device whose localStorage reaches the disk when told, and whose database at once."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.database = Database()
        self._on_disk: dict[str, str] = {}

    async def backend(self, *, opens: bool = True) -> Backend:
        """Open a page, with the database or without."""
        backend = self.device.backend()
        assert isinstance(backend.storage, MemoryStorage)
        mirrored = MirroredStorage(backend.storage, MIRRORED)
        await mirrored.open(
            opening(self.database, seconds=0 if opens else 3_600), self.device.now_ms()
        )
        return replace(
            backend,
            storage=mirrored,
            is_mirrored=True,
            storage_problems=mirrored.problems,
            close=mirrored.close,
        )

    def reach_disk(self) -> None:
        """Seconds have passed: localStorage is on the disk as it is now."""
        self._on_disk = dict(self.device.origin.items)

    def kill(self) -> None:
        """Only what was on the disk is left, and no page hears of anything any more."""
        origin = self.device.origin
        origin.items = dict(self._on_disk)
        origin.documents.clear()
        self.database.life += 1
