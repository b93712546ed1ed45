"""What the server decides about a push and a pull: pure functions, no database, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic_core import to_json

from atiha_web.collections import Collection
from atiha_web.errors import InvalidDataError, OperationTooLargeError, UnknownCollectionError
from atiha_web.server.rows import Row, SyncState
from atiha_web.sync import hlc
from atiha_web.sync.digest import row_digest, to_text
from atiha_web.sync.merge import State
from atiha_web.sync.operation import Operation, RecordKey
from atiha_web.sync.protocol import (
    MAX_AHEAD_MS,
    PROTOCOL,
    Change,
    RecordState,
    Result,
    SyncReply,
    from_wire,
)

Registry = Mapping[str, Collection]


class _NewerSchemaError(InvalidDataError):
    """The operation was written under a schema this server does not know yet."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A valid operation and the state that it alone amounts to.

    ``sent`` is that state as the client computes it, from what it sent.
    """

    operation: Operation
    state: State
    sent: State


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push comes to: rows to write, the state after them, a result per operation."""

    rows: list[Row]
    state: SyncState
    results: list[Result]


def validate(raw: object, collections: Registry, user_id: str, now_ms: int) -> Statement | Result:
    """Judge one operation of a user by itself; a result is its refusal."""
    try:
        operation = from_wire(raw)
        if hlc.milliseconds(operation.timestamp) > now_ms + MAX_AHEAD_MS:
            return Result(id=operation.id, status="clock")
        collection = collections[operation.collection]
        if collection.single and operation.key != user_id:
            raise InvalidDataError(f"the key of {collection.name} is the user's own id")
        return _statement(operation, collection)
    except InvalidDataError as error:
        return _refusal(_id_of(raw), error)


def _statement(operation: Operation, collection: Collection) -> Statement:
    policy, timestamp = collection.policy, operation.timestamp
    if operation.data is None:
        deletion = policy.lift(timestamp, None)
        return Statement(operation, deletion, deletion)
    if operation.schema > collection.schema:
        raise newer_schema(collection, operation.schema)
    upgraded = collection.upgraded(operation.data, operation.schema)
    data = collection.validate(operation.key, upgraded)
    state = policy.lift(timestamp, data)
    # Our own clients send what validation makes of it, in the same order.
    same = to_json(data) == to_json(operation.data) or _same(data, operation.data)
    return Statement(operation, state, state if same else policy.lift(timestamp, operation.data))


