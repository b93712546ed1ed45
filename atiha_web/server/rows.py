"""Row storage: what the sync needs of a database, and no more.

Two implementations stand behind it, PostgreSQL and memory, under one contract suite.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from atiha_web.server.errors import ServerError
from atiha_web.sync.merge import State
from atiha_web.sync.operation import RecordKey

T = TypeVar("T")


class BusyError(ServerError):
    """The user's rows could not be had in time; nothing was changed; trying again may help."""


class UnknownUserError(ServerError):
    """There is no such user, or not any more; nothing was changed."""


@dataclass(frozen=True, slots=True)
class SyncState:
    """Where a user's rows stand: ``counter`` is the newest version, ``digest`` unsigned 64-bit."""

    epoch: str
    counter: int = 0
    digest: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One record as stored; ``data`` is ``None`` for a tombstone.

    ``schema`` is the number of the collection's schema that the data was written under.
    """

    collection: str
    key: str
    version: int
    timestamp: str
    data: Mapping[str, Any] | None
    schema: int = 1

    @property
    def record(self) -> RecordKey:
        """Which record this is."""
        return RecordKey(self.collection, self.key)

    @property
    def state(self) -> State:
        """As it was written; a newer server's collection may have another shape."""
        return State(self.timestamp, self.data)


class Transaction(Protocol):
    """One user's rows, locked: nobody else writes them until the transaction ends."""

    @property
    def state(self) -> SyncState:
        """The state at the time of the lock, whatever was written since."""
        ...

    async def read(self, records: Collection[RecordKey]) -> dict[RecordKey, Row]:
        """The rows of these records; those that never existed are missing. Tombstones included."""
        ...

    async def write(self, rows: Sequence[Row], state: SyncState) -> None:
        """Insert or replace each row (each record at most once) and store the new state."""
        ...

    async def changes(self, cursor: int, limit: int) -> list[Row]:
        """At most ``limit`` rows with a version above ``cursor``, in order of version.

        Rows written by this transaction are not among them.
        """
        ...


class RowStore(Protocol):
    """The rows of all users. Every call names the user and sees nobody else's rows."""

    async def push(self, user_id: str, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction and commit; an exception changes nothing.

        Pushes of one user run one after another. ``work`` may be run again after a conflict, so
        it must do nothing else than read and write.

        Raises:
            BusyError: the lock was not to be had in time.
            UnknownUserError: the store knows its users, and this is none.
        """
        ...

    async def poll(self, user_id: str, cursor: int, limit: int) -> tuple[SyncState, list[Row]]:
        """State and changed rows of one moment; waits for no lock, and takes none.

        Raises:
            UnknownUserError: the store knows its users, and this is none.
        """
        ...

    async def list(self, user_id: str, collection: str, limit: int) -> list[Row]:
        """The live rows of one collection, the newest timestamp first."""
        ...

    async def page(self, user_id: str, after: RecordKey | None, limit: int) -> Sequence[Row]:
        """At most ``limit`` live rows after that record, in order of collection and key."""
        ...

    async def renew_epochs(self) -> int:
        """Give every user a new epoch, so that all clients pull anew; returns how many."""
        ...


def new_epoch() -> str:
    """A fresh epoch: 16 hex digits."""
    return secrets.token_hex(8)


class RowSource(Protocol):
    """Whatever holds a row store, opened by the time requests come."""

    @property
    def rows(self) -> RowStore:
        """The store."""
        ...
