"""What the server decides about a push and a pull: pure functions, no database, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
    """A valid operation and the state that it alone amounts to."""

    operation: Operation
    state: State


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
        return Statement(operation, _lift(operation, collection))
    except InvalidDataError as error:
        return Result(
            id=_id_of(raw), status="rejected", code=_code_of(error), message=str(error)[:500]
        )


def _lift(operation: Operation, collection: Collection) -> State:
    data = operation.data
    if operation.schema > collection.schema:
        raise _NewerSchemaError(
            f"{collection.name} has schema {collection.schema} here, not {operation.schema}: "
            "update the server"
        )
    if data is not None:
        if operation.schema < collection.schema and collection.upgrade is not None:
            data = collection.upgrade(dict(data), operation.schema)
        data = collection.validate(operation.key, data)
    return collection.policy.lift(operation.timestamp, data)


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
    merged: dict[RecordKey, State] = {}
    effective = [_merge(verdict, merged, stored, collections) for verdict in verdicts]
    rows, after = _number(merged, stored, state)
    versions = {row.record: row.version for row in (*stored.values(), *rows)}
    results = [
        verdict
        if isinstance(verdict, Result)
        else _result(verdict, merged, versions, effective=had_effect)
        for verdict, had_effect in zip(verdicts, effective, strict=True)
    ]
    return Pushed(rows, after, results)


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
        current = stored[record].state
    if current is None:
        merged[record] = verdict.state
        return True
    merged[record] = collections[record.collection].policy.merge(current, verdict.state)
    return merged[record] != current


def _number(
    merged: Mapping[RecordKey, State], stored: Mapping[RecordKey, Row], state: SyncState
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
        rows.append(Row(*record, counter, new.timestamp, new.data))
    return rows, replace(state, counter=counter, digest=digest)


def _result(
    statement: Statement,
    merged: Mapping[RecordKey, State],
    versions: Mapping[RecordKey, int],
    *,
    effective: bool,
) -> Result:
    """Tell a client what became of its operation, and the record where that is something else."""
    record = statement.operation.record
    final = merged[record]
    own = final == statement.state
    return Result(
        id=statement.operation.id,
        status="applied" if own or effective else "superseded",
        version=versions[record],
        record=None if own else _record_state(final),
    )


def _record_state(state: State) -> RecordState:
    data = None if state.data is None else dict(state.data)
    return RecordState(timestamp=state.timestamp, deleted=state.deleted, data=data)


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
    )
