"""The bytes of a segment: one frame for each change, in the order they were made.

A file begins with one byte nobody reads (Windows locks it), then ``MAGIC``. A frame is a mark, the
length of its body, a CRC-32 of both and the body. The mark holds bytes that no text encodes to, so
the frames behind a damaged one are found again.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from struct import Struct
from struct import error as StructError  # noqa: N812 - the standard library's own name is lower-case
from typing import NamedTuple

from atiha_web.errors import StorageUnavailableError

START = 1
"""The offset at which reading begins."""
MAGIC = b"atiha_web segment 1\n"
HEADER = b"#" + MAGIC

_MARK = b"\xff\xfe"
_HEAD = Struct(">2sI I")
_BODY = Struct(">QBI")
_NEWER = re.compile(rb"atiha_web segment \d+\n")
_SUMMARY, _PUT, _REMOVAL = range(3)


class Record(NamedTuple):
    """One change of one key; ``order`` is unique among all segments of a folder and grows."""

    order: int
    key: str
    value: str | None


@dataclass(frozen=True)
class Summary:
    """What a segment made from others stands for; readers ignore those others."""

    replaces: tuple[str, ...] = ()
    """The names of those segments, the newest last."""
    order: int = 0
    """The highest order any of them held. Who read less may have missed removals."""


@dataclass
class Contents:
    """What a stretch of a segment says."""

    end: int
    """The offset behind the last intact frame."""
    records: list[Record] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)
    skipped: list[tuple[int, int]] = field(default_factory=list)
    """The stretches, as offsets, that are damaged and have intact frames behind them."""
    rest: bytes = b""
    """What follows ``end``: a frame still being written, one cut short by a crash, or damage."""

    @property
    def order(self) -> int:
        """The highest order it holds or stands for."""
        return max((record.order for record in self.records), default=self.summary.order)

    @property
    def damaged(self) -> bool:
        """Whether more is wrong with it than a last write that a crash cut short."""
        return bool(self.skipped) or not _is_cut_short(self.rest)


def encode(record: Record) -> bytes:
    """The frame of one change."""
    key = record.key.encode("utf-8", "surrogatepass")
    if record.value is None:
        return _frame(_BODY.pack(record.order, _REMOVAL, len(key)) + key)
    value = record.value.encode("utf-8", "surrogatepass")
    return _frame(_BODY.pack(record.order, _PUT, len(key)) + key + value)


def encode_summary(summary: Summary) -> bytes:
    """The frame that stands first in a segment made from others."""
    text = json.dumps(summary.replaces).encode()
    return _frame(_BODY.pack(summary.order, _SUMMARY, 0) + text)


def parse(data: bytes, offset: int) -> Contents:
    """Read frames from ``data``, which stands at ``offset`` of its file.

    Raises:
        StorageUnavailableError: a newer version of this package wrote the segment.
    """
    position = _skip_magic(data) if offset == START else 0
    contents = Contents(end=offset + position)
    while position < len(data):
        found = _decode(data, position)
        if found is None:
            after = _next_intact(data, position + 1)
            if after is None:
                break
            contents.skipped.append((offset + position, offset + after))
            position = after
            continue
        entry, position = found
        contents.end = offset + position
        if isinstance(entry, Record):
            contents.records.append(entry)
        else:
            contents.summary = entry
    contents.rest = data[contents.end - offset :]
    return contents


def whole_frames(frames: Iterable[bytes], written: int) -> tuple[int, int]:
    """How many of ``frames`` are whole within their first ``written`` bytes, and their length."""
    count = length = 0
    for frame in frames:
        if length + len(frame) > written:
            break
        count += 1
        length += len(frame)
    return count, length


def _frame(body: bytes) -> bytes:
    return _HEAD.pack(_MARK, len(body), _checksum(body)) + body


def _checksum(body: bytes) -> int:
    return zlib.crc32(body, len(body))


def _skip_magic(data: bytes) -> int:
    if data.startswith(MAGIC):
        return len(MAGIC)
    if _NEWER.match(data):
        raise StorageUnavailableError(
            "a newer version of atiha_web wrote to this folder: upgrade, or use another folder"
        )
    return 0


def _decode(data: bytes, position: int) -> tuple[Record | Summary, int] | None:
    """The frame at ``position`` and where it ends; ``None`` unless it is whole and intact."""
    start = position + _HEAD.size
    if data[position : position + 2] != _MARK or len(data) < start:
        return None
    _, length, checksum = _HEAD.unpack_from(data, position)
    body = data[start : start + length]
    if len(body) < length or _checksum(body) != checksum:
        return None
    try:
        return _entry(body), start + length
    except (ValueError, StructError):
        return None


def _entry(body: bytes) -> Record | Summary:
    order, kind, key_length = _BODY.unpack_from(body)
    if kind == _SUMMARY:
        return Summary(tuple(json.loads(body[_BODY.size :])), order)
    text = body[_BODY.size :]
    key = text[:key_length].decode("utf-8", "surrogatepass")
    if kind == _REMOVAL:
        return Record(order, key, None)
    return Record(order, key, text[key_length:].decode("utf-8", "surrogatepass"))


def _next_intact(data: bytes, position: int) -> int | None:
    while (position := data.find(_MARK, position)) >= 0:
        if _decode(data, position) is not None:
            return position
        position += 1
    return None


def _is_cut_short(rest: bytes) -> bool:
    """Whether ``rest`` is the beginning of a frame, or of a file, and ends too early."""
    if MAGIC.startswith(rest):
        return True
    if len(rest) < _HEAD.size:
        return _MARK.startswith(rest[:2])
    mark, length, _ = _HEAD.unpack_from(rest)
    return mark == _MARK and len(rest) < _HEAD.size + int(length)
