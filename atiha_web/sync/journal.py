"""Names and texts of what the engine keeps in local storage: operations and quarantine.

Every operation has an immutable key of its own. Two tabs never rewrite one shared key for truth:
localStorage offers no atomic read-modify-write (see the HTML standard, "storage mutex" removed).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import quote

from atiha_web.errors import InvalidDataError
from atiha_web.sync.operation import Call, Operation, check_operation, dump_json
from atiha_web.sync.replica import Quarantined

SESSION_KEY = "atiha_session"
SESSION_TIME_KEY = "atiha:session-time"
"""When ``SESSION_KEY`` was last written or removed, where storage has a mirror; ms since 1970."""
SIGN_OUT_KEY = "atiha:sign-out"
"""There while the server is yet to be told that the last user signed out."""
QUEUE_KEY = "atiha_sync_queue"
LAST_SYNC_KEY = "atiha_last_sync"
GUEST = "~guest"
"""Whose data it is before anybody signs in; no user id has a ``~``."""
HEIR_KEY = f"atiha:{GUEST}:heir"
"""The user who is taking over the guest's data, while that is not finished."""
ASIDE = "atiha::aside:"
"""Prefix of what an earlier app left and nobody can send; no user's prefix begins like it."""
FORGOTTEN = "atiha::forgotten:"
"""Prefix of the marks of operations a person gave up, which no recovery may bring back."""


def cache_key(name: str) -> str:
    """Where the value of a seed cache key is stored."""
    return f"atiha_{name}"


@dataclass(frozen=True)
class Names:
    """The storage keys of one user. Ids are percent-encoded: no prefix begins another."""

    user_id: str

    @cached_property
    def prefix(self) -> str:
        """What every internal key of this user begins with."""
        return f"atiha:{quote(self.user_id, safe='')}:"

    @cached_property
    def journal(self) -> str:
        """Prefix of one key for each pending operation."""
        return f"{self.prefix}j:"

    @cached_property
    def quarantine(self) -> str:
        """Prefix of one key for each refused operation."""
        return f"{self.prefix}q:"

    @cached_property
    def pages(self) -> str:
        """Prefix of the pages of base."""
        return f"{self.prefix}b:"

    @cached_property
    def manifest(self) -> str:
        """The key that says which pages make up base."""
        return f"{self.prefix}m"

    @cached_property
    def account(self) -> str:
        """The key of the account as the server last told it, for reading without network."""
        return f"{self.prefix}account"

    def forgotten(self, operation_id: str) -> str:
        """The mark of an operation, or of all of a writer where only ``<writer>-`` is given."""
        return f"{FORGOTTEN}{quote(self.user_id, safe='')}:{operation_id}"

    def view(self, collection: str) -> str:
        """The seed's key of a collection's newest entries."""
        return f"atiha_{collection}_{self.user_id}"


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
    code, message = members[5:7]
    operation = _operation(operation_id, members[:5], members[7:])
    return Quarantined(operation, str(code), str(message))


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
