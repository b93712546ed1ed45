"""Carrying out what the server answers, in the order that loses nothing at any crash."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from atiha_web.sync import hlc
from atiha_web.sync.digest import to_text
from atiha_web.sync.hub import Feed
from atiha_web.sync.local_replica import LocalReplica
from atiha_web.sync.merge import SESSION, State
from atiha_web.sync.operation import Operation, RecordKey
from atiha_web.sync.protocol import SyncReply
from atiha_web.sync.replica import Base, Quarantined
from atiha_web.sync.results import Verdicts, read_results, restamp, shift_back
from atiha_web.sync.turns import CHANGES_PER_TURN, in_turns, to_the_end

_CONFLICTS_KEPT = 50

OUTLIVED = "outlived"
"""The epoch, no server's, of a base that is shown until it has been pulled anew."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A local write that lost: what was written, and the state that won."""

    operation: Operation
    winner: State


@dataclass(frozen=True, slots=True)
class Asked:
    """The position a request was made from; its changes count only if that is still ours."""

    epoch: str | None
    cursor: int


@dataclass(frozen=True, slots=True)
class Applied:
    """What one reply brought."""

    verdicts: Verdicts
    received: int


class Reconciler:
    """Moves a replica to where the server's replies say it should be."""

    def __init__(self, local: LocalReplica) -> None:
        self._local = local
        self.conflicts: Feed[Conflict] = Feed(_CONFLICTS_KEPT)

    def asked(self) -> Asked:
        """The position to ask for changes from."""
        target = self._local.target
        return Asked(target.epoch, target.cursor)

    @property
    def rebuilding(self) -> bool:
        """Whether base is being pulled anew beside the one shown."""
        return self._local.incoming is not None

    async def catch_up(self) -> None:
        """Agree with storage, which other tabs may have changed unheard."""
        local = self._local
        async with local.mutex:
            local.check_open()
            # The journal first: what another tab takes out of it meanwhile is in base by then.
            stored = set(await local.store.journal_ids())
            # And what is pending now: new operations come in while base is read.
            absent = [each for name, each in local.memory.pending.items() if name not in stored]
            await local.reload_base()
            await local.add_unheard(stored)
            absent = [each for each in absent if each.id in local.memory.pending]
            if absent and await local.store.base.was_cleared():
                # All of it, also what a later one says: a mirror has it until it is decided.
                await local.restore()
            else:
                missing = [each.id for each in absent if not local.was_replaced(each)]
                if missing:
                    # What was refused left the journal, too, and must not be told to be saved.
                    await local.reload_quarantine()
                local.forget(missing)
                await local.heal()
            if await local.store.base.sweep():
                await local.store.base.replace(local.memory.base)
            local.store.room.measure_again()
            await local.write_back()
            await local.render(local.registry, anew=True)

    async def apply(
        self, asked: Asked, operations: Sequence[Operation], reply: SyncReply, sent_ms: int
    ) -> Applied:
        """Carry out one reply, wholly: base with the results is stored before the journal shrinks.

        It takes several turns of the event loop, between which only new operations come in.
        """
        return await to_the_end(self._apply(asked, operations, reply, sent_ms))

    async def _apply(
        self, asked: Asked, operations: Sequence[Operation], reply: SyncReply, sent_ms: int
    ) -> Applied:
        local = self._local
        received_ms = local.clock.local_ms()
        async with local.mutex:
            local.check_open()
            # What another tab stored meanwhile, unheard, is not to be overwritten with less.
            await local.reload_base()
            verdicts = read_results(local.registry, operations, reply)
            self._note_conflicts(verdicts)
            for problem in verdicts.problems:
                local.note_problem(problem)
            if self._is_outdated(asked, reply):
                verdicts = Verdicts()
            changed = self._take_rows(verdicts, reply)
            received, complete = await self._take_changes(asked, reply, changed)
            if changed:
                self._outlive()
            try:
                # What follows is as much work again: others come first.
                await local.mutex.pause()
                if await self._was_overtaken():
                    if self._is_outdated(asked, reply):
                        verdicts = Verdicts()
                    changed, complete = self._take_rows(verdicts, reply), None
                await local.heal()
                if complete is None:
                    await local.store.base.save(local.memory.base, changed)
                else:
                    await local.swap_in(complete)
                await local.mutex.pause()
                decided = self._unchanged_since(operations, verdicts.acknowledged)
                await local.settle(decided, verdicts.rejected)
            except BaseException:
                # Of the rows that base has by now storage may lack some.
                local.store.base.mistrust()
                raise
            finally:
                # Base has the rows by now, and no later change of the server would show them.
                ordered = sorted(changed)
                async for records in in_turns(ordered, CHANGES_PER_TURN, local.mutex.pause):
                    local.memory.refresh(records)
            await local.mutex.pause()
            await local.write_back()
            # As late as this: what came in between the parts above was stated by the old clock.
            clock_moved = local.clock.measure(reply.server_time, sent_ms, received_ms)
            await self._correct_times(verdicts, reply.server_time, all_of_them=clock_moved)
            await local.render(local.registry)
        return Applied(verdicts, received)

    def _is_outdated(self, asked: Asked, reply: SyncReply) -> bool:
        """Whether another tab brought numbers that the reply may be older than.

        What it decided stays pending, then, unless that tab sent it too: the next request tells.
        """
        base, target = self._local.memory.base, self._local.target
        return asked.epoch != target.epoch and reply.epoch != base.epoch

    async def _was_overtaken(self) -> bool:
        """Whether another tab stored a base that is further while this one paused, or slept."""
        base = self._local.memory.base
        await self._local.reload_base()
        return self._local.memory.base is not base

    async def refuse(self, entry: Quarantined) -> None:
        """Put a pending operation into quarantine."""
        async with self._local.mutex:
            await self._local.settle([], [entry])
            await self._local.render([entry.operation.collection])

    def _take_rows(self, verdicts: Verdicts, reply: SyncReply) -> set[RecordKey]:
        """Results go to the base that is shown, and to the one being pulled beside it."""
        changed = set()
        base, incoming = self._local.memory.base, self._local.incoming
        other_numbers = base.epoch != reply.epoch
        for operation, row in verdicts.acknowledged.values():
            if base.put(operation.record, row, force=other_numbers):
                changed.add(operation.record)
            if incoming is not None and incoming.epoch == reply.epoch:
                incoming.put(operation.record, row)
        return changed

    async def _take_changes(
        self, asked: Asked, reply: SyncReply, changed: set[RecordKey]
    ) -> tuple[int, Base | None]:
        """Take in changes asked for from where we still are (compare and set).

        Returns how many came, and the base to show from now on if one is complete.
        """
        local = self._local
        if asked != self.asked():
            return 0, None
        if reply.reset:
            local.incoming = Base(reply.epoch)
            return 0, None
        target = local.target
        records: list[RecordKey] = []
        async for some in in_turns(reply.changes, CHANGES_PER_TURN, local.mutex.pause):
            records += target.put_changes(some, local.registry)
        target.epoch, target.cursor = reply.epoch, reply.cursor
        shown = target is local.memory.base
        if shown:
            changed.update(records)
        # Rows beyond the reply's cursor came from elsewhere; its digest does not know of them.
        comparable = not reply.more and target.newest <= reply.cursor
        differs = comparable and reply.digest not in (None, to_text(target.digest))
        if differs:
            local.note_problem("cached data differed from the server's and was pulled again")
        if differs and shown:
            # A base pulled anew is taken as it is: a digest that differs even then is no reason
            # to go on pulling for ever.
            local.incoming = Base(reply.epoch)
        return len(reply.changes), None if shown or reply.more else target

    def _outlive(self) -> None:
        """Tell other tabs, by what is stored, that base has results of another epoch by now.

        Late replies to what they asked before count by numbers of that time, and would hide these.
        """
        local = self._local
        if local.incoming is not None and local.incoming.epoch != local.memory.base.epoch:
            local.memory.base.epoch = OUTLIVED

    def _unchanged_since(
        self, sent: Sequence[Operation], acknowledged: Container[str]
    ) -> list[str]:
        """The acknowledged operations that are still what was sent."""
        pending = self._local.memory.pending
        return [
            operation.id
            for operation in sent
            if operation.id in acknowledged and pending.get(operation.id) in (operation, None)
        ]

    async def _correct_times(
        self, verdicts: Verdicts, server_ms: int, *, all_of_them: bool
    ) -> None:
        """Correct the timestamps of operations made under a wrong clock.

        Those the server refused for being ahead always; the other ones this engine made, and the
        server has not decided, when the clock turns out to be off.
        """
        local = self._local
        pending, offset_ms = local.memory.pending, local.clock.offset_ms
        # What was replaced, or moved by another tab, while the request was under way stays so.
        ahead = [
            operation for operation in verdicts.ahead if pending.get(operation.id) == operation
        ]
        deltas = shift_back(ahead, offset_ms=offset_ms, server_ms=server_ms)
        if all_of_them:
            made = local.made.items()
            deltas = {name: offset_ms - each.offset_ms for name, each in made} | deltas
        moving = [pending[name] for name, delta in deltas.items() if delta and name in pending]
        for operation in restamp(
            moving,
            deltas,
            earlier=lambda operation: self._written_after(operation, deltas),
            sessions=self._known_sessions,
        ):
            await local.restate(operation)

    def _written_after(self, operation: Operation, moving: Container[str]) -> str | None:
        """The newest timestamp, of those that stay, that an operation was written after."""
        local = self._local
        writer = operation.timestamp[-hlc.WRITER_DIGITS :]
        made = local.made.get(operation.id)
        over = (made.over if made else None) or ""
        known = local.memory.timestamps(operation.record, apart_from=moving)
        earlier = (stamp for stamp in known if stamp < operation.timestamp)
        return max(
            (stamp for stamp in earlier if stamp <= over or stamp.endswith(writer)), default=None
        )

    def _known_sessions(self, record: RecordKey) -> Container[str]:
        """The viewing that the server knows ``record`` by."""
        row = self._local.memory.base.rows.get(record)
        data = row.state.data if row is not None else None
        return [] if data is None else [str(data.get(SESSION))]

    def _note_conflicts(self, verdicts: Verdicts) -> None:
        for name in verdicts.superseded:
            operation, row = verdicts.acknowledged[name]
            if row.state.timestamp != operation.timestamp:
                self.conflicts.add(Conflict(operation, row.state))
                words = "a later write elsewhere won"
                self._local.record("conflict", f"{operation.collection}/{operation.key}: {words}")
