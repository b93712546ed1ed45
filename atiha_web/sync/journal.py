"""Texts of what the engine keeps in local storage: operations and quarantine.

Every operation has an immutable key of its own. Two tabs never rewrite one shared key for truth:
localStorage offers no atomic read-modify-write (see the HTML standard, "storage mutex" removed).
"""

from __future__ import annotations

import json
from dataclasses import replace

from atiha_web.errors import InvalidDataError
from atiha_web.sync.operation import Call, Operation, check_operation, dump_json
from atiha_web.sync.replica import Quarantined


def encode_operation(operation: Operation) -> str:
    """The stored text of a pending operation; its id is in the key.

    ``[collection, key, data, timestamp, schema]``; where the operation carries a call of a REST
    server a sixth member: ``[type, endpoint, fields]``; where it took the place of others a
    seventh: ``[[id, data, timestamp, schema], …]``, the sixth being ``null`` if there is no call.
    """
    call = _call_members(operation)
    if operation.earlier:
        call = [*(call or [None]), [_earlier_members(each) for each in operation.earlier]]
    return dump_json([*_members(operation), *call])


def decode_operation(operation_id: str, text: str) -> Operation:
    """The operation stored as ``text``.

    Raises:
        InvalidDataError: it is not what ``encode_operation`` writes.
    """
    members = _load(text, 5, 6, 7)
    operation = _operation(operation_id, members[:5], members[5:6])
    stated = members[6] if len(members) > 6 else []
    return replace(operation, earlier=_earlier(operation, stated)) if stated else operation


def encode_quarantined(entry: Quarantined) -> str:
    """The stored text of a refused operation with its reason."""
    operation = entry.operation
    return dump_json([*_members(operation), entry.code, entry.message, *_call_members(operation)])


def decode_quarantined(operation_id: str, text: str) -> Quarantined:
    """The refused operation stored as ``text``.

    Raises:
        InvalidDataError: it is not what ``encode_quarantined`` writes.
    """
    members = _load(text, 7, 8)
    operation = _operation(operation_id, members[:5], members[7:])
    match members[5:7]:
        case [str(code), str(message)]:
            return Quarantined(operation, code, message)
    raise InvalidDataError(f"the stored operation {operation_id!r:.80} has another form")


def _members(operation: Operation) -> list[object]:
    return [
        operation.collection,
        operation.key,
        operation.data,
        operation.timestamp,
        operation.schema,
    ]


def _call_members(operation: Operation) -> list[object]:
    call = operation.call
    return [] if call is None else [[call.type, call.endpoint, call.fields]]


def _earlier_members(operation: Operation) -> list[object]:
    """Collection and key are those of the operation that took its place."""
    stated = [operation.id, operation.data, operation.timestamp, operation.schema]
    return [*stated, *_call_members(operation)]


def _load(text: str, *lengths: int) -> list[object]:
    """A list of so many members."""
    try:
        members = json.loads(text)
    except ValueError as error:
        raise InvalidDataError(f"a stored operation is not JSON: {text!r:.80}") from error
    if not isinstance(members, list) or len(members) not in lengths:
        raise InvalidDataError(f"a stored operation has another form: {text!r:.80}")
    return members


def _operation(operation_id: str, members: list[object], rest: list[object]) -> Operation:
    collection, key, data, timestamp, schema = members
    well_formed = (
        isinstance(collection, str)
        and isinstance(key, str)
        and (data is None or isinstance(data, dict))
        and isinstance(timestamp, str)
        and isinstance(schema, int)
    )
    if not well_formed:
        raise InvalidDataError(f"the stored operation {operation_id!r:.80} has another form")
    call = _call(operation_id, rest[0]) if rest and rest[0] is not None else None
    operation = Operation(operation_id, collection, key, data, timestamp, schema, call)  # type: ignore[arg-type]  # checked above
    check_operation(operation)
    return operation


def _earlier(operation: Operation, stated: object) -> tuple[Operation, ...]:
    found = []
    for each in stated if isinstance(stated, list) else [stated]:
        match each:
            case [str(name), data, timestamp, schema, *call] if len(call) <= 1:
                members = [*operation.record, data, timestamp, schema]
                found.append(_operation(name, members, call))
            case _:
                raise InvalidDataError(f"the stored operation {operation.id!r} has another form")
    return tuple(found)


def _call(operation_id: str, members: object) -> Call:
    match members:
        case ["create" | "update" | "delete" as kind, str(endpoint), None]:
            return Call(kind, endpoint)
        case ["create" | "update" | "delete" as kind, str(endpoint), list(fields)]:
            return Call(kind, endpoint, tuple(map(str, fields)))
    raise InvalidDataError(f"the stored operation {operation_id!r:.80} has another form")
