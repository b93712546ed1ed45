"""Hybrid logical clock timestamps.

A timestamp is 28 lower-case hex digits: 12 for milliseconds since 1970, 4 for a counter, 12 for
the writer. Because the width is fixed, comparing the texts compares the timestamps, in Python as
in PostgreSQL under ``COLLATE "C"``. After Kulkarni et al., "Logical Physical Clocks" (2014).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from atiha_web.errors import InvalidDataError

COUNTER_BITS = 16
WRITER_DIGITS = 12
MAX_MS = (1 << 48) - 1

_PATTERN = re.compile(r"[0-9a-f]{28}")
_WRITER = re.compile(r"[0-9a-f]{12}")


class Timestamp(NamedTuple):
    """A parsed timestamp: milliseconds, counter, writer (12 hex digits)."""

    ms: int
    counter: int
    writer: str

    def __str__(self) -> str:
        return f"{self.ms:012x}{self.counter:04x}{self.writer}"


def is_timestamp(text: object) -> bool:
    """Whether ``text`` is a well-formed timestamp."""
    return isinstance(text, str) and _PATTERN.fullmatch(text) is not None


def is_writer(text: object) -> bool:
    """Whether ``text`` is a well-formed writer: 12 lower-case hex digits."""
    return isinstance(text, str) and _WRITER.fullmatch(text) is not None


def parse(text: str) -> Timestamp:
    """Parse 28 hex digits.

    Raises:
        InvalidDataError: ``text`` is not a timestamp.
    """
    if not is_timestamp(text):
        raise InvalidDataError(
            f"{text!r} is not a timestamp: 28 lower-case hex digits are expected"
        )
    return Timestamp(int(text[:12], 16), int(text[12:16], 16), text[16:])


def milliseconds(text: str) -> int:
    """The wall-clock part of a well-formed timestamp, in ms since 1970."""
    return int(text[:12], 16)


def to_datetime(text: str) -> datetime:
    """The wall-clock part of a well-formed timestamp as an aware UTC datetime."""
    return from_milliseconds(milliseconds(text))


def from_milliseconds(ms: int) -> datetime:
    """An aware UTC datetime from ms since 1970; the last one there is for anything later."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError):
        return datetime.max.replace(tzinfo=UTC)


def tick(now_ms: int, writer: str, newest: str | None = None) -> str:
    """A timestamp for a write at ``now_ms``, later than ``newest`` whatever the clock says.

    ``newest`` is the newest timestamp known for the same record, so timestamps are monotone for
    each record even when the wall clock runs backwards.
    """
    value = max(now_ms, 0) << COUNTER_BITS
    if newest is not None:
        value = max(value, int(newest[:16], 16) + 1)
    return f"{value:016x}{writer}"


def shift(text: str, delta_ms: int) -> str:
    """The same timestamp ``delta_ms`` later (earlier when negative), counter and writer kept."""
    old = parse(text)
    return str(old._replace(ms=min(max(old.ms + delta_ms, 0), MAX_MS)))
