"""How records merge, said a second time and in another way: nothing here calls the shipped code.

A fact is a timestamp and data (``None``: deleted), what one operation states or several amount to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

PER_FIELD = frozenset({"settings", "profile"})
NESTED = "preferences"
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))
VIEWINGS = "watch_history"


class Fact(NamedTuple):
    """What is stated of a record, in its newest shape."""

    timestamp: str
    data: Mapping[str, Any] | None


def stated(collection: str, timestamp: str, data: Mapping[str, Any] | None) -> Fact:
    """What one operation states."""
    if data is None:
        return Fact(timestamp, None)
    if collection in PER_FIELD:
        return _fact_of_fields({"": ""} | dict.fromkeys(_flat(data), timestamp), _flat(data))
    if collection == VIEWINGS:
        return Fact(timestamp, {**data, "session": min(data.get("session") or "~", timestamp)})
    return known(collection, timestamp, data)


def known(collection: str, timestamp: str, data: Mapping[str, Any] | None) -> Fact:
    """A state that somebody holds; memos of schema 1 called their body text."""
    if data is not None and collection == "memos":
        data = {("body" if name == "text" else name): value for name, value in data.items()}
    return Fact(timestamp, data)


def joined(collection: str, facts: Iterable[Fact]) -> Fact | None:
    """What several facts about one record amount to."""
    told = list(facts)
    if len(told) < 2:
        return told[0] if told else None
    if collection in PER_FIELD:
        return _joined_fields(told)
    if collection == VIEWINGS:
        return _joined_viewings(told)
    return max(told, key=_rank)


def says(collection: str, held: Fact | None, fact: Fact) -> bool:
    """Whether who holds ``held`` knows what ``fact`` says, or something later."""
    return held is not None and joined(collection, [held, fact]) == held


def digest(rows: Iterable[tuple[str, str, int]]) -> str:
    """The digest of live rows, given by collection, key and version."""
    total = 0
    for collection, key, version in rows:
        text = f"{collection}\0{key}\0{version}".encode()
        total ^= int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
    return f"{total:016x}"


def _rank(fact: Fact) -> tuple[str, str]:
    return fact.timestamp, "" if fact.data is None else _text(fact.data)


def _text(value: object) -> str:
    return _ENCODER.encode(value)


def _joined_viewings(facts: list[Fact]) -> Fact:
    session = max(_session(fact) for fact in facts)
    within = [fact for fact in facts if _session(fact) == session]
    newest = max(within, key=lambda fact: (fact.timestamp, _content(fact)))
    if newest.data is None:
        return newest
    completed = any(fact.data and fact.data.get("completed") for fact in within)
    return newest._replace(data={**newest.data, "completed": True}) if completed else newest


def _session(fact: Fact) -> str:
    return fact.timestamp if fact.data is None else str(fact.data["session"])


def _content(fact: Fact) -> str:
    data = fact.data
    return "" if data is None else _text({n: v for n, v in data.items() if n != "completed"})


def _joined_fields(facts: list[Fact]) -> Fact:
    stamps: dict[str, str] = {"": ""}
    values: dict[str, Any] = {}
    for fact in facts:
        fields = {"": fact.timestamp} if fact.data is None else fact.data["fields"]
        told = _flat(fact.data or {})
        for name, stamp in fields.items():
            rank = stamp, _text(told.get(name))
            if name not in stamps or rank > (stamps[name], _text(values.get(name))):
                stamps[name] = stamp
                values[name] = told.get(name)
    return _fact_of_fields(stamps, values)


def _fact_of_fields(stamps: dict[str, str], values: Mapping[str, Any]) -> Fact:
    deleted, timestamp = stamps[""], max(stamps.values())
    if timestamp == deleted:
        return Fact(timestamp, None)
    kept = {name: stamp for name, stamp in stamps.items() if name and stamp > deleted}
    data: dict[str, Any] = {}
    for name in kept:
        outer, dot, inner = name.partition(".")
        if dot and outer == NESTED:
            data.setdefault(outer, {})[inner] = values[name]
        else:
            data[name] = values[name]
    floor = {"": deleted} if deleted else {}
    return Fact(timestamp, {**data, "fields": {**floor, **kept}})


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    flat = {name: value for name, value in data.items() if name not in (NESTED, "fields")}
    return flat | {f"{NESTED}.{name}": value for name, value in (data.get(NESTED) or {}).items()}
