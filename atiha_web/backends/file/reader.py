"""All segments of a folder as one mapping, kept up to date by reading what was appended.

Orders are given under the folder's write lock, so a record is in its file before a higher order
exists. What one pass over the files finds is complete up to its highest order once a second pass
is done: changes are taken over in their order, and nothing older can still come.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from atiha_web.backends.base import StorageChange
from atiha_web.backends.file import disk
from atiha_web.backends.file.segments import START, Contents, Record, Summary, parse
from atiha_web.errors import StorageUnavailableError

logger = logging.getLogger("atiha_web")

SUFFIX = ".segment"
WRITE_LOCK = "write.lock"
"""Never written to and never removed by us: another file of that name is another folder's."""

_SEGMENT = re.compile(r"(?:merged-)?[0-9a-f]{16}\.segment")
_ATTEMPTS = 50


def list_segments(folder: Path) -> dict[str, int]:
    """The sizes of a folder's segments by name; none where the folder is missing."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return {}
    # Not from the listing: on Windows it does not follow files that grow.
    return {name: (folder / name).stat().st_size for name in names if _SEGMENT.fullmatch(name)}


def superseded(summaries: Iterable[Summary]) -> set[str]:
    """The segments that others stand for."""
    return {name for summary in summaries for name in summary.replaces}


@dataclass
class Tail:
    """How far one segment was read."""

    offset: int = START
    summary: Summary = field(default_factory=Summary)

    def advance(self, contents: Contents) -> None:
        self.offset = contents.end
        if contents.summary.replaces:
            self.summary = contents.summary


class _BrokenOffError(Exception):
    """What is there does not continue what was read; ``cleared``: something is gone for good."""

    def __init__(self, *, cleared: bool) -> None:
        super().__init__()
        self.cleared = cleared


class Reader:
    """What a folder holds. Does not block longer than reading what is new takes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.clearings = 0
        """How often segments were found gone with nothing in their place."""
        self.damaged: set[str] = set()
        """The segments in which something could not be read."""
        self._start_over()

    def _start_over(self) -> None:
        self.values: dict[str, str] = {}
        self.order = 0
        """The highest order taken over."""
        self.tails: dict[str, Tail] = {}
        self._held: list[Record] = []
        self._identity: tuple[int, int] | None = None

    def refresh(self) -> list[StorageChange]:
        """Take over what was appended, and tell it in order.

        Raises:
            OSError: the folder or a segment cannot be read.
            StorageUnavailableError: a newer version wrote it, or it changes without end.
        """
        before: dict[str, str] | None = None
        cleared = False
        for _ in range(_ATTEMPTS):
            try:
                changes = self._advance()
            except FileNotFoundError:
                continue  # A segment was merged into another between the listing and the reading.
            except _BrokenOffError as error:
                before = self.values if before is None else before
                cleared = cleared or error.cleared
                self._start_over()
                continue
            if before is None:
                return changes
            self.clearings += cleared
            return _news(before, self.values, cleared=cleared)
        raise StorageUnavailableError(f"{self._folder} changes faster than it can be read")

    def wrote(self, name: str, tail: Tail, records: Iterable[Record]) -> None:
        """Take over what this process itself appended to a segment."""
        self.tails[name] = tail
        self._apply(records)

    def _advance(self) -> list[StorageChange]:
        self._collect()
        found = [record.order for record in self._held]
        order = max([*found, *(tail.summary.order for tail in self.tails.values())], default=0)
        if order <= self.order:
            return []
        self._collect()
        self._held.sort(key=lambda record: record.order)
        ready = [record for record in self._held if record.order <= order]
        self._held = self._held[len(ready) :]
        changes = self._apply(ready)
        self.order = order
        return changes

    def _apply(self, records: Iterable[Record]) -> list[StorageChange]:
        changes = []
        for order, key, value in records:
            if order <= self.order:
                continue
            self.order = order
            # Taken out first, so that the mapping's own order is that of the changes.
            self.values.pop(key, None)
            if value is not None:
                self.values[key] = value
            changes.append(StorageChange(key, value))
        return changes

    def _check_identity(self) -> None:
        try:
            found = (self._folder / WRITE_LOCK).stat()
        except FileNotFoundError:
            identity = None
        else:
            identity = (found.st_ino, found.st_mtime_ns)
        if self._identity is not None and identity != self._identity:
            raise _BrokenOffError(cleared=True)
        self._identity = identity

    def _collect(self) -> None:
        self._check_identity()
        sizes = list_segments(self._folder)
        known = [tail.summary for name, tail in self.tails.items() if name in sizes]
        for name in superseded(known):
            sizes.pop(name, None)
        fresh = {name: self._read(name) for name, size in sizes.items() if self._grew(name, size)}
        replaced = superseded([*known, *(contents.summary for contents in fresh.values())])
        self._check_continuity(sizes, replaced, fresh)
        for name, contents in fresh.items():
            if name not in replaced:
                self.tails.setdefault(name, Tail()).advance(contents)
                self._held += [r for r in contents.records if r.order > self.order]
                self._note_damage(name, contents)

    def _grew(self, name: str, size: int) -> bool:
        tail = self.tails.get(name)
        if tail is None:
            return True
        if size < tail.offset > START:
            raise _BrokenOffError(cleared=True)
        return size > tail.offset

    def _read(self, name: str) -> Contents:
        tail = self.tails.get(name) or Tail()
        return parse(disk.read(self._folder / name, tail.offset), tail.offset)

    def _check_continuity(
        self, sizes: Mapping[str, int], replaced: set[str], fresh: Mapping[str, Contents]
    ) -> None:
        gone = [name for name in self.tails if name not in sizes or name in replaced]
        if not replaced.issuperset(gone):
            raise _BrokenOffError(cleared=True)
        # A merged segment leaves out removals that whoever read less still needs.
        if self.tails and any(entry.summary.order > self.order for entry in fresh.values()):
            raise _BrokenOffError(cleared=False)
        for name in gone:
            del self.tails[name]

    def _note_damage(self, name: str, contents: Contents) -> None:
        if contents.damaged:
            self.damaged.add(name)
        for begin, end in contents.skipped:
            logger.warning(
                "%s is damaged from byte %d to %d; what stands around it was read",
                self._folder / name,
                begin,
                end,
            )


def _news(
    before: Mapping[str, str], after: Mapping[str, str], *, cleared: bool
) -> list[StorageChange]:
    """What changed where the single changes are no longer to be had: removals come last."""
    if cleared:
        every = [StorageChange(key, value) for key, value in after.items()]
        return [StorageChange(None, None), *every]
    changed = [StorageChange(k, v) for k, v in after.items() if before.get(k) != v]
    return [*changed, *(StorageChange(key, None) for key in before if key not in after)]
