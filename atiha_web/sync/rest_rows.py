"""Rows as a REST server gives them, Prisma-shaped, turned into states of records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from atiha_web.collections import FILLED_IN, Collection, iso
from atiha_web.errors import InvalidDataError
from atiha_web.sync import hlc
from atiha_web.sync.merge import SESSION, MergePolicy, PerField, State, ViewingSessions
from atiha_web.sync.operation import check_json, check_key

SERVER = "0" * hlc.WRITER_DIGITS
"""The writer of rows that came from a server without our timestamps."""

_TIMES = ("updatedAt", "updated_at", "createdAt", "created_at", "timestamp")
_CREATED_AT = "createdAt"
_ROWS_PER_TURN = 200
_SECRET = "password"  # noqa: S105 - a member's name


class ReadRow(NamedTuple):
    """One row: its key and state."""

    key: str
    state: State


def unwrap(value: Any) -> Any:
    """The list of an object that holds exactly one list; anything else as it is."""
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        if len(lists) == 1:
            return lists[0]
    return value


def raw_rows(collection: Collection, value: Any) -> list[Any] | None:
    """The rows within a reply's or cache's JSON; ``None`` where it holds none of this kind."""
    if collection.single:
        return _single(value)
    rows = unwrap(value)
    return rows if isinstance(rows, list) else None


def _single(value: Any) -> list[Any] | None:
    if not isinstance(value, dict):
        return None
    inner = list(value.values())
    if len(inner) == 1 and isinstance(inner[0], dict):
        return inner
    return [value]


async def read_all(
    collection: Collection, user_id: str, rows: list[Any], note: Callable[[str], None]
) -> list[ReadRow]:
    """Each row as a record's state; a bad one is noted in words and stops no other.

    Many rows take many turns of the event loop, so that a page goes on meanwhile.
    """
    read: list[ReadRow] = []
    for number, raw in enumerate(rows, 1):
        try:
            read.append(read_row(collection, user_id, raw))
        except InvalidDataError as error:
            note(str(error))
        if number % _ROWS_PER_TURN == 0:
            await asyncio.sleep(0)
    return read


def read_row(collection: Collection, user_id: str, raw: object) -> ReadRow:
    """One row. Members it does not know are kept, nulls of a list's rows are not.

    Raises:
        InvalidDataError: it is no object, has no key, or holds what cannot be stored.
    """
    if not isinstance(raw, Mapping):
        raise InvalidDataError(f"{collection.name}: {raw!r:.80} is no row")
    key = user_id if collection.single else _key(collection, raw)
    timestamp = hlc.tick(_updated_ms(raw), SERVER)
    partial = isinstance(collection.policy, PerField)
    data = {
        name: value
        for name, value in raw.items()
        if name not in FILLED_IN and name != collection.key_alias and _SECRET not in name.lower()
        if partial or value is not None
    }
    created = moment_ms(raw.get(_CREATED_AT, raw.get("created_at")))
    if created is not None and not partial:
        data[_CREATED_AT] = iso(hlc.tick(created, SERVER))
    _drop_unusable(collection.policy, data)
    check_json(data, collection.name)
    return ReadRow(key, collection.policy.lift(timestamp, data))


def _drop_unusable(policy: MergePolicy, data: dict[str, Any]) -> None:
    """Take out what a merge would stumble over: another server may mean something else by it."""
    if isinstance(policy, ViewingSessions) and not hlc.is_timestamp(data.get(SESSION)):
        data.pop(SESSION, None)
    for name in policy.nested if isinstance(policy, PerField) else ():
        if not isinstance(data.get(name), Mapping):
            data.pop(name, None)


def _key(collection: Collection, raw: Mapping[str, Any]) -> str:
    try:
        found = raw.get(collection.key_alias, raw.get(collection.key))
        return check_key(str(found) if isinstance(found, int) else found)
    except InvalidDataError as error:
        raise InvalidDataError(f"{collection.name}: a row has no {collection.key_alias}") from error


def _updated_ms(raw: Mapping[str, Any]) -> int:
    times = (moment_ms(raw.get(name)) for name in _TIMES)
    return next((time for time in times if time is not None), 0)


def moment_ms(value: object) -> int | None:
    """A time as ms since 1970: given so, or as ISO 8601 (UTC unless it says otherwise)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        if not isinstance(value, str):
            ms = int(value)
        else:
            moment = datetime.fromisoformat(value)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            ms = round(aware.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return ms if 0 <= ms <= hlc.MAX_MS else None
