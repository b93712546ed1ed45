"""Base in local storage: pages and a manifest, written so that each crash leaves a whole one."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter
from typing import Literal

from atiha_web.backends.base import Storage
from atiha_web.errors import StorageFullError
from atiha_web.sync.garbage import no_collection
from atiha_web.sync.names import Names
from atiha_web.sync.operation import RecordKey
from atiha_web.sync.pages import (
    Manifest,
    PageTable,
    checksum,
    decode_manifest,
    decode_page,
    erased_last,
    is_erased,
    paginate,
)
from atiha_web.sync.replica import Base, Row
from atiha_web.sync.room import Room
from atiha_web.sync.turns import Pause, in_turns, pause

logger = logging.getLogger("atiha_web")

_VERSION = attrgetter("version")

PAGES_READ_PER_TURN = 2
PAGES_WRITTEN_PER_TURN = 2
"""How many pages before others get a turn: to read one may take 3 ms, to write one 4 ms."""


Loss = Literal["given up", "cleared"]


@dataclass
class OpenedBase:
    """What storage held; ``problems`` names what could not be read, in words.

    ``schemas`` are the numbers that its rows were written under.
    """

    base: Base
    schemas: Mapping[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class _OvertakenError(Exception):
    """Another tab stored its base while ours was being written."""


class BaseStore:
    """The base of one user over a ``Storage``; ``room`` tells whether anything may be written.

    It takes a ``pause`` between the parts of long work.
    """

    def __init__(
        self,
        storage: Storage,
        names: Names,
        writer: str,
        schemas: Mapping[str, int],
        room: Room,
        pause: Pause = pause,
    ) -> None:
        self._pause = pause
        self._storage = storage
        self._names = names
        self._writer = writer
        self._schemas = dict(schemas)
        self._room = room
        self._table = PageTable()
        self._page_numbers = count(1)
        self._manifest_text: str | None = None
        self._is_known = True
        """Whether the table tells what storage holds, once it is told what has changed."""
        self._stray: set[str] = set()
        self._since = ""
        self._given_up = False
        self.partial = False
        """Whether storage lacks some of base for want of room; the next start pulls it again."""
        self.bereft = False
        """Whether storage was cleared, and has had no room since for what is pending."""

    # -- reading ---------------------------------------------------------------------------

    async def open(self, opened: OpenedBase) -> None:
        """Read into ``opened``. What cannot be read stays in storage and is named there."""
        [text] = await self._storage.read([self._names.manifest])
        manifest = decode_manifest(text)
        self._since = erased_last(text)
        if manifest is None:
            self._manifest_text = text
            if text and not is_erased(text):
                opened.problems.append("the list of cached pages is unreadable; pulling again")
            return
        self.partial = manifest.partial
        self._room.is_short |= manifest.partial
        whole = await self._read_pages(manifest, opened)
        opened.schemas = manifest.schemas
        if manifest.schemas != self._schemas:
            # The rows are brought into their current shape, so no page may stay as it is.
            self._table.touch_all(opened.base)
        if whole:
            opened.base.epoch = manifest.epoch
        if whole and manifest.schemas == self._schemas:
            opened.base.cursor = manifest.cursor
            self._manifest_text = text
        elif not whole and [text] != await self._storage.read([self._names.manifest]):
            # No damage: another tab replaced pages between the manifest and them.
            self._table = PageTable()
            opened.base = Base()
            await self.open(opened)
        elif not whole:
            opened.problems.append("a cached page is damaged; pulling again")

    async def loss(self) -> Loss | None:
        """Whether this user's data went from storage since it was read here, and how.

        "given up": a person did it, in whichever tab; what they erased left an empty manifest, and
        somebody may have signed in again since and pulled another base. "cleared": somebody cleared
        storage under us. Another tab takes operations out of the journal only after it stored base:
        journal keys that are gone with no base beside them were not acknowledged. There may never
        have been room for one.
        """
        if self._given_up:
            return "given up"
        [stored] = await self._storage.read([self._names.manifest])
        if stored is None:
            never_stored = self._room.is_short and self._manifest_text is None
            return None if never_stored and not self.bereft else "cleared"
        return "given up" if erased_last(stored) not in ("", self._since) else None

    def note_given_up(self) -> None:
        """A person gave everything up: from now on this stores nothing.

        Where storage was cleared since, nothing there says so any more.
        """
        self._given_up = True

    @property
    def was_stored(self) -> bool:
        """Whether storage held a base of this user, or word that it was given up."""
        return self._manifest_text is not None

    async def is_own(self, *, or_bare: bool = False) -> bool:
        """Whether what storage holds of base is what this tab stored last.

        Of a base without rows nobody can tell who stored it: ``or_bare`` counts that one, too.
        """
        [stored] = await self._storage.read([self._names.manifest])
        manifest = decode_manifest(stored)
        if manifest is None or stored != self._manifest_text:
            return False
        is_bare = or_bare and not manifest.pages
        return is_bare or any(name.startswith(f"{self._writer}.") for name in manifest.pages)

    async def was_cleared(self) -> bool:
        """Whether somebody cleared storage under us."""
        return await self.loss() == "cleared"

    async def was_given_up(self) -> bool:
        """Whether a person gave this user's data up since it was read here."""
        return await self.loss() == "given up"

    async def reload(self) -> OpenedBase | None:
        """Base as another tab wrote it; ``None`` where it is ours, or older, or unreadable.

        That of another release of the app, by its ``schemas``, is only looked at: ours stays.
        """
        [text] = await self._storage.read([self._names.manifest])
        manifest = decode_manifest(text)
        if manifest is None or text == self._manifest_text:
            return None
        self._since = manifest.since
        if manifest.schemas != self._schemas:
            return await self._of_another_release(manifest)
        if manifest.partial:
            self._lacks_room(text)
            return None
        table, was_partial = self._table, self.partial
        opened = OpenedBase(Base())
        self._table = PageTable()
        await self.open(opened)
        if opened.problems:
            self._table, self.partial = table, was_partial
            return None
        return opened

    async def _of_another_release(self, manifest: Manifest) -> OpenedBase | None:
        table, self._table = self._table, PageTable()
        opened = OpenedBase(Base(manifest.epoch, manifest.cursor), manifest.schemas)
        whole = await self._read_pages(manifest, opened)
        self._table = table
        return opened if whole else None

    async def _read_pages(self, manifest: Manifest, opened: OpenedBase) -> bool:
        whole, base = True, opened.base
        base.digest = manifest.digest
        # In each turn apart it would look for garbage in all that the turn has made.
        with no_collection():
            async for names in in_turns(manifest.pages, PAGES_READ_PER_TURN, self._pause):
                texts = await self._storage.read([self._names.pages + name for name in names])
                for name, text in zip(names, texts, strict=True):
                    page = _page_rows(text, manifest.pages[name])
                    whole &= page is not None
                    if page is not None:
                        records, rows = page
                        base.rows.update(zip(records, rows, strict=True))
                        base.newest = max(base.newest, *map(_VERSION, rows))
                        self._table.loaded(name, manifest.pages[name], records)
            # What looks for garbage next takes as long as some pages did.
            await self._pause()
        return whole

    # -- writing ---------------------------------------------------------------------------

    async def save(self, base: Base, changed: Collection[RecordKey]) -> None:
        """Write the pages that hold ``changed`` rows, then the manifest, then drop old pages.

        Where there is no room, base is kept in memory only (``partial`` tells): storage keeps what
        it had, from which the next start goes on.
        """
        try:
            await self._save(base, changed)
        except _OvertakenError:
            await self.save(base, changed)
        except BaseException:
            self.mistrust()
            raise

    def mistrust(self) -> None:
        """Storage lacks rows that nobody named, or pages that the table does: write all of it."""
        self._is_known = False

    async def _save(self, base: Base, changed: Collection[RecordKey]) -> None:
        if self._room.is_short:
            self._table.touch(changed)
            self.partial |= not (self._is_known and self._table.clean)
            return
        if not self._is_known:
            await self._replace(base)
            return
        [stored] = await self._storage.read([self._names.manifest])
        if self._was_erased(stored):
            return
        if stored == self._manifest_text:
            self._table.touch(changed)
            await self._write(base, stored, replaced=())
        elif (manifest := decode_manifest(stored)) is not None and manifest.partial:
            self._lacks_room(stored)
        else:
            # A base that was cleared, or replaced by another tab's unheard, must come back whole:
            # its manifest claims completeness.
            await self._write_whole(base, stored, replaced=())

    async def replace(self, base: Base) -> None:
        """Write all of a base built beside the old one, then drop the old pages."""
        try:
            await self._replace(base)
        except _OvertakenError:
            await self.replace(base)
        except BaseException:
            self.mistrust()
            raise

    async def _replace(self, base: Base) -> None:
        if self._room.is_short:
            self.partial = True
            return
        [stored] = await self._storage.read([self._names.manifest])
        manifest = decode_manifest(stored)
        if manifest is not None and manifest.partial and stored != self._manifest_text:
            self._lacks_room(stored)
        elif not self._was_erased(stored):
            named = () if manifest is None else manifest.pages
            await self._write_whole(base, stored, replaced={*self._table.checksums, *named})

    async def write_back(self, base: Base) -> bool:
        """Store base whole again if there is room by now; tells whether views may come back too."""
        if not self._room.is_short or not await self._room.is_there():
            return False
        self._room.is_short = False
        [stored] = await self._storage.read([self._names.manifest])
        if stored == self._manifest_text and not self.partial:
            return True
        if not is_erased(stored):
            self._manifest_text = stored
        await self.replace(base)
        return not self._room.is_short

    async def sweep(self) -> bool:
        """Remove pages no manifest names: what a crash left.

        Only those that were there the last time too: another tab may be about to name a new one.
        Tells whether pages are gone that the manifest names: tabs that write at the same time,
        where there is no lock, may each remove what the other one still names.
        """
        [text] = await self._storage.read([self._names.manifest])
        manifest = decode_manifest(text)
        named = {self._names.pages + name for name in (manifest.pages if manifest else ())}
        stored = set(await self._storage.keys(self._names.pages))
        stray = stored - named
        await self._remove(sorted(stray & self._stray))
        self._stray = stray
        ours = manifest is not None and manifest.schemas == self._schemas and not manifest.partial
        lacks = ours and not named <= stored
        return lacks and [text] == await self._storage.read([self._names.manifest])

    def _was_erased(self, stored: str | None) -> bool:
        return self._given_up or (is_erased(stored) and erased_last(stored) != self._since)

    def _lacks_room(self, stored: str | None) -> None:
        """Another tab gave up pages: what we hold must not take their room."""
        self._manifest_text = stored
        self._room.is_short = self.partial = True

    async def _write_whole(self, base: Base, stored: str | None, replaced: Collection[str]) -> None:
        self._table = PageTable()
        self._table.touch(base.rows)
        await self._write(base, stored, replaced)
        self._is_known = True

    async def _write(self, base: Base, stored: str | None, replaced: Collection[str]) -> None:
        """Write what the table says; pages that are ``replaced`` go at the latest after that."""
        outdated, moving = self._table.take_apart()
        if moving:
            await self._pause()
        pages = await self._render(moving, base)
        checksums, since = self._table.checksums, self._since
        manifest = Manifest(
            base.epoch, base.cursor, base.digest, self._schemas, checksums, since=since
        ).encode()
        if pages or manifest != stored:
            if not await self._fit(pages, manifest, stored, replaced):
                await self._keep_in_memory(pages)
                return
            self._manifest_text = manifest
        self.partial = False
        self._room.wanted = 0
        await self._remove(self._names.pages + name for name in {*outdated, *replaced})

    async def _render(self, moving: list[RecordKey], base: Base) -> dict[str, str]:
        """New pages for these records, by storage key."""
        pages: dict[str, str] = {}
        async for [(records, text)] in in_turns(paginate(moving, base), 1, self._pause):
            name = f"{self._writer}.{next(self._page_numbers)}"
            pages[self._names.pages + name] = text
            self._table.placed(name, checksum(text), records)
        return pages

    async def _fit(
        self,
        pages: Mapping[str, str],
        manifest: str,
        stored: str | None,
        replaced: Collection[str],
    ) -> bool:
        """Write base; views, and then the pages it replaces, make room. Tells whether it fits."""
        with suppress(StorageFullError):
            await self._write_in_turns(pages, manifest, stored)
            return True
        await self._room.give_up_views()
        with suppress(StorageFullError):
            await self._write_in_turns(pages, manifest, stored)
            return True
        if not replaced:
            return False
        if await self.give_up_pages(all_of_them=True):
            stored = self._manifest_text
        await self._remove(self._names.pages + name for name in replaced)
        with suppress(StorageFullError):
            await self._write_in_turns(pages, manifest, stored)
            return True
        self._room.wanted = len(manifest) + sum(map(len, pages.values()))
        return False

    async def _write_in_turns(
        self, pages: Mapping[str, str], manifest: str, stored: str | None
    ) -> None:
        """Write pages and, last, the manifest that names them, if it is still the one of before."""
        async for some in in_turns(pages.items(), PAGES_WRITTEN_PER_TURN, self._pause):
            await self._storage.write(dict(some))
        if [stored] != await self._storage.read([self._names.manifest]):
            # Nothing names them: of what was given up meanwhile nothing may stay.
            await self._remove(pages)
            raise _OvertakenError
        await self._storage.write({self._names.manifest: manifest})

    async def _keep_in_memory(self, pages: Iterable[str]) -> None:
        """No manifest names these pages: what was written of them goes again."""
        logger.warning("no room for cached data; it is kept in memory only")
        self._table = PageTable()
        self.partial = True
        await self._remove(pages)

    # -- giving up ------------------------------------------------------------------------

    async def give_up_pages(self, *, all_of_them: bool = False) -> bool:
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

    async def give_up_strays(self) -> bool:
        """Remove every page there is, named or not; tells whether there was one."""
        strays = await self._storage.keys(self._names.pages)
        await self._remove(strays)
        return bool(strays)

    async def _remove(self, keys: Iterable[str]) -> None:
        changes: dict[str, str | None] = dict.fromkeys(keys)
        if changes:
            await self._storage.write(changes)


def _page_rows(text: str | None, expected: int) -> tuple[list[RecordKey], list[Row]] | None:
    if text is None or checksum(text) != expected:
        return None
    try:
        return decode_page(text)
    except ValueError:
        return None
