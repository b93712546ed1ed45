"""One user's replica made durable: memory, journal, base and stored views, moved together.

Whoever changes it holds ``mutex``, a new operation only its short part: base is read, taken in and
stored in turns, between which new operations come in. Each step is stored before it is believed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import datetime

from atiha_web.backends.base import Backend
from atiha_web.collections import Registry, iso
from atiha_web.errors import ClosedError, StorageFullError
from atiha_web.sync import hlc
from atiha_web.sync.acceptance import Acceptance, Made
from atiha_web.sync.adoption import QueueAdoption, read_lists
from atiha_web.sync.agreement import Agreement
from atiha_web.sync.base_store import OpenedBase
from atiha_web.sync.clock import CorrectedClock
from atiha_web.sync.events import KEPT, Event, EventKind
from atiha_web.sync.hub import Feed, Hub
from atiha_web.sync.last_sync import LastSync
from atiha_web.sync.local_store import LocalStore, Opened
from atiha_web.sync.names import GUEST, Names
from atiha_web.sync.operation import Operation, RecordKey
from atiha_web.sync.replica import Base, Quarantined, Replica
from atiha_web.sync.resolution import MERGED, Resolution
from atiha_web.sync.stored_views import StoredViews
from atiha_web.sync.turns import PausingLock
from atiha_web.sync.view_store import write_views

logger = logging.getLogger("atiha_web")

_PROBLEMS_KEPT = 20


class LocalReplica:
    """What this device holds of one user."""

    def __init__(
        self,
        backend: Backend,
        registry: Registry,
        user_id: str,
        resolution: Resolution = MERGED,
    ) -> None:
        self.backend = backend
        self.registry = registry
        self.user_id = user_id
        self.names = Names(user_id)
        self.clock = CorrectedClock(backend.now_ms, backend.random_hex(hlc.WRITER_DIGITS))
        self.memory = Replica(registry, resolution)
        self.mutex = PausingLock()
        self.store = LocalStore(
            backend.storage,
            self.names,
            self.clock.writer,
            registry.schemas,
            mark_time=backend.now_ms if backend.is_mirrored else None,
            pause=self.mutex.pause,
        )
        self.changes: Hub[None] = Hub(lambda: None)
        self.incoming: Base | None = None
        """A base being pulled anew, beside the one that is shown until it is complete."""
        self.made: dict[str, Made] = {}
        """How this engine came to the timestamps of its pending operations."""
        self.successors: dict[str, str] = {}
        """Which pending operation says all that an earlier one, no longer pending, said."""
        self.given_up: set[str] = set()
        """The operations that were pending as a person, in another tab, discarded them all."""
        self.problems: list[str] = []
        self.storage_full = False
        self.unstored: frozenset[str] = frozenset()
        """Which pending operation is not durable yet: it must not be sent."""
        self.last_sync: datetime | None = None
        self.last_acknowledged: datetime | None = None
        """When the server last decided one of our operations, as far as this engine saw it."""
        self.events: Feed[Event] = Feed(KEPT)
        self.session: str | None = None
        """What storage said of who is signed in, where it named this user."""
        self.stored_views = StoredViews(self.memory, self.names)
        self.hidden = False
        """Whether the user has signed out, in this tab or another: nobody is to read of them."""
        self.clears = 0
        """How many times storage was cleared, as far as heard, and not written again since."""
        self._times = LastSync(backend.storage)
        self._accepting = asyncio.Lock()
        self._closed = False

    async def open(self) -> None:
        """Read what storage holds."""
        async with self.mutex:
            await self._adopt_queue()
            opened = await self.store.open()
            self.bring_up_to_date(opened)
            await self._adopt_lists(opened)
            for problem in opened.problems:
                self.note_problem(problem)
            self.memory.quarantine = opened.quarantine
            # In a browser what comes now takes about as long as four pages of base did.
            await asyncio.sleep(0)
            self.memory.load(opened.base, opened.pending)
            await asyncio.sleep(0)
            if opened.base.cursor == 0 and opened.base.rows:
                self.incoming = Base()
            await self.read_last_sync()
            await self.render(self.registry)

    async def _adopt_queue(self) -> None:
        """Take over what the seed's own app left unsent, for whichever user."""
        resolution = self.memory.resolution
        adopted = await QueueAdoption(
            self.backend.storage, self.registry, resolution, self.backend.now_ms
        ).run()
        for problem in adopted.problems:
            self.note_problem(problem)
        # The queue shows what a signed-in user has pending.
        self.store.room.gives_up_queue = adopted.whole
        self.stored_views.shows_queue = adopted.whole and self.user_id != GUEST

    async def _adopt_lists(self, opened: Opened) -> None:
        """Take over the lists the seed's own app cached, until a first pull replaces them."""
        base = opened.base
        if base.epoch is not None or base.rows:
            return
        lists = await read_lists(self.backend.storage, self.registry, self.user_id)
        opened.problems.extend(lists.problems)
        for record, row in lists.rows.items():
            base.put(record, row)
        if lists.rows:
            await self.store.base.save(base, lists.rows)

    def bring_up_to_date(self, opened: OpenedBase) -> None:
        """Show rows of an older schema in their current shape until they are pulled anew."""
        older = {
            name
            for name, number in opened.schemas.items()
            if name in self.registry and number < self.registry[name].schema
        }
        rows = opened.base.rows if older else {}
        for record, row in rows.items():
            if record.collection in older:
                number = opened.schemas[record.collection]
                state = self.registry.state(record.collection, row.state, number)
                opened.base.rows[record] = row._replace(state=state)

    def close(self) -> None:
        """Accept nothing more; everything pending stays in storage. Idempotent."""
        self._closed = True
        self.changes.close()
        self.events.close()

    async def release(self) -> None:
        """Free the rows of what was closed, once the reply that is being carried out is.

        Whoever opens the same data next is to find all of that; and the collector would find the
        rows later, and hold up a page for all of them at once.
        """
        async with self.mutex:
            self.incoming = None
            self.memory.release()

    def check_open(self) -> None:
        """Raise ``ClosedError`` once closed."""
        if self._closed:
            raise ClosedError("this client was closed; open a new one with connect()")

    @property
    def target(self) -> Base:
        """The base that changes go to: the one shown, or the one being pulled beside it."""
        return self.incoming or self.memory.base

    # -- operations ------------------------------------------------------------------------

    async def accept(self, state: Callable[[], Operation]) -> Operation:
        """Make the new operation that ``state`` builds durable, then visible.

        Those it covers leave the journal. Only to make room for it, it waits for what goes on here,
        and what is stated after it waits, too: it is to be the later one.

        Raises:
            ClosedError: the client was closed.
            StorageFullError: no room, even without cached data; nothing was changed.
        """
        async with self._accepting:
            async with self.mutex.short:
                self.check_open()
                operation = state()
                if await Acceptance(self, operation).at_once():
                    return operation
            async with self.mutex:
                self.check_open()
                operation = state()
                await Acceptance(self, operation).run()
                return operation

    async def restate(self, operation: Operation) -> None:
        """Store a pending operation with another timestamp, under its own id."""
        await self.store.append(operation)
        over = self.made[operation.id].over if operation.id in self.made else None
        self.made[operation.id] = Made(self.clock.offset_ms, over)
        self.memory.add(operation)

    def succeed(self, covered: Iterable[Operation], newer: Operation) -> None:
        """``newer`` says all that ``covered`` said, and they have left the journal."""
        names = [older.id for older in covered]
        for name in names:
            self.successors[name] = newer.id
            self.made.pop(name, None)
        self.memory.remove(names)

    async def settle(self, acknowledged: Iterable[str], refused: Iterable[Quarantined]) -> None:
        """Take decided operations out of the journal; refused ones go to quarantine first.

        A refused one that left the journal meanwhile was replaced: a later one says all it said.
        What a refused one took the place of comes back. Nothing is stored of what a person gave up
        while the server decided on it: this tab may hear of that only after the reply.
        """
        await self.give_up_too()
        done = list(acknowledged)
        await self.store.remove(done)
        for entry in refused:
            operation = self.memory.pending.get(entry.operation.id)
            if operation is not None:
                await self._bring_back(operation, apart_from=done)
                current = replace(entry, operation=replace(operation, earlier=()))
                await self.store.put_in_quarantine(current)
                self.memory.quarantine[operation.id] = current
                done.append(operation.id)
                self.record("refused", f"{operation.collection}/{operation.key}: {entry.message}")
        if done:
            self.storage_full = False
            self.last_acknowledged = self._now()
        self.forget(done)

    async def _bring_back(self, refused: Operation, apart_from: Collection[str]) -> None:
        """Let the server decide on what a refused operation took the place of, if it has not."""
        for operation in refused.earlier:
            if operation.id in apart_from:
                continue
            await self.store.append(operation)
            self.successors.pop(operation.id, None)
            if refused.id in self.made:
                self.made[operation.id] = self.made[refused.id]
            self.memory.add(operation)

    def forget(self, operation_ids: Iterable[str]) -> None:
        """These operations have left the journal, decided."""
        names = set(operation_ids)
        self.memory.remove(names)
        for name in names:
            self.made.pop(name, None)
        if self.successors:
            self.successors = {
                older: newer
                for older, newer in self.successors.items()
                if newer not in names or newer in self.memory.quarantine
            }

    async def gone(self, operation_id: str) -> Operation | None:
        """Another tab took this operation out of the journal; returns it where it was known.

        Either a later one says all it said, or it was decided, and base with the result was
        stored before, or a person gave everything up. Where storage was cleared since nobody can
        tell: it stays pending, until that is heard of.
        """
        operation = self.memory.pending.get(operation_id)
        if operation is None:
            return None
        loss = await self.store.base.loss()
        if loss == "given up":
            self.note_given_up(self.memory.pending)
        decided = operation_id in self.given_up or operation_id in self.memory.quarantine
        known = decided or loss != "cleared"
        if not self.was_replaced(operation) and known:
            self.forget([operation_id])
        return operation

    async def add_unheard(self, stored: Collection[str]) -> None:
        """Take in those of the journal's operations that no other tab's change has told of."""
        for name in sorted(set(stored) - self.memory.pending.keys()):
            operation = await self.store.read_operation(name)
            if operation is not None:
                self.memory.add(operation)

    def note_given_up(self, operation_ids: Collection[str]) -> None:
        """A person discards these in another tab, and with each what it took the place of."""
        self.given_up.update(operation_ids)
        self.given_up.update(
            older for older in self.successors if self.successor(older) in operation_ids
        )

    async def give_up_too(self) -> None:
        """Forget what left the journal because a person gave everything up, in another tab."""
        loss = await self.store.base.loss()
        if loss == "cleared" and not self.clears:
            # Who slept is about to hear of that, and of what went before: maybe of a discard.
            await self.mutex.pause()
            loss = await self.store.base.loss()
        if loss == "given up":
            gone = self.memory.pending.keys() - set(await self.store.journal_ids())
            self.note_given_up(gone)
            self.forget(gone)

    def was_replaced(self, operation: Operation) -> bool:
        """Let a later operation stand for this one, if one says all it said."""
        for other in self.memory.pending_for(operation.record):
            if operation in self.memory.covered_by(other):
                self.succeed([operation], other)
                return True
        return False

    def successor(self, operation_id: str) -> str:
        """The id under which what this operation said is known now."""
        while operation_id in self.successors:
            operation_id = self.successors[operation_id]
        return operation_id

    # -- base ------------------------------------------------------------------------------

    async def store_base(self, changed: Collection[RecordKey]) -> None:
        """Store base, of which these rows changed; what else storage lost goes there before."""
        try:
            await self.heal()
        except BaseException:
            self.store.base.mistrust()
            raise
        await self.store.base.save(self.memory.base, changed)

    async def swap_in(self, base: Base) -> None:
        """Store a complete base, show it, and only then drop the old one."""
        self.incoming = None
        await self.store.base.replace(base)
        self.memory.swap_base(base)

    async def write_back(self) -> None:
        """Store what was given up for want of room, where there is room again."""
        if self.incoming is not None or not self.store.room.is_short or await self._is_lost():
            return
        if await self.store.base.write_back(self.memory.base):
            self.storage_full = False
            self.stored_views.forget_written()

    async def reload_base(self) -> None:
        """Agree on base with what other tabs stored; see ``Agreement``."""
        await Agreement(self).run()

    async def reload_quarantine(self) -> None:
        """Take over the refused operations as storage holds them."""
        problems: list[str] = []
        self.memory.quarantine = await self.store.open_quarantine(problems)
        for problem in problems:
            self.note_problem(problem)

    async def make_room(self) -> bool:
        """Give up some of what is cached; tells whether there was any."""
        async with self.mutex:
            return await self.store.make_room()

    async def restore(self) -> None:
        """Write everything again after somebody cleared storage under us.

        A tab that was frozen hears of that late: what was given up since stays so, and a base that
        another tab stored since is not overwritten with less. Where there is no room it stays in
        memory, base too; the next cycle tries again.
        """
        if await self.store.base.was_given_up():
            return
        was_own = await self.store.base.is_own()
        await self.reload_base()
        logger.warning("local storage was cleared; what is pending is written again")
        memory = self.memory
        full = False
        try:
            await self.store.restore(
                memory.base,
                memory.pending.values(),
                memory.quarantine.values(),
                None if self.hidden else self.session,
                was_own=was_own,
            )
        except StorageFullError as error:
            # It is sent from memory, where it waits for room.
            logger.warning("what is pending is kept in memory only: %s", error)
            full = self.store.base.partial = True
        self.storage_full = self.store.base.bereft = full
        self.store.room.measure_again()
        await self.write_back()

    async def heal(self) -> None:
        """Write everything again where storage was cleared unheard, before base goes there.

        A base alone would say that what the journal lacks was acknowledged, and nothing would say
        that what was refused is missing.
        """
        if await self._is_lost():
            await self.restore()

    async def _is_lost(self) -> bool:
        base, pending = self.store.base, self.memory.pending.keys()
        # Before the first base nothing tells a clear from what another tab dropped.
        refused = self.memory.quarantine.keys() if base.was_stored else set()
        if not (pending or refused) or not await base.was_cleared():
            return False
        lost = pending - set(await self.store.journal_ids())
        return bool(lost or refused - set(await self.store.refused_ids()))

    async def erase(self) -> None:
        """Remove all of this user's data from this device."""
        async with self.mutex:
            await self.store.erase(self.memory.left)

    # -- views -----------------------------------------------------------------------------

    async def render(self, collections: Iterable[str], *, anew: bool = False) -> None:
        """Write the stored views that changed; ``anew``: whatever storage holds of them."""
        if self._closed:
            # Who is signed out is not shown any more.
            return
        if anew:
            self.stored_views.forget_written()
        # After a clear, who is signed in comes first: whoever died would leave views of nobody.
        if not (self.store.room.is_short or self.hidden or self.clears):
            await write_views(self.backend.storage, self.stored_views.changes(collections))
        self.changes.notify()

    async def remove_views(self) -> None:
        """Remove what other pages could read of this user; journal and base stay."""
        async with self.mutex:
            shown = [*self.stored_views.all_keys(), self.names.account]
            await write_views(self.backend.storage, dict.fromkeys(shown))
            await self._times.forget(self._cache_keys())

    async def note_synced(self) -> None:
        """Client and server agree as of now."""
        self.last_sync = self._now()
        if not self.store.room.is_short:
            await self._times.record(self._cache_keys(), iso(self.clock.tick(None)))
        self.changes.notify()

    async def read_last_sync(self) -> None:
        """Learn when this user was last in step, here or in another tab."""
        self.last_sync = await self._times.newest(self._cache_keys())

    def note_problem(self, words: str) -> None:
        """Remember, and log, what could not be read."""
        if words not in self.problems:
            logger.warning("%s", words)
            self.problems = [*self.problems, words][-_PROBLEMS_KEPT:]
            self.record("problem", words)

    def record(self, kind: EventKind, message: str) -> None:
        """Remember for a while that something happened."""
        self.events.add(Event(self._now(), kind, message))

    def _now(self) -> datetime:
        return hlc.from_milliseconds(self.clock.now_ms())

    def _cache_keys(self) -> list[str]:
        return [f"{name}_{self.user_id}" for name in self.registry]
