"""What one client knows of one user's data: base, pending operations, and the view of both.

Pure: no I/O, no clock. The engine applies here what it has already made durable.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from atiha_web.collections import Registry
from atiha_web.sync import hlc
from atiha_web.sync.digest import EMPTY, row_digest
from atiha_web.sync.garbage import no_collection
from atiha_web.sync.merge import LastWriteWins, MergePolicy, State
from atiha_web.sync.names import note_numbers
from atiha_web.sync.operation import Operation, RecordKey
from atiha_web.sync.protocol import Change
from atiha_web.sync.resolution import MERGED, Resolution

_FALLBACK = LastWriteWins()
_TIMESTAMP = attrgetter("timestamp")


def policy_of(registry: Registry, collection: str) -> MergePolicy:
    """The collection's policy; rows of an undeclared collection are only kept."""
    return registry[collection].policy if collection in registry else _FALLBACK


class Row(NamedTuple):
    """One row of the server: its version and state."""

    version: int
    state: State


def _rank(row: Row) -> tuple[int, str]:
    return row.version, row.state.timestamp


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An operation the server refused for good, with the reason in machine and human words."""

    operation: Operation
    code: str
    message: str

    @property
    def stated_at(self) -> datetime:
        """When the refused change was made, UTC."""
        return hlc.to_datetime(self.operation.timestamp)


class Base:
    """The last known state of the server: rows, and the cursor up to which they are complete."""

    def __init__(self, epoch: str | None = None, cursor: int = 0) -> None:
        self.epoch = epoch
        self.cursor = cursor
        self.digest = EMPTY
        self.newest = 0
        """The greatest version of any row."""
        self.rows: dict[RecordKey, Row] = {}

    def put(self, record: RecordKey, row: Row, *, force: bool = False) -> bool:
        """Take a row in unless a newer version of it is already here; tells whether it did."""
        old = self.rows.get(record)
        if old is not None and not force and row.version <= old.version:
            return False
        self.digest ^= self._digest(record, old) ^ self._digest(record, row)
        self.rows[record] = row
        self.newest = max(self.newest, row.version)
        return True

    def put_changes(self, changes: Iterable[Change], registry: Registry) -> list[RecordKey]:
        """Take in one page of changes; returns the records that changed."""
        changed = []
        for change in changes:
            record = RecordKey(change.collection, change.key)
            state = registry.state(change.collection, change.to_state(), change.schema_number)
            if self.put(record, Row(change.version, state)):
                changed.append(record)
        return changed

    def put_newer(self, other: Base) -> list[RecordKey]:
        """Take in the rows that ``other``, of the same epoch, knows better; returns which.

        Only rows beyond the cursor: what else we lack up to there, the server does not have.
        """
        return [
            record
            for record, row in other.rows.items()
            if row.version > self.cursor and self.put(record, row)
        ]

    def ahead_of(self, other: Base) -> list[RecordKey]:
        """The records known better here, where each side numbers what it learns by itself.

        The greater number was given last; of what both numbered alike the later write counts.
        """
        return [
            record
            for record, row in self.rows.items()
            if record not in other.rows or _rank(row) > _rank(other.rows[record])
        ]

    def put_ahead(self, other: Base) -> list[RecordKey]:
        """Take in what ``other`` knows better in that way; returns which records."""
        ahead = other.ahead_of(self)
        for record in ahead:
            self.put(record, other.rows[record], force=True)
        return ahead

    @staticmethod
    def _digest(record: RecordKey, row: Row | None) -> int:
        if row is None or row.state.deleted:
            return EMPTY
        return row_digest(record.collection, record.key, row.version)


class CollectionView(Mapping[str, State]):
    """The live records of one collection by key, newest first where order matters."""

    def __init__(self) -> None:
        self.generation = 0
        """Grows with every change."""
        self.changed = ""
        """The key of the last change, where it was one of a single record."""
        self._states: dict[str, State] = {}
        self._order: list[tuple[str, str]] | None = None
        """Sorted once somebody asks, not in the turn in which thousands are loaded."""

    def __getitem__(self, key: str) -> State:
        return self._states[key]

    def __iter__(self) -> Iterator[str]:
        return (key for _, key in reversed(self._sorted()))

    def __len__(self) -> int:
        return len(self._states)

    def newest(self, limit: int) -> dict[str, State]:
        """The newest records, newest first; as fast for few of many as for few of few."""
        return {key: self._states[key] for key in islice(self, limit)}

    def load(self, states: dict[str, State]) -> None:
        """Replace everything at once."""
        self.generation += 1
        self.changed = ""
        self._states = states
        self._order = None

    def set(self, key: str, state: State | None) -> bool:
        """Put, replace or (``None``) take away one record; tells whether anything changed."""
        old = self._states.get(key)
        if old == state:
            return False
        self.generation += 1
        self.changed = key
        if old is not None:
            if self._order is not None:
                del self._order[bisect_left(self._order, (old.timestamp, key))]
            del self._states[key]
        if state is not None:
            if self._order is not None:
                insort(self._order, (state.timestamp, key))
            self._states[key] = state
        return True

    def _sorted(self) -> list[tuple[str, str]]:
        if self._order is None:
            times = map(_TIMESTAMP, self._states.values())
            with no_collection():
                self._order = sorted(zip(times, self._states, strict=True))
        return self._order


class Replica:
    """Base, pending and quarantined operations of one user, and the views they amount to."""

    def __init__(self, registry: Registry, resolution: Resolution = MERGED) -> None:
        self.registry = registry
        self.resolution = resolution
        self.latest = ""
        """The newest timestamp of any operation seen."""
        self.settled: Counter[str] = Counter()
        """How many operations have left the journal, by collection."""
        self.base = Base()
        self.pending: dict[str, Operation] = {}
        self.left: dict[str, int] = {}
        """The greatest number of each writer whose operations have left the journal."""
        self.departures = 0
        """Grows whenever a pending operation goes or is restated."""
        self.quarantine: dict[str, Quarantined] = {}
        self.views = {name: CollectionView() for name in registry}
        self._by_record: dict[RecordKey, list[Operation]] = {}

    def load(self, base: Base, pending: Iterable[Operation]) -> None:
        """Start from what storage held."""
        for operation in sorted(pending, key=lambda item: (item.timestamp, item.id)):
            self._index(operation)
        self.swap_base(base)

    def swap_base(self, base: Base) -> None:
        """Put another base under the pending operations and rebuild every view."""
        self.base = base
        states: dict[str, dict[str, State]] = {name: {} for name in self.views}
        with no_collection():
            for (collection, key), (_, state) in base.rows.items():
                if state.data is not None and collection in states:
                    states[collection][key] = state
        for name, view in self.views.items():
            view.load(states[name])
        self.refresh(self._by_record)

    def release(self) -> None:
        """Let go of the rows and the views of them, which nobody will ask for any more."""
        self.base = Base(self.base.epoch, self.base.cursor)
        for view in self.views.values():
            view.load({})

    def state(self, record: RecordKey) -> State | None:
        """What the server will answer for ``record`` once it has seen everything pending."""
        row = self.base.rows.get(record)
        state = row.state if row is not None else None
        operations = self._by_record.get(record)
        if operations:
            policy = policy_of(self.registry, record.collection)
            for operation in operations:
                state = self.resolution.apply(policy, state, operation)
        return state

    def newest_timestamp(self, record: RecordKey) -> str | None:
        """The newest timestamp known for ``record``, of base or of a pending operation."""
        return max(self.timestamps(record), default=None)

    def newest_before(self, record: RecordKey) -> str | None:
        """What the timestamp of a new operation on ``record`` must be later than."""
        known = self.newest_timestamp(record)
        if not self.resolution.in_order:
            return known
        return max(known or "", self.latest) or None

    def timestamps(self, record: RecordKey, *, apart_from: Container[str] = ()) -> list[str]:
        """The timestamps known for ``record``, of base and of pending operations.

        ``apart_from`` names operations that do not count.
        """
        row = self.base.rows.get(record)
        known = [row.state.timestamp] if row is not None else []
        return known + [
            operation.timestamp
            for operation in self._by_record.get(record, ())
            if operation.id not in apart_from
        ]

    def covered_by(self, operation: Operation) -> list[Operation]:
        """Pending operations that say nothing beyond what ``operation`` says."""
        policy = policy_of(self.registry, operation.collection)
        return [
            older
            for older in self._by_record.get(operation.record, ())
            if older.id != operation.id and self.resolution.covers(policy, operation, older)
        ]

    def pending_for(self, record: RecordKey) -> list[Operation]:
        """The pending operations of one record, oldest first."""
        return list(self._by_record.get(record, ()))

    def add(self, operation: Operation) -> bool:
        """Take in an operation already in the journal; tells whether the view changed."""
        old = self.pending.get(operation.id)
        if old is not None:
            self._unindex(old)
        self._index(operation)
        return self.refresh([operation.record])

    def remove(self, operation_ids: Iterable[str]) -> None:
        """Forget operations that left the journal, refreshing what they stated."""
        gone = [self.pending[name] for name in operation_ids if name in self.pending]
        note_numbers(self.left, (operation.id for operation in gone))
        for operation in gone:
            self._unindex(operation)
            self.settled[operation.collection] += 1
        self.refresh(operation.record for operation in gone)

    def refresh(self, records: Iterable[RecordKey]) -> bool:
        """Recompute these records' views; tells whether any changed."""
        changed = False
        for record in records:
            view = self.views.get(record.collection)
            if view is not None:
                state = self.state(record)
                live = state if state is not None and not state.deleted else None
                changed |= view.set(record.key, live)
        return changed

    def _index(self, stored: Operation) -> None:
        operation = self.registry.operation(stored)
        self.pending[operation.id] = operation
        self.latest = max(self.latest, operation.timestamp)
        siblings = self._by_record.setdefault(operation.record, [])
        insort(siblings, operation, key=lambda item: (item.timestamp, item.id))

    def _unindex(self, operation: Operation) -> None:
        self.departures += 1
        del self.pending[operation.id]
        siblings = self._by_record[operation.record]
        siblings.remove(operation)
        if not siblings:
            del self._by_record[operation.record]
