"""Making one segment of several, so that nothing is lost whenever the process dies.

The new segment is written under another name, synced, and renamed; it names those it stands for,
and readers ignore them from then on. Only then are they removed. Everything here blocks.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from atiha_web.backends.file import disk, locks
from atiha_web.backends.file.reader import SUFFIX, WRITE_LOCK, Tail, list_segments, superseded
from atiha_web.backends.file.segments import (
    HEADER,
    START,
    Contents,
    Record,
    Summary,
    encode,
    encode_summary,
    parse,
)

logger = logging.getLogger("atiha_web")

COMPACTION_LOCK = "compaction.lock"
PATIENCE = 30.0
"""Seconds to wait for a lock that others hold for less than one."""

MERGED = "merged-"
SMALL = 256 * 1024
"""Bytes below which dead segments may pile up a little."""
FEW = 4
MOST = 64 * 1024 * 1024
"""Bytes merged at one opening, unless a single segment is larger."""
_NAMES_KEPT = 256


@dataclass(frozen=True)
class Product:
    """A segment made from others."""

    name: str
    tail: Tail


def new_name() -> str:
    """The name of a segment nobody has."""
    return secrets.token_hex(8) + SUFFIX


def merge(records: Iterable[Record], keys_elsewhere: set[str]) -> list[Record]:
    """The newest record of each key, in order.

    A removal stays only while another segment may hold an older value of that key.
    """
    newest: dict[str, Record] = {}
    for record in records:
        if record.key not in newest or newest[record.key].order < record.order:
            newest[record.key] = record
    kept = [r for r in newest.values() if r.value is not None or r.key in keys_elsewhere]
    return sorted(kept, key=lambda record: record.order)


def choose(dead: Mapping[str, int], damaged: set[str]) -> list[str]:
    """Which dead segments, by name and size, to merge now.

    One that was merged before is taken again only once the smaller ones together reach half of
    it, so that each byte is rewritten a number of times that grows as the logarithm of all.
    """
    chosen: list[str] = []
    total = 0
    for name, size in sorted(dead.items(), key=lambda item: item[1]):
        settled = name.startswith(MERGED) and size > max(2 * total, SMALL)
        too_much = bool(chosen) and total + size > MOST
        if name in damaged or not (settled or too_much):
            chosen.append(name)
            total += size
    unsettled = any(not name.startswith(MERGED) for name in chosen)
    worth = len(chosen) >= FEW or (total >= SMALL and unsettled) or damaged & set(chosen)
    return chosen if worth else []


def compact_dead(folder: Path, damaged: set[str]) -> None:
    """Merge segments whose processes are gone, where that is worth it and nobody else does it.

    Raises:
        OSError: the folder refuses; everything that was stored is still there.
    """
    with locks.hold_blocking(folder / COMPACTION_LOCK, 0) as alone:
        if not alone:
            return
        for leftover in folder.glob("*.tmp"):
            disk.remove(leftover)
        names = choose(_dead(folder), damaged)
        if names:
            _compact(folder, names, MERGED + new_name())


def compact_own(folder: Path, name: str) -> Product | None:
    """Rewrite one's own segment; ``None`` while somebody else compacts, or it has changed.

    Raises:
        OSError: the folder refuses; everything that was stored is still there.
    """
    with locks.hold_blocking(folder / COMPACTION_LOCK, 0) as alone:
        return _compact(folder, [name], new_name()) if alone else None


def _dead(folder: Path) -> dict[str, int]:
    """The segments nobody appends to, with their sizes. None of them comes to life again."""
    dead: dict[str, int] = {}
    # Segments are made and locked under this lock: none is seen between the two.
    with locks.hold_blocking(folder / WRITE_LOCK, PATIENCE) as held:
        for name, size in list_segments(folder).items() if held else ():
            descriptor = disk.open_file(folder / name)
            if locks.lock_open_file(descriptor):
                dead[name] = size
                locks.release(descriptor)
            else:
                os.close(descriptor)
    return dead


def _compact(folder: Path, names: list[str], product: str) -> Product | None:
    sizes = list_segments(folder)
    contents = {name: _read(folder, name) for name in sizes}
    replaced = superseded(entry.summary for entry in contents.values())
    chosen = [name for name in names if name in contents and name not in replaced]
    if len(chosen) < len(names):
        return None
    others = [contents[name] for name in contents if name not in chosen and name not in replaced]
    elsewhere = {r.key for other in others for r in other.records if r.value is not None}
    records = merge((r for name in chosen for r in contents[name].records), elsewhere)
    summary = Summary(
        _replaces(contents, chosen, replaced), max(contents[name].order for name in chosen)
    )
    data = HEADER + encode_summary(summary) + b"".join(map(encode, records))
    temporary = folder / f"{product}.tmp"
    try:
        _write_synced(temporary, data)
        with locks.hold_blocking(folder / WRITE_LOCK, PATIENCE) as held:
            now = list_segments(folder)
            if not held or any(now.get(name) != sizes[name] for name in chosen):
                return None
            disk.rename(temporary, folder / product)
            disk.sync_folder(folder)
            for name in [*replaced, *chosen]:
                _put_away(folder / name, damaged=name in chosen and contents[name].damaged)
    finally:
        disk.remove(temporary)
    return Product(product, Tail(len(data), summary))


def _read(folder: Path, name: str) -> Contents:
    return parse(disk.read(folder / name, START), START)


def _replaces(
    contents: Mapping[str, Contents], chosen: list[str], replaced: set[str]
) -> tuple[str, ...]:
    """The names the new segment stands for. Those of files that are gone may be forgotten."""
    inherited = [name for done in chosen for name in contents[done].summary.replaces]
    gone = [name for name in inherited if name not in contents]
    return (*gone[-_NAMES_KEPT:], *(replaced & contents.keys()), *chosen)


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = disk.open_file(path, new=True)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[disk.write(descriptor, rest) :]
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def _put_away(path: Path, *, damaged: bool) -> None:
    """Remove a segment that another one stands for; a damaged one is kept aside."""
    if not damaged:
        disk.remove(path)
        return
    aside = path.with_suffix(".damaged")
    logger.warning("a damaged segment is kept as %s; what was intact in it lives on", aside)
    with suppress(OSError):
        disk.rename(path, aside)
