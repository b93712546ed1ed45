"""Row storage in PostgreSQL: one short transaction a push, one statement a poll."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias
from weakref import WeakValueDictionary

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from pydantic_core import from_json

from atiha_web.server import statements
from atiha_web.server.rows import (
    BusyError,
    Row,
    SyncState,
    T,
    Transaction,
    UnknownUserError,
    new_epoch,
)
from atiha_web.sync.operation import RecordKey, dump_json

ATTEMPTS = 4
REQUESTS_PER_USER = 2
ACQUIRE_SECONDS = 5.0

_MAX_PAUSE = 0.05
_MAX_BIGINT = (1 << 63) - 1
_CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


class PostgresRows:
    """A ``RowStore`` on a connection pool; processes that share the database share the rows.

    With ``registered_only`` a user without a state is none: accounts are kept here too, and a
    state is made and removed with its account. Otherwise a user's first request makes it.
    """

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], *, registered_only: bool = False
    ) -> None:
        self._pool = pool
        self._registered_only = registered_only
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def push(self, user_id: str, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """See ``RowStore.push``; a conflict repeats the whole transaction, at most 3 times."""
        async with self._connection(user_id) as connection:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return await self._transact(connection, user_id, work)
                except _CONFLICTS as error:
                    if attempt == ATTEMPTS:
                        raise BusyError("the rows were in conflict; try again") from error
                    await asyncio.sleep(random.uniform(0, _MAX_PAUSE) * attempt)  # noqa: S311 - jitter
                except asyncpg.LockNotAvailableError as error:
                    raise BusyError("another device is writing; try again") from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def poll(self, user_id: str, cursor: int, limit: int) -> tuple[SyncState, list[Row]]:
        """See ``RowStore.poll``; one statement, save for a user's very first."""
        async with self._connection(user_id) as connection:
            asked = (user_id, min(cursor, _MAX_BIGINT), limit)
            found = await connection.fetch(statements.POLL, *asked)
            if not found:
                await self._begin(connection, user_id)
                found = await connection.fetch(statements.POLL, *asked)
        return _state(found[0]), [_row(row) for row in found if row["version"] is not None]

    async def list(self, user_id: str, collection: str, limit: int) -> list[Row]:
        """See ``RowStore.list``."""
        async with self._connection(user_id) as connection:
            found = await connection.fetch(statements.LIST, user_id, collection, limit)
        return [_row(row) for row in found]

    async def page(self, user_id: str, after: RecordKey | None, limit: int) -> Sequence[Row]:
        """See ``RowStore.page``."""
        # No collection has an empty name, so nothing comes before this.
        place = after or ("", "")
        async with self._connection(user_id) as connection:
            found = await connection.fetch(statements.PAGE, user_id, *place, limit)
        return [_row(row) for row in found]

    async def renew_epochs(self) -> int:
        """See ``RowStore.renew_epochs``."""
        async with self._pool.acquire() as connection:
            return int((await connection.execute(statements.RENEW_EPOCHS)).split()[-1])

    @asynccontextmanager
    async def _connection(self, user_id: str) -> AsyncIterator[Connection]:
        """A connection; one user's devices never take more than two, however many ask at once."""
        gate = self._gates.setdefault(user_id, asyncio.Semaphore(REQUESTS_PER_USER))
        try:
            async with gate, self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                yield connection
        except TimeoutError as error:
            raise BusyError("the database took too long; try again") from error

    async def _transact(
        self, connection: Connection, user_id: str, work: Callable[[Transaction], Awaitable[T]]
    ) -> T:
        async with connection.transaction(isolation="read_committed"):
            found = await connection.fetch(statements.LOCK_STATE, user_id)
            if not found:
                await self._begin(connection, user_id)
                found = await connection.fetch(statements.LOCK_STATE, user_id)
            return await work(_PostgresTransaction(connection, user_id, _state(found[0])))

    async def _begin(self, connection: Connection, user_id: str) -> None:
        """The state of a user's very first request."""
        if self._registered_only:
            raise UnknownUserError("there is no such account")
        await connection.execute(statements.CREATE_STATE, user_id, new_epoch())


class _PostgresTransaction:
    def __init__(self, connection: Connection, user_id: str, state: SyncState) -> None:
        self._connection = connection
        self._user_id = user_id
        self.state = state

    async def read(self, records: Collection[RecordKey]) -> dict[RecordKey, Row]:
        collections, keys = _transpose(records, 2)
        found = await self._connection.fetch(statements.READ, self._user_id, collections, keys)
        return {row.record: row for row in map(_row, found)}

    async def write(self, rows: Sequence[Row], state: SyncState) -> None:
        values = (
            (
                row.collection,
                row.key,
                row.version,
                row.timestamp,
                None if row.data is None else dump_json(row.data),
                row.schema,
            )
            for row in rows
        )
        await self._connection.execute(statements.WRITE, self._user_id, *_transpose(values, 6))
        await self._connection.execute(
            statements.WRITE_STATE, self._user_id, state.counter, _signed(state.digest)
        )

    async def changes(self, cursor: int, limit: int) -> list[Row]:
        found = await self._connection.fetch(
            statements.CHANGES, self._user_id, cursor, self.state.counter, limit
        )
        return [_row(row) for row in found]


def _transpose(rows: Iterable[Sequence[object]], width: int) -> list[list[object]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


def _row(found: asyncpg.Record) -> Row:
    data = found["data"]
    return Row(
        found["collection"],
        found["key"],
        found["version"],
        found["timestamp"],
        None if data is None else from_json(data),
        found["schema"],
    )


def _state(found: asyncpg.Record) -> SyncState:
    return SyncState(found["epoch"], found["counter"], found["digest"] % (1 << 64))


def _signed(digest: int) -> int:
    """An unsigned 64-bit number as PostgreSQL's ``bigint`` holds it."""
    return digest - (1 << 64) if digest > _MAX_BIGINT else digest
