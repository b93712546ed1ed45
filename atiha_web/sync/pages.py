"""Base in storage: pages of at most 64 Ki units and a manifest that names them.

Pages are written under new names and the manifest last, so a crash in between leaves the old base
whole. A page or manifest that does not check out means: pull again from cursor 0.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, repeat

from atiha_web.sync.digest import EMPTY
from atiha_web.sync.merge import State
from atiha_web.sync.operation import RecordKey, dump_json
from atiha_web.sync.replica import Base, Row

PAGE_UNITS = 64 * 1024
FORMAT = 1
_ERASED = "erased by "

_RECORD = partial(tuple.__new__, RecordKey)
_STATE = partial(tuple.__new__, State)
_ROW = partial(tuple.__new__, Row)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What base consists of: page name to checksum, and up to where it is complete.

    ``pages`` is in the order they were written. A ``partial`` one lacks pages that were given up
    for want of room: it is complete up to nowhere. ``since`` names the last time that a person gave
    up all of this user's data on this device.
    """

    epoch: str | None
    cursor: int
    digest: int
    schemas: Mapping[str, int]
    pages: Mapping[str, int] = field(default_factory=dict)
    partial: bool = False
    since: str = ""

    def without_oldest(self, count: int) -> Manifest:
        """What is left when the pages written first are given up."""
        pages = dict(islice(self.pages.items(), count, None))
        return Manifest(None, 0, EMPTY, self.schemas, pages, partial=True, since=self.since)

    def encode(self) -> str:
        """The stored text. That of a partial one is never longer than of the one it comes from."""
        members: dict[str, object] = {
            "format": FORMAT,
            "epoch": self.epoch,
            "cursor": self.cursor,
            "digest": "0" if self.partial else f"{self.digest:016x}",
            "schemas": dict(self.schemas),
            "pages": dict(self.pages),
        }
        if self.since:
            members["since"] = self.since
        return dump_json({**members, "partial": True} if self.partial else members)


def decode_manifest(text: str | None) -> Manifest | None:
    """The manifest stored as ``text``; ``None`` where there is none that can be used."""
    try:
        raw = json.loads(text or "null")
        if raw["format"] != FORMAT:
            return None
        return Manifest(
            epoch=None if raw["epoch"] is None else str(raw["epoch"]),
            cursor=int(raw["cursor"]),
            digest=int(raw["digest"], 16),
            schemas={str(name): int(number) for name, number in raw["schemas"].items()},
            pages={str(name): int(checksum) for name, checksum in raw["pages"].items()},
            partial=bool(raw.get("partial", False)),
            since=str(raw.get("since", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def erased(by: str) -> str:
    """What stands in the manifest's place once a person gave everything up; ``by`` is unique."""
    return f"{_ERASED}{by}"


def is_erased(text: str | None) -> bool:
    """Whether a stored text is what ``erased`` makes."""
    return text is not None and text.startswith(_ERASED)


def erased_last(text: str | None) -> str:
    """Who gave everything up last, by what stands in the manifest's place; empty for nobody."""
    if text is not None and is_erased(text):
        return text.removeprefix(_ERASED)
    manifest = decode_manifest(text)
    return "" if manifest is None else manifest.since


def checksum(text: str) -> int:
    """CRC-32 of a page's text."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def decode_page(text: str) -> tuple[list[RecordKey], list[Row]]:
    """The records of a page, and the row of each.

    Raises:
        ValueError: the page is not what this module writes.
    """
    records: list[RecordKey] = []
    found: list[Row] = []
    try:
        for collection, rows in json.loads(text).items():
            # Columns: thousands of rows are made when a page opens, here without Python's steps.
            keys, versions, timestamps, data = zip(*rows, strict=True)
            records += map(_RECORD, zip(repeat(collection), keys))
            states = map(_STATE, zip(timestamps, data, strict=True))
            found += map(_ROW, zip(versions, states, strict=True))
    except (TypeError, AttributeError) as error:
        raise ValueError(f"not a page of base: {text!r:.60}") from error
    return records, found


class PageTable:
    """Which record is on which page, and which pages must be written again."""

    def __init__(self) -> None:
        self.checksums: dict[str, int] = {}
        self._loaded: list[tuple[str, Iterable[RecordKey]]] = []
        self._records: dict[str, set[RecordKey]] = {}
        self._page_of: dict[RecordKey, str] = {}
        self._homeless: set[RecordKey] = set()
        self._dirty: set[str] = set()
        self._open: str | None = None

    @property
    def clean(self) -> bool:
        """Whether storage holds every row as it is."""
        return not self._homeless and not self._dirty

    def loaded(self, page: str, page_checksum: int, records: Iterable[RecordKey]) -> None:
        """Storage holds ``records`` on ``page``."""
        self.checksums[page] = page_checksum
        self._loaded.append((page, records))
        self._open = page

    def _take_in(self) -> None:
        """Learn what was loaded; only who writes pages needs to know, not who opens them."""
        for page, records in self._loaded:
            self._records[page] = set(records)
            self._page_of |= dict.fromkeys(self._records[page], page)
        self._loaded.clear()

    def touch(self, records: Iterable[RecordKey]) -> None:
        """These rows changed."""
        self._take_in()
        for record in records:
            page = self._page_of.get(record)
            if page is None:
                self._homeless.add(record)
            else:
                self._dirty.add(page)

    def touch_all(self, base: Base) -> None:
        """Nothing of what storage holds may be relied on."""
        self._take_in()
        self._dirty.update(self._records)
        self.touch(base.rows)

    def take_apart(self) -> tuple[list[str], list[RecordKey]]:
        """The pages to give up, and the records that go to new ones, each of them ``placed``."""
        self._take_in()
        outdated = set(self._dirty)
        if self._homeless and self._open is not None:
            outdated.add(self._open)
        self._homeless.update(*(self._records[page] for page in outdated))
        for page in outdated:
            del self.checksums[page]
            del self._records[page]
        for record in self._homeless:
            self._page_of.pop(record, None)
        self._dirty.clear()
        if self._open not in self._records:
            self._open = next(iter(self._records), None)
        return sorted(outdated), sorted(self._homeless)

    def placed(self, page: str, page_checksum: int, records: Iterable[RecordKey]) -> None:
        """These records have a new page."""
        self.loaded(page, page_checksum, records)
        self._take_in()
        self._homeless.difference_update(records)


def paginate(records: Iterable[RecordKey], base: Base) -> Iterator[tuple[list[RecordKey], str]]:
    """Their pages of at most ``PAGE_UNITS``, made one at a time. A larger row is alone on one.

    A page holds for each collection a list of ``[key, version, timestamp, data]``.
    """
    page: dict[str, list[str]] = {}
    members: list[RecordKey] = []
    units = 0
    for record in records:
        version, (timestamp, data) = base.rows[record]
        row = dump_json([record.key, version, timestamp, data])
        # With the comma before it; and as if it began a list of its own.
        more = len(row) + len(record.collection) + 7
        if members and units + more > PAGE_UNITS:
            yield members, _page_text(page)
            page, members, units = {}, [], 0
        units += more if record.collection not in page else len(row) + 1
        page.setdefault(record.collection, []).append(row)
        members.append(record)
    if members:
        yield members, _page_text(page)


def _page_text(rows: Mapping[str, list[str]]) -> str:
    lists = (f"{dump_json(name)}:[{','.join(texts)}]" for name, texts in rows.items())
    return f"{{{','.join(lists)}}}"
