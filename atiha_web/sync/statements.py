"""New operations, stated from what a person did and what the replica knows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from atiha_web.collections import FILLED_IN, Collection
from atiha_web.errors import InvalidDataError
from atiha_web.sync.calls import path_of, rest_call, undeclared_key
from atiha_web.sync.merge import SESSION, State
from atiha_web.sync.operation import (
    Call,
    Operation,
    OperationType,
    RecordKey,
    check_key,
    check_operation,
)
from atiha_web.sync.replica import Replica

Tick = Callable[[str | None], str]
"""A timestamp later than the given one."""


def state_record(
    declared: Collection,
    replica: Replica,
    operation_id: str,
    key: str,
    data: Mapping[str, Any] | None,
    *,
    tick: Tick,
    kind: OperationType | None = None,
) -> Operation:
    """An operation that states one record, or its deletion (``None``).

    Raises:
        InvalidDataError: naming what is wrong with ``data``.
        OperationTooLargeError: above 32 KiB.
    """
    record = RecordKey(declared.name, key)
    state = replica.state(record)
    timestamp = tick(replica.newest_before(record))
    usual: OperationType = "update" if declared.single else "create"
    call = None if kind in (None, usual, "delete") else Call(kind)
    if data is None:
        if replica.resolution.in_order:
            check_deletable(declared)
        check_key(key)
        return Operation(operation_id, declared.name, key, None, timestamp, declared.schema)
    stated = data
    if kind == "update" and not declared.single:
        call = Call(kind, fields=tuple(declared.json_names(data)))
        stated = {**_known(declared, state), **data}
    payload = declared.build(key, stated, state, timestamp)
    payload = replica.resolution.complete(declared.policy, payload, state)
    return Operation(operation_id, declared.name, key, payload, timestamp, declared.schema, call)


def state_call(
    replica: Replica, operation_id: str, call: Call, data: Mapping[str, Any], *, tick: Tick
) -> Operation:
    """An operation on an endpoint of which no collection is declared; ``data`` goes as it is.

    Raises:
        InvalidDataError: naming what is wrong with ``data``.
        OperationTooLargeError: above 32 KiB.
    """
    key = undeclared_key(data, operation_id)
    record = RecordKey(path_of(call.endpoint), key)
    timestamp = tick(replica.newest_before(record))
    operation = Operation(operation_id, *record, dict(data), timestamp, call=call)
    check_operation(operation)
    rest_call(operation, replica.registry, "", "PATCH")
    return operation


def check_deletable(declared: Collection) -> None:
    """Refuse to delete over REST what is the account itself.

    Raises:
        InvalidDataError: it is.
    """
    if declared.path == "":
        raise InvalidDataError(
            f"{declared.name} cannot be deleted over REST without its account: "
            "use client.users.delete_user for that"
        )


def _known(declared: Collection, state: State | None) -> dict[str, Any]:
    """The members of a record as it is, apart from those that each write has of its own."""
    data = state.data if state is not None and state.data is not None else {}
    own = FILLED_IN | {SESSION, declared.key_alias}
    return {name: value for name, value in data.items() if name not in own}
