"""Text by key in a folder that several processes, and several engines of one, use at once.

All values are held in memory; the folder holds every change since the last merging. A write
appends to the process's own segment, whatever the amount of data.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from atiha_web.backends.base import Level, StorageChange, Unsubscribe
from atiha_web.backends.file import disk, locks
from atiha_web.backends.file.compaction import (
    PATIENCE,
    compact_dead,
    compact_own,
)
from atiha_web.backends.file.own_segment import OwnSegment
from atiha_web.backends.file.reader import WRITE_LOCK, Reader
from atiha_web.backends.file.segments import Record
from atiha_web.backends.listeners import Listeners
from atiha_web.errors import (
    AtihaError,
    ClosedError,
    SaveError,
    StorageFullError,
    StorageUnavailableError,
)

logger = logging.getLogger("atiha_web")

POLL = 0.25
"""Seconds between two looks at what other processes wrote, while somebody listens."""


class FileStorage:
    """See ``Storage``. What ``write`` returned from survives the process, also under SIGKILL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader = Reader(folder)
        self._own: OwnSegment | None = None
        self._synced: dict[str, int] = {}
        self._distrusted = False
        """Whether a sync failed: the system may have dropped bytes it said it has."""
        self._listeners = Listeners[StorageChange]()
        self._timer: asyncio.TimerHandle | None = None
        self._writing = asyncio.Lock()
        self._syncing = asyncio.Lock()
        self._failing = False
        self._closed = False

    @classmethod
    async def open(cls, folder: Path) -> FileStorage:
        """Open a folder, made where it is missing, and merge what dead processes left.

        Raises:
            StorageUnavailableError: it cannot be read and written, or a newer version wrote it.
        """
        storage = cls(folder)
        with disk.errors_of(folder):
            await asyncio.to_thread(storage._open)
        return storage

    def _open(self) -> None:
        disk.make_folder(self._folder)
        os.close(disk.open_file(self._folder / WRITE_LOCK, create=True))
        self._reader.refresh()
        try:
            compact_dead(self._folder, self._reader.damaged)
        except OSError as error:
            # Everything stored is still there, and merging can wait; a refusal will not go away.
            if error.errno in disk.REFUSED:
                raise
            logger.warning("old segments could not be merged: %s", error)

    # -- reading ---------------------------------------------------------------------------

    async def read(self, keys: Sequence[str]) -> list[str | None]:
        """See ``Storage.read``."""
        self._catch_up()
        return [self._reader.values.get(key) for key in keys]

    async def keys(self, prefix: str) -> list[str]:
        """See ``Storage.keys``."""
        self._catch_up()
        return sorted(key for key in self._reader.values if key.startswith(prefix))

    def subscribe(self, listener: Callable[[StorageChange], None]) -> Unsubscribe:
        """See ``Storage.subscribe``. Call it inside the event loop that the listener lives in."""
        remove = self._listeners.add(listener)
        if self._timer is None:
            self._poll_later()
        return remove

    def _catch_up(self) -> None:
        with disk.errors_of(self._folder):
            changes = self._reader.refresh()
        own = self._own
        if own is not None and not (own.is_ours and own.path.name in self._reader.tails):
            self._give_up_segment()
        for change in changes:
            self._listeners.tell(change)

    def _poll_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(POLL, self._poll)

    def _poll(self) -> None:
        self._timer = None
        if not self._listeners or self._closed:
            return
        try:
            self._catch_up()
            self._failing = False
        except AtihaError as error:
            if not self._failing:
                logger.warning("what other processes write is not seen: %s", error)
            self._failing = True
        self._poll_later()

    # -- writing ---------------------------------------------------------------------------

    async def write(self, changes: Mapping[str, str | None]) -> None:
        """See ``Storage.write``.

        Raises:
            ClosedError: the storage was closed.
        """
        if self._closed:
            raise ClosedError("this storage was closed; open a new one")
        async with self._writing:
            try:
                await self._append_locked(changes)
            except StorageFullError:
                if not await self._roll_over():
                    raise
                # Those that are in already are left out: they change nothing.
                await self._append_locked(changes)
            if self._own is not None and self._own.tail.offset >= self._worth_rewriting:
                await self._roll_over()

    async def _append_locked(self, changes: Mapping[str, str | None]) -> None:
        with disk.errors_of(self._folder):
            disk.make_folder(self._folder)
            async with locks.hold(self._folder / WRITE_LOCK, PATIENCE) as held:
                if not held:
                    raise StorageUnavailableError(
                        f"another process has not let go of {self._folder / WRITE_LOCK} for "
                        f"{PATIENCE:g} s: end it, or wake it up"
                    )
                self._catch_up()
                self._append(changes)

    def _append(self, changes: Mapping[str, str | None]) -> None:
        values = self._reader.values
        new = [item for item in changes.items() if values.get(item[0]) != item[1]]
        records = [Record(n, *item) for n, item in enumerate(new, self._reader.order + 1)]
        if not records:
            return
        own = self._own = self._own or OwnSegment.create(self._folder)
        kept, error = own.append(records)
        self._reader.wrote(own.path.name, own.tail, kept)
        if error is None:
            return
        try:
            own.cut_back()
        except OSError:
            self._give_up_segment()
        raise error

    def _give_up_segment(self) -> None:
        if self._own is not None:
            self._own.close()
            self._own = None

    # -- rewriting one's own segment -------------------------------------------------------

    @property
    def _worth_rewriting(self) -> int:
        """Rewriting reads all segments, so it waits until as much was written."""
        others = sum(tail.offset for tail in self._reader.tails.values())
        own = self._own
        return 0 if own is None else max(own.limit, (others - own.tail.offset) // 2)

    async def _roll_over(self) -> bool:
        """Go on in a new segment without what is outdated; whether that worked."""
        old = self._own
        if old is None:
            return False
        try:
            product = await asyncio.to_thread(compact_own, self._folder, old.path.name)
            if product is None:
                return False
            self._give_up_segment()
            self._own = OwnSegment.adopt(self._folder, product)
            self._reader.wrote(product.name, product.tail, [])
        except OSError as error:
            logger.warning("a segment could not be rewritten: %s", error)
            old.limit *= 2
            return False
        self._synced[product.name] = product.tail.offset
        return True

    # -- making it last --------------------------------------------------------------------

    async def flush(self, level: Level) -> None:
        """See ``Storage.flush``. One sync serves everyone who waits for it."""
        if level == "server":
            raise SaveError("a folder keeps nothing beyond this device; await the sync instead")
        if level == "disk":
            clearings = self._reader.clearings
            goal = self._offsets()
            async with self._syncing:
                if any(self._synced.get(name, 0) < offset for name, offset in goal.items()):
                    await self._sync()
            self._catch_up()
            if self._reader.clearings > clearings:
                raise SaveError("somebody cleared the folder meanwhile; write it again")

    def _offsets(self) -> dict[str, int]:
        return {name: tail.offset for name, tail in self._reader.tails.items()}

    async def _sync(self) -> None:
        if self._distrusted:
            async with self._writing:
                self._distrusted = self._own is not None and not await self._roll_over()
        offsets = self._offsets()
        names = [name for name, end in offsets.items() if self._synced.get(name, 0) < end]
        try:
            if self._distrusted:
                raise OSError("an earlier sync failed and nothing could be written since")
            await asyncio.to_thread(self._sync_files, names)
        except OSError as error:
            self._distrusted = self._own is not None
            raise SaveError(
                f"the disk with {self._folder} did not confirm the write ({error}): it is kept "
                "where a crash of this process does not lose it; check the disk"
            ) from error
        self._synced = offsets

    def _sync_files(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                descriptor = disk.open_file(self._folder / name)
            except FileNotFoundError:
                continue  # Merged into another, which was synced; or cleared, which is told.
            try:
                disk.sync(descriptor)
            finally:
                os.close(descriptor)
        with suppress(FileNotFoundError):
            disk.sync_folder(self._folder)

    def close(self) -> None:
        """Accept nothing more; the segment may be merged from now on. Idempotent."""
        self._closed = True
        self._listeners.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._give_up_segment()
