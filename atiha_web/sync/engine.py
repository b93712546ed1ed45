"""The engine of one signed-in user: accepts writes, keeps storage and views in step with them.

Every step becomes durable before it is believed: an operation is in the journal before the call
returns, and leaves it only after base, with the server's result, is stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from atiha_web.backends.base import Backend, Level, StorageChange
from atiha_web.collections import Registry, iso
from atiha_web.errors import ClosedError, InvalidDataError, OperationRejectedError, StorageFullError
from atiha_web.sync import hlc
from atiha_web.sync.clock import CorrectedClock, shift_operation
from atiha_web.sync.digest import to_text
from atiha_web.sync.hub import Hub
from atiha_web.sync.journal import LAST_SYNC_KEY, Names, decode_operation
from atiha_web.sync.last_sync import LastSync
from atiha_web.sync.local_store import LocalStore, write_views
from atiha_web.sync.merge import State
from atiha_web.sync.operation import Operation, RecordKey
from atiha_web.sync.protocol import SyncReply
from atiha_web.sync.reconcile import Verdicts, read_results, shift_back
from atiha_web.sync.replica import Base, Quarantined, Replica
from atiha_web.sync.stored_views import StoredViews

logger = logging.getLogger("atiha_web")


@dataclass(frozen=True, slots=True)
class Conflict:
    """A local write that lost: what was written, and the state that won."""

    operation: Operation
    winner: State


@dataclass(frozen=True, slots=True)
class Write:
    """A write that has been accepted: it is in local storage and will reach the server.

    ``operation`` is ``None`` where nothing had to change; ``record`` is the entry as it reads
    now, ``None`` after a removal.
    """

    operation: Operation | None
    record: BaseModel | None
    engine: Engine

    async def saved(self, level: Level = "server") -> None:
        """Return once the write survives what ``level`` names: ``local``, ``disk``, ``server``.

        Raises:
            SaveError: this platform cannot promise that level.
            OperationRejectedError: the server refused the write; it is in quarantine.
            ClosedError: the client was closed first; the write is kept and sent later.
        """
        if self.operation is not None:
            await self.engine.wait_saved(self.operation, level)


@dataclass(frozen=True, slots=True)
class Asked:
    """The position a request was made from; a reply counts only if it is still ours."""

    epoch: str | None
    cursor: int


@dataclass(frozen=True, slots=True)
class Applied:
    """What one reply brought."""

    verdicts: Verdicts
    received: int


class Engine:
    """One user's replica on this device. ``SyncCycle`` moves it towards the server."""

    def __init__(self, backend: Backend, registry: Registry, user_id: str) -> None:
        self.backend = backend
        self.registry = registry
        self.user_id = user_id
        self.names = Names(user_id)
        self.clock = CorrectedClock(backend.now_ms, backend.random_hex(hlc.WRITER_DIGITS))
        self.replica = Replica(registry)
        self.problems: list[str] = []
        self.conflicts: Hub[tuple[Conflict, ...]] = Hub(lambda: tuple(self._conflicts))
        self.changes: Hub[None] = Hub(lambda: None)
        self.last_sync: datetime | None = None
        self.storage_full = False
        self._conflicts: list[Conflict] = []
        self._store = LocalStore(
            backend.storage, self.names, self.clock.writer, registry.schemas
        )
        self._views = StoredViews(self.replica, self.names)
        self._times = LastSync(backend.storage)
        self._incoming: Base | None = None
        self._mutex = asyncio.Lock()
        self._numbers = 0
        self._made_under: dict[str, int] = {}
        self._replaced_by: dict[str, str] = {}
        self._foreign: asyncio.Queue[StorageChange] = asyncio.Queue()
        self._listener: asyncio.Task[None] | None = None
        self._unsubscribe = lambda: None
        self._closed = False

    # -- lifecycle -------------------------------------------------------------------------

    async def open(self) -> None:
        """Read what storage holds and start to follow other tabs. Makes no request."""
        self._unsubscribe = self.backend.storage.subscribe(self._foreign.put_nowait)
        async with self._mutex:
            opened = await self._store.open()
            self.problems = opened.problems
            for problem in opened.problems:
                logger.error("%s", problem)
            self.replica.quarantine = opened.quarantine
            self.replica.load(opened.base, opened.pending)
            if opened.base.cursor == 0 and opened.base.rows:
                self._incoming = Base()
            self.last_sync = await self._times.newest(self._cache_keys())
            await self._render(self.registry)
        self._listener = asyncio.create_task(self._follow_other_tabs())

    async def close(self) -> None:
        """Stop following; everything pending stays in storage. Idempotent."""
        self._closed = True
        self._unsubscribe()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
        self.changes.close()
        self.conflicts.close()

    async def erase(self) -> None:
        """Remove all of this user's data from this device, views included. Close comes first."""
        async with self._mutex:
            await self._store.erase()
            await self._remove_views()

    async def remove_views(self) -> None:
        """Remove what other pages could read of this user; journal and base stay."""
        async with self._mutex:
            await self._remove_views()

    async def _remove_views(self) -> None:
        await write_views(self.backend.storage, dict.fromkeys(self._views.all_keys()))
        await self._times.forget(self._cache_keys())

    # -- reading ---------------------------------------------------------------------------

    def view(self, collection: str) -> Mapping[str, State]:
        """The live records of a collection by key, newest first.

        Raises:
            UnknownCollectionError: nobody declared it.
        """
        return self.replica.views[self.registry[collection].name]

    def entry(self, collection: str, key: str) -> BaseModel | None:
        """One live record as an instance of its model.

        Raises:
            InvalidDataError: what is stored does not fit the model.
        """
        state = self.view(collection).get(key)
        if state is None:
            return None
        return self.registry[collection].entry(self.user_id, key, state)

    def entries(self, collection: str, limit: int | None = None) -> list[BaseModel]:
        """The newest live records as instances of their model; unreadable ones are left out."""
        declared, view = self.registry[collection], self.view(collection)
        found: list[BaseModel] = []
        for key in view:
            if limit is not None and len(found) >= limit:
                break
            try:
                found.append(declared.entry(self.user_id, key, view[key]))
            except InvalidDataError as error:
                self._note_problem(str(error))
        return found

    def snapshot(self, collection: str) -> dict[str, BaseModel]:
        """All readable live records by key, newest first."""
        declared = self.registry[collection]
        return {
            declared.key_of(entry.model_dump(include={declared.key})): entry
            for entry in self.entries(collection)
        }

    def generation(self, collection: str) -> int:
        """A number that grows whenever the collection's view changes."""
        return self.replica.views[collection].generation

    # -- writing ---------------------------------------------------------------------------

    async def write(self, collection: str, key: str, data: Mapping[str, Any] | None) -> Write:
        """State a record anew, or delete it (``None``); durable locally on return.

        Raises:
            InvalidDataError: bad data; nothing was changed.
            StorageFullError: no room, even without cached data; nothing was changed.
            ClosedError: the client was closed.
        """
        declared = self.registry[collection]
        record = RecordKey(collection, key)
        async with self._mutex:
            self._check_open()
            state = self.replica.state(record)
            timestamp = self.clock.tick(self.replica.newest_timestamp(record))
            payload = None if data is None else declared.build(key, data, state, timestamp)
            operation = Operation(
                self._next_id(), collection, key, payload, timestamp, declared.schema
            )
            await self._accept(operation)
        return Write(operation, self.entry(collection, key), self)

    async def _accept(self, operation: Operation) -> None:
        covered = self.replica.covered_by(operation)
        try:
            await self._store.append(operation, covered)
        except StorageFullError:
            self.storage_full = True
            self.changes.notify()
            raise
        self.storage_full = False
        self._made_under[operation.id] = self.clock.offset_ms
        self.replica.add(operation)
        self._replace(covered, operation)
        self.replica.remove(older.id for older in covered)
        await self._render([operation.collection])

    def _replace(self, covered: Iterable[Operation], newer: Operation) -> None:
        for older in covered:
            self._replaced_by[older.id] = newer.id
            self._made_under.pop(older.id, None)

    def _next_id(self) -> str:
        self._numbers += 1
        return f"{self.clock.writer}-{self._numbers}"

    async def wait_saved(self, operation: Operation, level: Level) -> None:
        """See ``Write.saved``."""
        if level != "server":
            await self.backend.storage.flush(level)
            return
        async for _ in self.changes.follow():
            name = operation.id
            while name in self._replaced_by:
                name = self._replaced_by[name]
            refused = self.replica.quarantine.get(name)
            if refused is not None:
                raise OperationRejectedError(refused.message, refused.code)
            if name not in self.replica.pending:
                return
        raise ClosedError("the client was closed before the server had the write; it is kept")

    # -- quarantine ------------------------------------------------------------------------

    async def retry_quarantined(
        self, operation_id: str, data: Mapping[str, Any] | None = None
    ) -> Write:
        """Send a refused operation again, with other ``data`` where given.

        Raises:
            KeyError: it is not in quarantine.
            InvalidDataError: the new data is bad; nothing was changed.
        """
        refused = self.replica.quarantine[operation_id].operation
        stated = refused.data if data is None else data
        write = await self.write(refused.collection, refused.key, stated)
        await self.drop_quarantined([operation_id])
        return write

    async def drop_quarantined(self, operation_ids: Iterable[str]) -> None:
        """Forget refused operations for good."""
        names = list(operation_ids)
        async with self._mutex:
            await self._store.drop_quarantined(names)
            for name in names:
                self.replica.quarantine.pop(name, None)
        self.changes.notify()

    # -- syncing ---------------------------------------------------------------------------

    @property
    def target(self) -> Base:
        """The base that changes go to: the one shown, or the one being built beside it."""
        return self._incoming or self.replica.base

    def asked(self) -> Asked:
        """The position to ask for changes from."""
        return Asked(self.target.epoch, self.target.cursor)

    @property
    def rebuilding(self) -> bool:
        """Whether base is being built anew beside the one shown."""
        return self._incoming is not None

    def rebuild(self, epoch: str | None) -> None:
        """Pull everything again; what is known stays readable until that is complete."""
        self._incoming = Base(epoch)

    async def catch_up(self) -> None:
        """Agree with storage, which other tabs may have changed unheard."""
        async with self._mutex:
            await self._reload_base()
            stored = set(await self._store.journal_ids())
            missing = [name for name in self.replica.pending if name not in stored]
            if missing and await self._cleared():
                await self._restore()
            else:
                self._forget(missing)
            for name in sorted(stored - self.replica.pending.keys()):
                operation = await self._store.read_operation(name)
                if operation is not None:
                    self.replica.add(operation)
            await self._store.sweep_pages()
            await self._render(self.registry)

    async def _cleared(self) -> bool:
        # Another tab acknowledges only after it stored base, so journal keys that vanished
        # with no base beside them were cleared by somebody.
        [manifest] = await self.backend.storage.read([self.names.manifest])
        return manifest is None and self._store.keeps_base

    async def apply(
        self, asked: Asked, operations: list[Operation], reply: SyncReply, sent_ms: int
    ) -> Applied:
        """Carry out one reply, in the order that loses nothing at any crash."""
        async with self._mutex:
            self._check_open()
            measured = self.clock.measure(reply.server_time, sent_ms, self.clock.local_ms())
            still = [self.replica.pending.get(item.id, item) for item in operations]
            verdicts = read_results(self.registry, still, reply)
            self._note_conflicts(verdicts)
            changed = self._take_rows(verdicts, reply)
            received = self._take_changes(asked, reply, changed)
            await self._persist(changed, complete=not reply.more and not reply.reset)
            await self._settle(verdicts)
            self.replica.refresh(changed)
            await self._move_in_time(verdicts, reply.server_time, measured=measured)
            await self._render(self.registry)
        return Applied(verdicts, received)

    def _take_rows(self, verdicts: Verdicts, reply: SyncReply) -> set[RecordKey]:
        changed = set()
        base = self.replica.base
        foreign = base.epoch is not None and base.epoch != reply.epoch
        for operation, row in verdicts.acknowledged.values():
            if base.put(operation.record, row, force=foreign):
                changed.add(operation.record)
            if self._incoming is not None:
                self._incoming.put(operation.record, row)
        return changed

    def _take_changes(self, asked: Asked, reply: SyncReply, changed: set[RecordKey]) -> int:
        """Apply changes if they were asked for from where we still are (compare and set)."""
        if reply.reset:
            self.rebuild(reply.epoch)
            return 0
        if asked != self.asked():
            return 0
        target = self.target
        records = target.put_changes(reply.changes)
        target.epoch, target.cursor = reply.epoch, reply.cursor
        if target is self.replica.base:
            changed.update(records)
        if not reply.more and reply.digest not in (None, to_text(target.digest)):
            self._note_problem("cached data differed from the server's; it was pulled again")
            # Once is enough: a digest that still differs after that is no reason to go on for ever.
            if target is self.replica.base:
                self.rebuild(reply.epoch)
        return len(reply.changes)

    async def _persist(self, changed: set[RecordKey], *, complete: bool) -> None:
        if self._incoming is None or not complete or self._incoming.epoch is None:
            await self._store.save_base(self.replica.base, changed)
            return
        # Everything was pulled anew: store it, show it, and only then drop the old.
        base, self._incoming = self._incoming, None
        await self._store.replace_base(base)
        self.replica.swap_base(base)

    async def refuse(self, entry: Quarantined) -> None:
        """Put a pending operation into quarantine."""
        async with self._mutex:
            await self._settle(Verdicts(rejected=[entry]))
            await self._render([entry.operation.collection])

    async def _settle(self, verdicts: Verdicts) -> None:
        for entry in verdicts.rejected:
            await self._store.put_in_quarantine(entry)
            self.replica.quarantine[entry.operation.id] = entry
        await self._store.remove(verdicts.acknowledged)
        done = [*verdicts.acknowledged, *(entry.operation.id for entry in verdicts.rejected)]
        self._forget(done)

    def _forget(self, operation_ids: Iterable[str]) -> None:
        names = list(operation_ids)
        self.replica.remove(names)
        gone = set(names)
        for name in names:
            self._made_under.pop(name, None)
        if self._replaced_by:
            self._replaced_by = {
                older: newer
                for older, newer in self._replaced_by.items()
                if newer not in gone or newer in self.replica.quarantine
            }

    async def _move_in_time(
        self, verdicts: Verdicts, server_ms: int, *, measured: bool
    ) -> None:
        """Correct the timestamps of operations made under a wrong clock."""
        moved = shift_back(
            verdicts.ahead,
            offset_ms=self.clock.offset_ms,
            server_ms=server_ms,
            newest=self._newest_apart_from({item.id for item in verdicts.ahead}),
        )
        if measured:
            refused = {item.id for item in verdicts.ahead}
            moved += [
                shift_operation(operation, self.clock.offset_ms - self._made_under[name])
                for name, operation in self.replica.pending.items()
                if name in self._made_under and name not in refused
            ]
        for operation in moved:
            self._made_under[operation.id] = self.clock.offset_ms
            await self._store.append(operation)
            self.replica.add(operation)

    def _newest_apart_from(self, names: set[str]) -> Any:
        def newest(record: RecordKey) -> str | None:
            row = self.replica.base.rows.get(record)
            known = [row.state.timestamp] if row is not None else []
            known += [
                item.timestamp for item in self.replica.pending_for(record) if item.id not in names
            ]
            return max(known, default=None)

        return newest

    def _note_conflicts(self, verdicts: Verdicts) -> None:
        lost = []
        for name in verdicts.superseded:
            operation, row = verdicts.acknowledged[name]
            if row.state.timestamp != operation.timestamp:
                lost.append(Conflict(operation, row.state))
        if lost:
            self._conflicts = [*self._conflicts, *lost][-50:]
            self.conflicts.notify()

    def _note_problem(self, words: str) -> None:
        logger.warning("%s", words)
        self.problems = [*self.problems, words][-20:]

    async def note_synced(self) -> None:
        """A cycle succeeded just now."""
        self.last_sync = hlc.from_milliseconds(self.clock.now_ms())
        await self._times.record(self._cache_keys(), iso(self.clock.tick(None)))
        self.changes.notify()

    def _cache_keys(self) -> list[str]:
        return [f"{name}_{self.user_id}" for name in self.registry]

    # -- other tabs ------------------------------------------------------------------------

    async def _follow_other_tabs(self) -> None:
        while True:
            change = await self._foreign.get()
            try:
                async with self._mutex:
                    await self._hear(change)
            except Exception:
                logger.exception("another tab's change of %s could not be followed", change.key)

    async def _hear(self, change: StorageChange) -> None:
        if change.key is None:
            await self._restore()
        elif change.key == self.names.manifest:
            await self._reload_base()
        elif change.key.startswith(self.names.journal):
            self._hear_journal(change.key.removeprefix(self.names.journal), change.value)
        elif change.key.startswith(self.names.quarantine):
            await self._reload_quarantine()
        else:
            if change.key == LAST_SYNC_KEY:
                self.last_sync = await self._times.newest(self._cache_keys())
                self.changes.notify()
            return
        # Only the tab in front of the user needs to render at once, and each renders its own.
        await self._render(self.registry, force=change.key is None)

    def _hear_journal(self, operation_id: str, text: str | None) -> None:
        if text is not None:
            self.replica.add(decode_operation(operation_id, text))
            return
        gone = self.replica.pending.get(operation_id)
        if gone is not None:
            for other in self.replica.pending_for(gone.record):
                if gone in self.replica.covered_by(other):
                    self._replace([gone], other)
                    self.replica.remove([gone.id])
                    return
            self._forget([operation_id])

    async def _reload_base(self) -> None:
        base = await self._store.reload_base()
        if base is None:
            return
        mine = self.replica.base
        if base.epoch == mine.epoch and base.cursor < mine.cursor:
            await self._store.replace_base(mine)
        else:
            self._incoming = None
            self.replica.swap_base(base)

    async def _reload_quarantine(self) -> None:
        self.replica.quarantine = await self._store.open_quarantine(self.problems)

    async def _restore(self) -> None:
        logger.warning("local storage was cleared; everything pending is written again")
        await self._store.restore(
            self.replica.base, self.replica.pending.values(), self.replica.quarantine.values()
        )
        self._views.forget_written()

    # -- views -----------------------------------------------------------------------------

    async def _render(self, collections: Iterable[str], *, force: bool = False) -> None:
        if force:
            self._views.forget_written()
        await write_views(self.backend.storage, self._views.changes(collections))
        self.changes.notify()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this client was closed; open a new one with connect()")

    @property
    def quarantined(self) -> list[Quarantined]:
        """The refused operations, oldest first."""
        return sorted(self.replica.quarantine.values(), key=lambda item: item.operation.timestamp)
