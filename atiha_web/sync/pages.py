"""Base in storage: pages of at most 64 Ki units and a manifest that names them.

Pages are written under new names and the manifest last, so a crash in between leaves the old base
whole. A page or manifest that does not check out means: pull again from cursor 0.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, repeat
from typing import Any

from atiha_web.sync.digest import EMPTY
from atiha_web.sync.merge import State
from atiha_web.sync.operation import RecordKey, dump_json
from atiha_web.sync.replica import Base, Row

PAGE_UNITS = 64 * 1024
FORMAT = 1

_RECORD = partial(tuple.__new__, RecordKey)
_STATE = partial(tuple.__new__, State)
_ROW = partial(tuple.__new__, Row)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What base consists of: page name to checksum, and up to where it is complete.

    ``pages`` is in the order they were written. A ``partial`` one lacks pages that were given up
    for want of room: it is complete up to nowhere.
    """

    epoch: str | None
    cursor: int
    digest: int
    schemas: Mapping[str, int]
    pages: Mapping[str, int] = field(default_factory=dict)
    partial: bool = False

    def without_oldest(self, count: int) -> Manifest:
        """What is left when the pages written first are given up."""
        pages = dict(islice(self.pages.items(), count, None))
        return Manifest(None, 0, EMPTY, self.schemas, pages, partial=True)

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
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def checksum(text: str) -> int:
    """CRC-32 of a page's text."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def decode_page(text: str) -> list[tuple[RecordKey, Row]]:
    """The rows of a page.

    Raises:
        ValueError: the page is not what this module writes.
    """
    try:
        found: list[tuple[RecordKey, Row]] = []
        for collection, rows in json.loads(text).items():
            # Columns: thousands of rows are made when a page opens, here without Python's steps.
            keys, versions, timestamps, data = zip(*rows, strict=True)
            records = map(_RECORD, zip(repeat(collection), keys))
            states = map(_STATE, zip(timestamps, data, strict=True))
            found += zip(records, map(_ROW, zip(versions, states, strict=True)), strict=True)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"not a page of base: {text!r:.60}") from error
    return found


def encode_page(rows: Iterable[tuple[RecordKey, Row]]) -> str:
    """The text of a page: for each collection a list of ``[key, version, timestamp, data]``."""
    by_collection: dict[str, list[list[Any]]] = {}
    for record, row in rows:
        members = [record.key, row.version, row.state.timestamp, row.state.data]
        by_collection.setdefault(record.collection, []).append(members)
    return dump_json(by_collection)


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

    def render(self, base: Base, new_name: Iterable[str]) -> tuple[dict[str, str], list[str]]:
        """The texts of the pages to write, by new name, and the names of those they replace.

        Takes one name from ``new_name`` for each page written.
        """
        self._take_in()
        names = iter(new_name)
        replaced = set(self._dirty)
        if self._homeless and self._open is not None:
            replaced.add(self._open)
        moving = sorted(self._homeless.union(*(self._records[page] for page in replaced)))
        for page in replaced:
            del self.checksums[page]
            del self._records[page]
        texts: dict[str, str] = {}
        for records, text in _split(moving, base):
            page = next(names)
            texts[page] = text
            self.loaded(page, checksum(text), records)
        self._take_in()
        self._homeless.clear()
        self._dirty.clear()
        if self._open not in self._records:
            self._open = next(iter(self._records), None)
        return texts, sorted(replaced)


def _split(records: list[RecordKey], base: Base) -> Iterable[tuple[list[RecordKey], str]]:
    """Pages of at most ``PAGE_UNITS``, dividing until they fit."""
    if not records:
        return
    text = encode_page((record, base.rows[record]) for record in records)
    if len(text) > PAGE_UNITS and len(records) > 1:
        # Rows differ in size: a tenth more than their mean says seldom has to be divided again.
        size = max(1, int(len(records) * PAGE_UNITS / (1.1 * len(text))))
        for first in range(0, len(records), size):
            yield from _split(records[first : first + size], base)
    else:
        yield records, text
