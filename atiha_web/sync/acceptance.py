"""Taking in a new operation: durable first, or nothing happened."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atiha_web.errors import StorageFullError
from atiha_web.sync.operation import Operation, in_place_of

if TYPE_CHECKING:
    from atiha_web.sync.local_replica import LocalReplica


@dataclass(frozen=True, slots=True)
class Made:
    """The clock offset (ms) a timestamp was made under, and the newest one of its record then."""

    offset_ms: int
    over: str | None


class Acceptance:
    """One operation on its way into a replica whose ``mutex`` is held, at least its short part."""

    def __init__(self, local: LocalReplica, operation: Operation) -> None:
        self._local = local
        self._operation = operation
        self._covered = local.memory.covered_by(operation)
        self._whole = in_place_of(operation, self._covered)
        """The operation with what it takes the place of."""

    async def run(self) -> None:
        """Make room for it; the whole ``mutex`` is held.

        Raises:
            StorageFullError: no room, even without cached data; nothing was changed.
        """
        local = self._local
        if await self.at_once():
            return
        try:
            operation = await self._append()
        except StorageFullError:
            local.storage_full = True
            local.record("problem", f"no room for a change of {self._operation.collection}")
            local.changes.notify()
            raise
        local.storage_full = False
        self._believe(operation)
        await local.render([operation.collection])

    async def at_once(self) -> bool:
        """Store it and the views that show it in one call, which in a worker is one message.

        To be rendered it is believed before it is stored, and nobody sends it until it is. Where
        room is short nothing is changed; tells whether it was not.
        """
        local, operation = self._local, self._whole
        if local.store.room.is_short:
            return False
        made = {older.id: local.made[older.id] for older in self._covered if older.id in local.made}
        stored = False
        local.unstored = frozenset([operation.id])
        self._believe(operation)
        try:
            stored = await self._append_shown()
        finally:
            local.unstored = frozenset()
            if not stored:
                self._disbelieve(operation)
                local.made |= made
        if stored:
            local.storage_full = False
            local.changes.notify()
        return stored

    async def _append_shown(self) -> bool:
        local, operation = self._local, self._whole
        # Who has signed out in another tab is not shown any more.
        views = {} if local.hidden else local.stored_views.changes([operation.collection])
        try:
            await local.store.append_shown(operation, self._covered, views)
        except StorageFullError:
            if await local.store.read_operation(operation.id) is None:
                return False
            # Views come last: only they found no room.
            local.stored_views.forget_written()
            await local.render([operation.collection])
        return True

    async def _append(self) -> Operation:
        """Make room for it with what it takes the place of; where that is short, for it alone."""
        store = self._local.store
        if self._whole.earlier:
            with suppress(StorageFullError):
                await store.append(self._whole, self._covered)
                return self._whole
        await store.append(self._operation, self._covered)
        return self._operation

    def _believe(self, operation: Operation) -> None:
        local = self._local
        over = local.memory.newest_timestamp(operation.record)
        local.made[operation.id] = Made(local.clock.offset_ms, over)
        local.memory.add(operation)
        if self._covered:
            local.succeed(self._covered, operation)

    def _disbelieve(self, operation: Operation) -> None:
        local = self._local
        for older in self._covered:
            local.successors.pop(older.id, None)
            local.memory.add(older)
        local.memory.remove([operation.id])
        local.made.pop(operation.id, None)
        local.stored_views.forget_written()
