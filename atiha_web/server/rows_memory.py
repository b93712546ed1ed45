"""Row storage in memory: for tests, and to try things without PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from atiha_web.server.rows import Row, SyncState, T, Transaction, new_epoch
from atiha_web.sync.operation import RecordKey


@dataclass
class _User:
    state: SyncState = field(default_factory=lambda: SyncState(new_epoch()))
    rows: dict[RecordKey, Row] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def changes(self, cursor: int, limit: int) -> list[Row]:
        rows = (row for row in self.rows.values() if row.version > cursor)
        return sorted(rows, key=lambda row: row.version)[:limit]


class MemoryRows:
    """A ``RowStore`` that forgets everything when it goes."""

    def __init__(self) -> None:
        self._users: defaultdict[str, _User] = defaultdict(_User)

    async def push(self, user_id: str, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """See ``RowStore.push``; never busy, as waiting ends with the other's work."""
        user = self._users[user_id]
        async with user.lock:
            transaction = _MemoryTransaction(user)
            outcome = await work(transaction)
            transaction.commit()
            return outcome

    async def poll(self, user_id: str, cursor: int, limit: int) -> tuple[SyncState, list[Row]]:
        """See ``RowStore.poll``."""
        user = self._users[user_id]
        return user.state, user.changes(cursor, limit)

    async def list(self, user_id: str, collection: str, limit: int) -> list[Row]:
        """See ``RowStore.list``."""
        rows = self._users[user_id].rows.values()
        live = [row for row in rows if row.collection == collection and row.data is not None]
        return sorted(live, key=lambda row: row.timestamp, reverse=True)[:limit]

    async def page(self, user_id: str, after: RecordKey | None, limit: int) -> Sequence[Row]:
        """See ``RowStore.page``."""
        rows = self._users[user_id].rows
        found = sorted(record for record in rows if after is None or record > after)
        return [rows[record] for record in found if rows[record].data is not None][:limit]

    async def renew_epochs(self) -> int:
        """See ``RowStore.renew_epochs``."""
        for user in self._users.values():
            user.state = replace(user.state, epoch=new_epoch())
        return len(self._users)


class _MemoryTransaction:
    def __init__(self, user: _User) -> None:
        self._user = user
        self.state = user.state
        self._new_state = user.state
        self._written: dict[RecordKey, Row] = {}

    async def read(self, records: Collection[RecordKey]) -> dict[RecordKey, Row]:
        return {record: row for record in records if (row := self._user.rows.get(record))}

    async def write(self, rows: Sequence[Row], state: SyncState) -> None:
        self._written |= {row.record: row for row in rows}
        self._new_state = state

    async def changes(self, cursor: int, limit: int) -> list[Row]:
        # Rows about to be replaced do not count: their next version is above the state's.
        rows = self._user.changes(cursor, len(self._user.rows))
        return [row for row in rows if row.record not in self._written][:limit]

    def commit(self) -> None:
        self._user.rows |= self._written
        self._user.state = self._new_state
