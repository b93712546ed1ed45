"""One user's data in local storage: opening it, and making each step durable in the right order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter, itemgetter
from typing import TypeVar

from atiha_web.backends.base import Storage
from atiha_web.errors import InvalidDataError, SaveError, StorageError, StorageFullError
from atiha_web.sync.journal import (
    Names,
    decode_operation,
    decode_quarantined,
    encode_operation,
    encode_quarantined,
)
from atiha_web.sync.operation import Operation, RecordKey
from atiha_web.sync.pages import Manifest, PageTable, checksum, decode_manifest, decode_page
from atiha_web.sync.replica import Base, Quarantined, Row
from atiha_web.sync.room import Room

logger = logging.getLogger("atiha_web")
T = TypeVar("T")

PAGES_PER_TURN = 4
"""How many pages are read before others get a turn: one takes a browser about 1 ms."""
ERASED = ""
"""The manifest of data that a person gave up."""


@dataclass
class Opened:
    """What storage held; ``problems`` names what could not be read, in words.

    ``schemas`` are the numbers that the rows of base were written under.
    """

    base: Base
    schemas: Mapping[str, int] = field(default_factory=dict)
    pending: list[Operation] = field(default_factory=list)
    quarantine: dict[str, Quarantined] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class LocalStore:
    """Journal, quarantine and base of one user over a ``Storage``.

    ``mark_time`` (ms since 1970) is given where storage has a mirror, from which something may come
    back: what a person gives up is marked there.
    """

    def __init__(
        self,
        storage: Storage,
        names: Names,
        writer: str,
        schemas: Mapping[str, int],
        mark_time: Callable[[], int] | None = None,
    ) -> None:
        self._mark_time = mark_time
        self._storage = storage
        self._names = names
        self._writer = writer
        self._schemas = dict(schemas)
        self._table = PageTable()
        self._page_numbers = count(1)
        self._manifest_text: str | None = None
        self._stray: set[str] = set()
        self.room = Room(storage, names, schemas)
        self.partial = False
        """Whether storage lacks some of base for want of room; the next start pulls it again."""

    # -- reading ---------------------------------------------------------------------------

    async def open(self) -> Opened:
        """Read everything. What cannot be read stays in storage and is named in ``problems``."""
        opened = Opened(base=Base())
        # The journal first: what another tab takes out of it meanwhile is in base by then.
        opened.pending = await self._decode(self._names.journal, decode_operation, opened.problems)
        await self._open_base(opened)
        opened.quarantine = await self.open_quarantine(opened.problems)
        return opened

    async def open_quarantine(self, problems: list[str]) -> dict[str, Quarantined]:
        """The refused operations by id; ``problems`` gains what could not be read."""
        entries = await self._decode(self._names.quarantine, decode_quarantined, problems)
        return {entry.operation.id: entry for entry in entries}

    async def journal_ids(self) -> list[str]:
        """The ids of the operations the journal holds now."""
        prefix = self._names.journal
        return [key.removeprefix(prefix) for key in await self._storage.keys(prefix)]

    async def was_cleared(self) -> bool:
        """Whether somebody cleared storage under us.

        Another tab takes operations out of the journal only after it stored base: journal keys
        that are gone with no base beside them were not acknowledged. What was erased on purpose
        left an empty manifest. There may never have been room for one.
        """
        [manifest] = await self._storage.read([self._names.manifest])
        never_stored = self.room.is_short and self._manifest_text is None
        return manifest is None and not never_stored

    async def read_operation(self, operation_id: str) -> Operation | None:
        """One operation of the journal, ``None`` where it is gone or cannot be read."""
        [text] = await self._storage.read([self._names.journal + operation_id])
        if text is None:
            return None
        try:
            return decode_operation(operation_id, text)
        except InvalidDataError as error:
            logger.error("%s; it is left where it is", error)
            return None

    async def reload_base(self) -> Base | None:
        """Base as another tab wrote it; ``None`` where it is ours, or older, or unreadable."""
        [text] = await self._storage.read([self._names.manifest])
        manifest = decode_manifest(text)
        if manifest is None or manifest.schemas != self._schemas or text == self._manifest_text:
            return None
        if manifest.partial:
            self._lacks_room(text)
            return None
        table, was_partial = self._table, self.partial
        opened = Opened(base=Base())
        self._table = PageTable()
        await self._open_base(opened)
        if opened.problems:
            self._table, self.partial = table, was_partial
            return None
        return opened.base

    async def _open_base(self, opened: Opened) -> None:
        [text] = await self._storage.read([self._names.manifest])
        manifest = decode_manifest(text)
        if manifest is None:
            self._manifest_text = text
            if text:
                opened.problems.append("the list of cached pages is unreadable; pulling again")
            return
        self.partial = manifest.partial
        self.room.is_short |= manifest.partial
        whole = await self._read_pages(manifest, opened)
        opened.schemas = manifest.schemas
        if manifest.schemas != self._schemas:
            # The rows are brought into their current shape, so no page may stay as it is.
            self._table.touch_all(opened.base)
        if whole and manifest.schemas == self._schemas:
            opened.base.epoch = manifest.epoch
            opened.base.cursor = manifest.cursor
            self._manifest_text = text
        elif not whole and [text] != await self._storage.read([self._names.manifest]):
            # No damage: another tab replaced pages between the manifest and them.
            self._table = PageTable()
            opened.base = Base()
            await self._open_base(opened)
        elif not whole:
            opened.problems.append("a cached page is damaged; pulling again")

    async def _read_pages(self, manifest: Manifest, opened: Opened) -> bool:
        names = list(manifest.pages)
        texts = await self._storage.read([self._names.pages + name for name in names])
        whole = True
        for number, (name, text) in enumerate(zip(names, texts, strict=True), 1):
            rows = _page_rows(text, manifest.pages[name])
            whole &= rows is not None
            if rows is not None:
                opened.base.rows.update(rows)
                records = list(map(itemgetter(0), rows))
                self._table.loaded(name, manifest.pages[name], records)
            if number % PAGES_PER_TURN == 0:
                await asyncio.sleep(0)
        opened.base.digest = manifest.digest
        opened.base.newest = max(map(attrgetter("version"), opened.base.rows.values()), default=0)
        return whole

    async def _decode(
        self, prefix: str, decode: Callable[[str, str], T], problems: list[str]
    ) -> list[T]:
        keys = await self._storage.keys(prefix)
        decoded = []
        for key, text in zip(keys, await self._storage.read(keys), strict=True):
            if text is None:
                continue
            try:
                decoded.append(decode(key.removeprefix(prefix), text))
            except InvalidDataError as error:
                problems.append(str(error))
        return decoded

    # -- writing ---------------------------------------------------------------------------

    async def append(self, operation: Operation, replaces: Sequence[Operation] = ()) -> None:
        """Put an operation into the journal, then take out those it replaces.

        Raises:
            StorageFullError: there is no room even without cached data; nothing was changed.
            StorageUnavailableError: storage cannot be used; nothing was changed.
        """
        key = self._names.journal + operation.id
        await self._write_making_room({key: encode_operation(operation)})
        # The one takes the room of the others: that is no reason to measure it.
        await self._remove(self._names.journal + older.id for older in replaces)

    async def remove(self, operation_ids: Iterable[str]) -> None:
        """Take operations out of the journal."""
        names = list(operation_ids)
        await self._remove(self._names.journal + name for name in names)
        if names:
            self.room.measure_again()

    async def put_in_quarantine(self, entry: Quarantined) -> None:
        """Move an operation from the journal to quarantine; never is it in neither."""
        name = entry.operation.id
        await self._write_making_room({self._names.quarantine + name: encode_quarantined(entry)})
        await self.remove([name])

    async def drop_quarantined(self, operation_ids: Iterable[str]) -> None:
        """Forget refused operations for good; only a person decides this."""
        names = list(operation_ids)
        await self._give_up([self._names.quarantine + name for name in names], names)
        self.room.measure_again()

    async def save_base(self, base: Base, changed: Iterable[RecordKey]) -> None:
        """Write the pages that hold ``changed`` rows, then the manifest, then drop old pages.

        Where there is no room, base is kept in memory only (``partial`` tells): storage keeps what
        it had, from which the next start goes on.
        """
        if self.room.is_short:
            self._table.touch(changed)
            self.partial |= not self._table.clean
            return
        [stored] = await self._storage.read([self._names.manifest])
        if self._was_erased(stored):
            return
        if stored == self._manifest_text:
            self._table.touch(changed)
            await self._save(base, stored, replaced=())
        elif (manifest := decode_manifest(stored)) is not None and manifest.partial:
            self._lacks_room(stored)
        else:
            # A base that was cleared, or replaced by another tab's unheard, must come back whole:
            # its manifest claims completeness.
            await self._save_whole(base, stored, replaced=())

    async def replace_base(self, base: Base) -> None:
        """Write all of a base built beside the old one, then drop the old pages."""
        if self.room.is_short:
            self.partial = True
            return
        [stored] = await self._storage.read([self._names.manifest])
        manifest = decode_manifest(stored)
        if manifest is not None and manifest.partial and stored != self._manifest_text:
            self._lacks_room(stored)
        elif not self._was_erased(stored):
            named = () if manifest is None else manifest.pages
            await self._save_whole(base, stored, replaced={*self._table.checksums, *named})

    async def write_back(self, base: Base) -> bool:
        """Store base whole again if there is room by now; tells whether views may come back too."""
        if not self.room.is_short or not await self.room.is_there():
            return False
        self.room.is_short = False
        [stored] = await self._storage.read([self._names.manifest])
        if stored == self._manifest_text and not self.partial:
            return True
        if stored != ERASED:
            self._manifest_text = stored
        await self.replace_base(base)
        return not self.room.is_short

    async def restore(
        self, base: Base, pending: Iterable[Operation], quarantine: Iterable[Quarantined]
    ) -> None:
        """Write everything again after somebody cleared storage under us."""
        journal = {self._names.journal + item.id: encode_operation(item) for item in pending}
        refused = {
            self._names.quarantine + item.operation.id: encode_quarantined(item)
            for item in quarantine
        }
        await self._write_making_room({**journal, **refused})
        await self.replace_base(base)

    async def erase(self) -> None:
        """Remove all of this user's data. What stays says so to tabs that did not hear of it."""
        await self._storage.write({self._names.manifest: ERASED})
        stored = await self._storage.keys(self._names.prefix)
        entries = [
            key.removeprefix(prefix)
            for prefix in (self._names.journal, self._names.quarantine)
            for key in stored
            if key.startswith(prefix)
        ]
        # One mark for each writer: there may be thousands of operations, and little room.
        writers = {f"{name.rpartition('-')[0]}-" for name in entries}
        await self._give_up([key for key in stored if key != self._names.manifest], writers)

    async def give_up(self, operation_ids: Iterable[str]) -> None:
        """Take operations out of the journal that another user's now holds.

        What stays says so to tabs that did not hear of it.
        """
        names = list(operation_ids)
        await self._storage.write({self._names.manifest: ERASED})
        await self._give_up([self._names.journal + name for name in names], names)

    async def sweep_pages(self) -> None:
        """Remove pages no manifest names: what a crash left.

        Only those that were there the last time too: another tab may be about to name a new one.
        """
        [text] = await self._storage.read([self._names.manifest])
        manifest = decode_manifest(text)
        named = {self._names.pages + name for name in (manifest.pages if manifest else ())}
        stray = set(await self._storage.keys(self._names.pages)) - named
        await self._remove(sorted(stray & self._stray))
        self._stray = stray

    def _was_erased(self, stored: str | None) -> bool:
        return stored == ERASED and self._manifest_text not in (None, ERASED)

    def _lacks_room(self, stored: str | None) -> None:
        """Another tab gave up pages: what we hold must not take their room."""
        self._manifest_text = stored
        self.room.is_short = self.partial = True

    async def _save_whole(self, base: Base, stored: str | None, replaced: Collection[str]) -> None:
        self._table = PageTable()
        self._table.touch(base.rows)
        await self._save(base, stored, replaced)

    async def _save(self, base: Base, stored: str | None, replaced: Collection[str]) -> None:
        """Write what the table says; pages that are ``replaced`` go at the latest after that."""
        texts, outdated = self._table.render(base, self._new_page_names())
        manifest = Manifest(
            base.epoch, base.cursor, base.digest, self._schemas, self._table.checksums
        ).encode()
        pages = {self._names.pages + name: text for name, text in texts.items()}
        if texts or manifest != stored:
            if not await self._fit({**pages, self._names.manifest: manifest}, replaced):
                await self._keep_in_memory(pages)
                return
            self._manifest_text = manifest
        self.partial = False
        self.room.wanted = 0
        await self._remove(self._names.pages + name for name in {*outdated, *replaced})

    async def _fit(self, changes: Mapping[str, str], replaced: Collection[str]) -> bool:
        """Write base; views, and then the pages it replaces, make room. Tells whether it fits."""
        with suppress(StorageFullError):
            await self._storage.write(changes)
            return True
        await self.room.give_up_views()
        with suppress(StorageFullError):
            await self._storage.write(changes)
            return True
        if not replaced:
            return False
        await self._give_up_pages(all_of_them=True)
        await self._remove(self._names.pages + name for name in replaced)
        with suppress(StorageFullError):
            await self._storage.write(changes)
            return True
        self.room.wanted = sum(map(len, changes.values()))
        return False

    async def _keep_in_memory(self, pages: Iterable[str]) -> None:
        """No manifest names these pages: what was written of them goes again."""
        logger.warning("no room for cached data; it is kept in memory only")
        self._table = PageTable()
        self.partial = True
        await self._remove(pages)

    async def _write_making_room(self, changes: Mapping[str, str]) -> None:
        """Write what must not be lost; give up cached data, step by step, where room is short."""
        while True:
            try:
                return await self._storage.write(changes)
            except StorageFullError:
                if not await self._make_room():
                    raise

    async def _make_room(self) -> bool:
        """Take one step of the ladder: views, the oldest page, strays. ``False`` after the last."""
        if await self.room.give_up_views() or await self._give_up_pages():
            return True
        strays = await self._storage.keys(self._names.pages)
        await self._remove(strays)
        return bool(strays)

    async def _give_up_pages(self, *, all_of_them: bool = False) -> bool:
        """Remove the page written first, or all; tells whether there was one.

        The manifest goes first: it never claims what is not there. It may be another tab's.
        """
        [text] = await self._storage.read([self._names.manifest])
        manifest = decode_manifest(text)
        if manifest is None or not manifest.pages:
            return False
        given_up = list(manifest.pages)[: None if all_of_them else 1]
        rest = manifest.without_oldest(len(given_up)).encode()
        self._lacks_room(rest)
        pages = dict.fromkeys(self._names.pages + name for name in given_up)
        await self._storage.write({self._names.manifest: rest, **pages})
        return True

    async def _give_up(self, keys: Iterable[str], marked: Iterable[str]) -> None:
        """Remove keys so that they do not come back, even if the browser is killed after this."""
        changes: dict[str, str | None] = dict.fromkeys(keys)
        if self._mark_time is None:
            await self._remove(changes)
            return
        # The removals first: they make room.
        now = str(self._mark_time())
        await self._storage.write(
            {**changes, **{self._names.forgotten(name): now for name in marked}}
        )
        with suppress(SaveError):
            await self._storage.flush("disk")

    async def _remove(self, keys: Iterable[str]) -> None:
        changes: dict[str, str | None] = dict.fromkeys(keys)
        if changes:
            await self._storage.write(changes)

    def _new_page_names(self) -> Iterator[str]:
        return (f"{self._writer}.{number}" for number in self._page_numbers)


def _page_rows(text: str | None, expected: int) -> list[tuple[RecordKey, Row]] | None:
    if text is None or checksum(text) != expected:
        return None
    try:
        return decode_page(text)
    except ValueError:
        return None


async def write_views(storage: Storage, changes: Mapping[str, str | None]) -> None:
    """Write views; one that cannot be written is removed, never an error."""
    if not changes:
        return
    with suppress(StorageError):
        await storage.write(changes)
        return
    for key, text in changes.items():
        try:
            await storage.write({key: text})
        except StorageError:
            logger.warning("no room for %s; it is left out", key)
            with suppress(StorageError):
                await storage.write({key: None})
