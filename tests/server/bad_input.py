"""Input that is bad on both ends, and what a database holds, to compare it with."""

import math
from typing import Any, NamedTuple

import asyncpg
import pytest

TABLES = ("users", "tokens", "records", "sync_state")


async def contents(connection: asyncpg.Connection) -> dict[str, list[Any]]:
    return {
        table: sorted(tuple(row) for row in await connection.fetch(f"TABLE {table}"))
        for table in TABLES
    }


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


class BadRecord(NamedTuple):
    """A record, what the error names, and the server's code for such an operation."""

    collection: str
    key: str
    data: dict[str, Any]
    named: str
    code: str


RECORDS: dict[str, tuple[str, str, dict[str, Any], str, str]] = {
    "unknown collection": ("films", "m1", {"rating": 5}, "films", "unknown_collection"),
    "rating 0": ("ratings", "m1", {"rating": 0}, "rating", "invalid"),
    "rating 6": ("ratings", "m1", {"rating": 6}, "rating", "invalid"),
    "rating 3.5": ("ratings", "m1", {"rating": 3.5}, "rating", "invalid"),
    "rating as text": ("ratings", "m1", {"rating": "5"}, "rating", "invalid"),
    "rating true": ("ratings", "m1", {"rating": True}, "rating", "invalid"),
    "no rating": ("ratings", "m1", {}, "rating", "invalid"),
    "long review": ("ratings", "m1", {"rating": 5, "review": "x" * 5001}, "review", "invalid"),
    "unknown type": ("favorites", "m1", {"contentType": "song"}, "contentType", "invalid"),
    "negative progress": ("watch_history", "m1", {"progress": -1}, "progress", "invalid"),
    "no number": ("watch_history", "m1", {"progress": math.nan}, "progress", "invalid"),
    "endless": ("favorites", "m1", {"more": {"a": [math.inf]}}, "finite", "invalid"),
    "NUL in a text": ("favorites", "m1", {"title": "a\0b"}, "NUL", "invalid"),
    "NUL in a name": ("favorites", "m1", {"a\0": 1}, "NUL", "invalid"),
    "NUL in the key": ("favorites", "m\0", {}, "NUL", "invalid"),
    "half a pair": ("favorites", "m1", {"title": "\ud83c"}, "surrogate", "malformed_json"),
    "half a pair deep": ("favorites", "m1", {"a": {"b": "\ud83c"}}, "surrogate", "malformed_json"),
    "half a pair as a name": ("favorites", "m1", {"\ud83c": 1}, "surrogate", "malformed_json"),
    "half a pair in the key": ("favorites", "\ud83c", {}, "surrogate", "malformed_json"),
    "no key": ("favorites", "", {}, "key", "invalid"),
    "long key": ("favorites", "x" * 257, {}, "key", "invalid"),
    "bad date": ("favorites", "m1", {"createdAt": "yesterday"}, "createdAt", "invalid"),
    "too deep": ("favorites", "m1", {"more": nested(40)}, "levels deep", "invalid"),
    "too large": ("favorites", "m1", {"more": "é" * 17_000}, "34,", "too_large"),
    "no field": ("profile", "me", {}, "at least one field", "invalid"),
    "no preference": ("profile", "me", {"preferences": {}}, "at least one field", "invalid"),
    "field without name": ("profile", "me", {"": 1}, "field named ''", "invalid"),
    "field like a preference": ("profile", "me", {"preferences.a": 1}, "preferences.a", "invalid"),
    "preferences of text": ("profile", "me", {"preferences": "dark"}, "preferences", "invalid"),
    "profile of another": ("profile", "bob", {"autoplay": True}, "own id", "invalid"),
}
record_cases = pytest.mark.parametrize(
    "case", [BadRecord(*each) for each in RECORDS.values()], ids=RECORDS.keys()
)
