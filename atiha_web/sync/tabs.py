"""Following what other tabs of the same user do to the storage all of them share."""

from __future__ import annotations

import asyncio
import logging

from atiha_web.backends.base import StorageChange
from atiha_web.errors import InvalidDataError
from atiha_web.sync.journal import decode_operation, decode_quarantined
from atiha_web.sync.local_replica import LocalReplica
from atiha_web.sync.names import LAST_SYNC_KEY, SESSION_KEY
from atiha_web.sync.pages import is_erased
from atiha_web.sync.signed_in import session_user

logger = logging.getLogger("atiha_web")


class TabFollower:
    """Hears changes in the order they were made and takes them over one by one."""

    def __init__(self, local: LocalReplica) -> None:
        self._local = local
        self._heard: asyncio.Queue[StorageChange] = asyncio.Queue()
        self._known = 0
        """How many of the next changes are older than what was last read of the whole journal."""
        self._discards = 0
        """How many of the next changes tell that a person gave everything up."""
        self._cleared: dict[str, str] = {}
        """Operations as they were stored, by id, that one of the next changes, a clear, took."""
        self._unsubscribe = local.backend.storage.subscribe(self._hear)
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Hear nothing more. Idempotent."""
        self._unsubscribe()
        self._task.cancel()
        await asyncio.wait([self._task])

    def _hear(self, change: StorageChange) -> None:
        self._local.clears += change.key is None
        if self._is_discard(change):
            self._discards += 1
            if self._local.hidden:
                # At once, too: a clear may follow. Who is hidden is soon closed, or opened anew.
                self._local.store.base.note_given_up()
        if change.key == SESSION_KEY and (self._local.hidden or self._local.session is not None):
            # At once: what was heard before is taken over yet, and is not to be shown any more.
            self._local.hidden = session_user(change.value) != self._local.user_id
        self._heard.put_nowait(change)

    def _is_discard(self, change: StorageChange) -> bool:
        return change.key == self._local.names.manifest and is_erased(change.value)

    async def _follow(self) -> None:
        while True:
            change = await self._heard.get()
            self._known = max(0, self._known - 1)
            self._discards -= self._is_discard(change)
            try:
                async with self._local.mutex:
                    await self._take_over(change)
            except Exception:
                # The next cycle agrees with storage anyway; one bad entry must not end this.
                logger.exception("another tab's change of %s could not be followed", change.key)

    async def _take_over(self, change: StorageChange) -> None:
        local, names = self._local, self._local.names
        if change.key is None:
            await self._take_over_clear()
        elif change.key == SESSION_KEY and change.value != local.session:
            # What is heard in its order is known, though storage may have been cleared since.
            local.session = None
        elif change.key == LAST_SYNC_KEY:
            await local.read_last_sync()
            local.changes.notify()
        elif self._is_discard(change):
            # What leaves the journal now was given up: nobody may be told that it is saved.
            local.note_given_up(local.memory.pending)
            self._cleared.clear()
        elif change.key == names.manifest:
            await local.reload_base()
            await local.render(local.registry)
        elif change.key.startswith(names.quarantine):
            await self._take_over_refused(change)
            local.changes.notify()
        elif change.key.startswith(names.journal):
            collection = await self._take_over_operation(change)
            await local.render([collection] if collection else [])

    async def _take_over_clear(self) -> None:
        local = self._local
        cleared, self._cleared = self._cleared, {}
        try:
            if self._discards:
                # Who slept hears late of both: what another tab stored since may not say so now.
                local.note_given_up(local.memory.pending)
                return
            for operation_id, text in cleared.items():
                self._add(operation_id, text)
            await local.restore()
        finally:
            local.clears -= 1
        await local.render(local.registry, anew=True)

    async def _take_over_operation(self, change: StorageChange) -> str | None:
        """Returns the collection it was about.

        Who slept hears of it late, and asks storage how it ended.
        """
        local, key, text = self._local, str(change.key), change.value
        operation_id = key.removeprefix(local.names.journal)
        is_there = await local.backend.storage.read([key]) != [None]
        if text is None:
            self._cleared.pop(operation_id, None)
            # It may have come back: what took its place was refused.
            gone = None if is_there else await local.gone(operation_id)
            return None if gone is None else gone.collection
        if not is_there:
            if await self._is_last():
                self._cleared[operation_id] = text
            await self._read_unheard()
            return None
        return self._add(operation_id, text)

    def _add(self, operation_id: str, text: str) -> str | None:
        local = self._local
        try:
            operation = decode_operation(operation_id, text)
        except InvalidDataError as error:
            local.note_problem(str(error))
            return None
        local.memory.add(operation)
        # It may have come back: what took its place was refused.
        local.successors.pop(operation_id, None)
        return operation.collection

    async def _take_over_refused(self, change: StorageChange) -> None:
        local = self._local
        if not await self._is_last():
            await local.reload_quarantine()
            return
        name = str(change.key).removeprefix(local.names.quarantine)
        local.memory.quarantine.pop(name, None)
        if change.value is not None:
            local.memory.quarantine[name] = decode_quarantined(name, change.value)

    async def _is_last(self) -> bool:
        """Whether this tab may be the only one that knows yet what a clear has taken.

        No other one has stored base since, or none that tells of an acknowledgement. In a process
        of its own a tab hears of the clear as it loses sight of what was there, in a shared one a
        little later.
        """
        base = self._local.store.base
        if await base.was_cleared():
            return True
        return self._local.clears > 0 and await base.is_own(or_bare=True)

    async def _read_unheard(self) -> None:
        """Learn what took the place of an operation that is gone, before others are, too."""
        local = self._local
        if not self._known:
            self._known = self._heard.qsize()
            await local.add_unheard(await local.store.journal_ids())
            await local.render(local.registry)