def _same(a: object, b: object) -> bool:
    """Whether two JSON values are equal; unlike in Python, ``true`` is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(value, b[name]) for name, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b


def newer_schema(collection: Collection, found: int) -> InvalidDataError:
    """The refusal of what only a newer server can read."""
    return _NewerSchemaError(
        f"{collection.name} has schema {collection.schema} here, not {found}: update the server"
    )


def _refusal(operation_id: str, error: InvalidDataError) -> Result:
    return Result(
        id=operation_id, status="rejected", code=_code_of(error), message=str(error)[:500]
    )


def _id_of(raw: object) -> str:
    found = raw.get("id") if isinstance(raw, dict) else None
    return found if isinstance(found, str) else ""


def _code_of(error: InvalidDataError) -> str:
    match error:
        case UnknownCollectionError():
            return "unknown_collection"
        case OperationTooLargeError():
            return "too_large"
        case _NewerSchemaError():
            return "newer_schema"
    return "invalid"


def push(
    verdicts: Sequence[Statement | Result],
    stored: Mapping[RecordKey, Row],
    state: SyncState,
    collections: Registry,
) -> Pushed:
    """Merge the valid operations into the stored rows, in order, and number what changed."""
    verdicts = [_left_alone(verdict, stored, collections) for verdict in verdicts]
    merged: dict[RecordKey, State] = {}
    effective = [_merge(verdict, merged, stored, collections) for verdict in verdicts]
    rows, after = _number(merged, stored, state, collections)
    versions = {row.record: row.version for row in (*stored.values(), *rows)}
    results = [
        verdict
        if isinstance(verdict, Result)
        else _result(verdict, merged, versions, collections, effective=had_effect)
        for verdict, had_effect in zip(verdicts, effective, strict=True)
    ]
    return Pushed(rows, after, results)


def _left_alone(
    verdict: Statement | Result, stored: Mapping[RecordKey, Row], collections: Registry
) -> Statement | Result:
    """Refuse to touch a record that a newer server wrote: what it means is not known here."""
    if isinstance(verdict, Result):
        return verdict
    operation = verdict.operation
    row, collection = stored.get(operation.record), collections[operation.collection]
    if row is None or row.schema <= collection.schema:
        return verdict
    return _refusal(operation.id, newer_schema(collection, row.schema))


def _merge(
    verdict: Statement | Result,
    merged: dict[RecordKey, State],
    stored: Mapping[RecordKey, Row],
    collections: Registry,
) -> bool:
    """Fold one operation into ``merged``; whether it changed anything."""
    if isinstance(verdict, Result):
        return False
    record = verdict.operation.record
    current = merged.get(record)
    if current is None and record in stored:
        row = stored[record]
        current = collections[record.collection].current(row.state, row.schema)
    if current is None:
        merged[record] = verdict.state
        return True
    merged[record] = collections[record.collection].policy.merge(current, verdict.state)
    return merged[record] != current


def _number(
    merged: Mapping[RecordKey, State],
    stored: Mapping[RecordKey, Row],
    state: SyncState,
    collections: Registry,
) -> tuple[list[Row], SyncState]:
    """Give each changed record the next version, and keep the digest of live rows."""
    rows: list[Row] = []
    counter, digest = state.counter, state.digest
    for record, new in merged.items():
        old = stored.get(record)
        if old is not None and old.state == new:
            continue
        counter += 1
        if old is not None and old.data is not None:
            digest ^= row_digest(*record, old.version)
        if new.data is not None:
            digest ^= row_digest(*record, counter)
        schema = collections[record.collection].schema
        rows.append(Row(*record, counter, new.timestamp, new.data, schema))
    return rows, replace(state, counter=counter, digest=digest)


def _result(
    statement: Statement,
    merged: Mapping[RecordKey, State],
    versions: Mapping[RecordKey, int],
    collections: Registry,
    *,
    effective: bool,
) -> Result:
    """Tell a client what became of its operation, and the record where that is something else."""
    record = statement.operation.record
    final = merged[record]
    own = final == statement.state
    told = own and statement.sent is statement.state
    schema = collections[statement.operation.collection].schema
    return Result(
        id=statement.operation.id,
        status="applied" if own or effective else "superseded",
        version=versions[record],
        record=None if told else _record_state(final, schema),
    )


def _record_state(state: State, schema: int) -> RecordState:
    if state.data is None:
        return RecordState(timestamp=state.timestamp, deleted=True)
    return RecordState(timestamp=state.timestamp, data=dict(state.data), schema_number=schema)


def must_reset(epoch: str | None, cursor: int, state: SyncState) -> bool:
    """Whether a client's cursor means nothing here: another epoch, or ahead of the counter."""
    if epoch is None:
        return cursor > 0
    return epoch != state.epoch or cursor > state.counter


def reply(
    pulled: Sequence[Row],
    limit: int,
    state: SyncState,
    server_time: int,
    *,
    reset: bool = False,
    results: Sequence[Result] = (),
) -> SyncReply:
    """The answer; ``pulled`` is what changed since the cursor, one row above ``limit`` if more."""
    if reset:
        return SyncReply(
            protocol=PROTOCOL,
            epoch=state.epoch,
            cursor=0,
            reset=True,
            server_time=server_time,
            results=list(results),
        )
    more = len(pulled) > limit
    page = pulled[:limit]
    return SyncReply(
        protocol=PROTOCOL,
        epoch=state.epoch,
        cursor=page[-1].version if more else state.counter,
        more=more,
        server_time=server_time,
        digest=None if more else to_text(state.digest),
        results=list(results),
        changes=[_change(row) for row in page],
    )


def _change(row: Row) -> Change:
    return Change(
        collection=row.collection,
        key=row.key,
        version=row.version,
        timestamp=row.timestamp,
        deleted=row.data is None,
        data=None if row.data is None else dict(row.data),
        schema_number=1 if row.data is None else row.schema,
    )
