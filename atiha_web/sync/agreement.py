"""Agreeing on base with other tabs, of which each stores what the server told it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from atiha_web.sync.operation import RecordKey
from atiha_web.sync.replica import Base

if TYPE_CHECKING:
    from atiha_web.sync.base_store import OpenedBase
    from atiha_web.sync.local_replica import LocalReplica


class Agreement:
    """Between a replica whose ``mutex`` is held and what storage holds of base by now."""

    def __init__(self, local: LocalReplica) -> None:
        self._local = local
        self._memory = local.memory
        self._store = local.store.base

    async def run(self) -> None:
        """Take over base as another tab stored it, or store ours where that is further.

        Rows that one of both knows better are kept: they were acknowledged.
        """
        await self._local.give_up_too()
        opened = await self._store.reload()
        if opened is None:
            return
        stored = opened.base
        if opened.schemas != self._local.registry.schemas:
            self._learn_of_another_release(opened)
            return
        mine = self._memory.base
        if self._memory.resolution.in_order:
            await self._join(mine, stored)
        elif stored.epoch is None and mine.epoch is not None:
            await self._store.replace(mine)
        elif stored.epoch != mine.epoch:
            await self._take_over(stored, newer=())
        elif stored.cursor < mine.cursor:
            self._memory.refresh(mine.put_newer(stored))
            await self._store.replace(mine)
        else:
            await self._take_over(stored, newer=stored.put_newer(mine))

    async def _join(self, mine: Base, stored: Base) -> None:
        """Over REST no server numbers rows, and no cursor tells up to where a base is complete.

        Each row is taken from who knows it better; so all tabs end with the same, whoever is first.
        """
        ahead = mine.ahead_of(stored)
        learned = mine.put_ahead(stored)
        mine.epoch, mine.cursor = mine.epoch or stored.epoch, max(mine.cursor, stored.cursor)
        if mine.epoch is not None:
            self._local.incoming = None
        if ahead or (mine.epoch, mine.cursor) != (stored.epoch, stored.cursor):
            await self._store.save(mine, ahead)
        self._memory.refresh(learned)

    def _learn_of_another_release(self, opened: OpenedBase) -> None:
        """Take in what another tab, of another release, has acknowledged, as far as it is readable.

        It stays in memory: as long as both are open each stores all of its own base.
        """
        self._local.bring_up_to_date(opened)
        mine, theirs = self._memory.base, opened.base
        ours, schemas = self._local.registry.schemas, opened.schemas
        readable = {name for name in ours if schemas.get(name, ours[name] + 1) <= ours[name]}
        rows = {each: row for each, row in theirs.rows.items() if each.collection in readable}
        if theirs.epoch == mine.epoch:
            theirs.rows = rows
            in_order = self._memory.resolution.in_order
            self._memory.refresh(mine.put_ahead(theirs) if in_order else mine.put_newer(theirs))
        elif theirs.epoch is not None:
            # The server was restored meanwhile: our rows have other numbers.
            self._local.incoming = Base(theirs.epoch)
            changed = [each for each in rows if mine.put(each, rows[each], force=True)]
            self._memory.refresh(changed)

    async def _take_over(self, stored: Base, newer: Collection[RecordKey]) -> None:
        if newer:
            await self._store.save(stored, newer)
        self._local.incoming = None
        self._memory.swap_base(stored)
