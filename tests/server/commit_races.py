"""Three ways to ask "what is new?", each with writers that commit late: ours and two common ones.

`CounterFeed` is the shipped server. `UpdatedAtFeed` and `SequenceFeed` are what one would write
without thinking of transactions that are open; they are here to show that the tests can fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

import asyncpg

from atiha_web.collections import BUILT_IN, Registry
from atiha_web.server.push import synchronise
from atiha_web.server.rows import RowStore, T, Transaction
from atiha_web.server.rows_postgres import PostgresRows
from atiha_web.sync import hlc
from atiha_web.sync.protocol import SyncReply, SyncRequest

Hold = Callable[[], Awaitable[object]]
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

USER = "ada"
NOW = 1_760_000_000_000
WRITER = "0123456789ab"


async def at_once() -> None:
    """Hold nothing back."""


class Feed(Protocol):
    """Records that several write and one reader follows; a record is its key and a number."""

    async def write(self, key: str, number: int, hold: Hold = at_once) -> None:
        """Write on a connection of its own, and commit when ``hold`` returns."""
        ...

    async def news(self) -> dict[str, int]:
        """What a reader gets who asks again from where it stopped, by key."""
        ...


class LateRows(PostgresRows):
    """Pushes are ready, and commit when ``hold`` returns.

    One for each push, as each process has its own: in one, a user gets two connections.
    """

    def __init__(self, pool: Pool, hold: Hold) -> None:
        super().__init__(pool)
        self._hold = hold

    async def push(self, user_id: str, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async def late(transaction: Transaction) -> T:
            done = await work(transaction)
            await self._hold()
            return done

        return await super().push(user_id, late)


class CounterFeed:
    """The shipped server: a version from a counter under the user's row lock."""

    def __init__(self, pool: Pool, limit: int = 500) -> None:
        self._pool = pool
        self._collections = Registry(BUILT_IN)
        self._seen = SyncRequest(protocol=1, cursor=0, limit=limit)

    async def write(self, key: str, number: int, hold: Hold = at_once) -> None:
        data = {"rating": 5, "number": number}
        timestamp = hlc.tick(NOW + number, WRITER)
        operation = {
            "id": f"{WRITER}-{number}",
            "collection": "ratings",
            "key": key,
            "type": "put",
            "timestamp": timestamp,
            "data": data,
        }
        request = SyncRequest(protocol=1, cursor=0, operations=[operation])
        reply = await self._sync(LateRows(self._pool, hold), request)
        assert reply.results[0].status in {"applied", "superseded"}

    async def news(self) -> dict[str, int]:
        reply = await self._sync(PostgresRows(self._pool), self._seen)
        assert not reply.reset
        self._seen = SyncRequest(
            protocol=1, epoch=reply.epoch, cursor=reply.cursor, limit=self._seen.limit
        )
        return {change.key: (change.data or {})["number"] for change in reply.changes}

    async def _sync(self, rows: RowStore, request: SyncRequest) -> SyncReply:
        return await synchronise(rows, self._collections, USER, request, NOW)


class TableFeed:
    """A table with a column that says when a row changed; the reader asks for what is above."""

    column: str
    new_mark: str
    """What a row that is written now gets."""
    first_mark: object
    """Below every mark."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._seen = self.first_mark

    @classmethod
    async def create(cls, pool: Pool) -> Feed:
        """On a new table."""
        await pool.execute("CREATE SEQUENCE marks")
        await pool.execute(f"CREATE TABLE films (key text PRIMARY KEY, number int, {cls.column})")
        return cls(pool)

    async def write(self, key: str, number: int, hold: Hold = at_once) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                f"""
                INSERT INTO films (key, number, mark) VALUES ($1, $2, {self.new_mark})
                ON CONFLICT (key) DO UPDATE SET number = excluded.number, mark = excluded.mark
                """,  # noqa: S608 - an expression from this file
                key,
                number,
            )
            await hold()

    async def news(self) -> dict[str, int]:
        found = await self._pool.fetch(
            "SELECT key, number, mark FROM films WHERE mark > $1 ORDER BY mark", self._seen
        )
        if found:
            self._seen = found[-1]["mark"]
        return {row["key"]: row["number"] for row in found}


class UpdatedAtFeed(TableFeed):
    """A cursor over a time of change."""

    column = "mark timestamptz"
    new_mark = "now()"
    first_mark = datetime.min.replace(tzinfo=UTC)


class SequenceFeed(TableFeed):
    """A cursor over the values of a sequence."""

    column = "mark bigint"
    new_mark = "nextval('marks')"
    first_mark = 0


_BLOCKED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


class Writers:
    """Writers who began in a known order and commit when they are told."""

    def __init__(self, feed: Feed, pool: Pool) -> None:
        self.holding: list[str] = []
        """Who could commit now, in the order in which they got there."""
        self._feed = feed
        self._pool = pool
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._may_commit: dict[str, asyncio.Event] = {}

    async def begin(self, key: str, number: int) -> None:
        """Let somebody write, until that is ready to be committed or waits for somebody else."""
        self._may_commit[key] = asyncio.Event()

        async def hold() -> None:
            self.holding.append(key)
            await self._may_commit[key].wait()

        self._tasks[key] = asyncio.create_task(self._feed.write(key, number, hold))
        await self._settle()

    async def commit(self, key: str) -> None:
        """Let one of ``holding`` commit, and who waited for that get ready."""
        self.holding.remove(key)
        self._may_commit[key].set()
        await self._tasks.pop(key)
        await self._settle()

    async def _settle(self) -> None:
        """Wait until somebody is ready and everybody else waits for a lock."""
        while self._tasks:
            ready = len(self.holding)
            if ready and ready + await self._pool.fetchval(_BLOCKED) == len(self._tasks):
                return
            done, _ = await asyncio.wait(self._tasks.values(), timeout=0)
            for failed in done:
                failed.result()
            await asyncio.sleep(0)
