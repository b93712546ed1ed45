"""The one way into the records: every write, from whatever route or tool, goes through here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atiha_web.collections import Collection, iso
from atiha_web.server import decisions
from atiha_web.server.decisions import Registry, Statement
from atiha_web.server.rows import Row, RowStore, Transaction
from atiha_web.sync import hlc
from atiha_web.sync.merge import State
from atiha_web.sync.operation import Operation, RecordKey, check_key
from atiha_web.sync.protocol import Result, SyncReply, SyncRequest


async def synchronise(
    rows: RowStore, collections: Registry, user_id: str, request: SyncRequest, now_ms: int
) -> SyncReply:
    """Push and pull in one transaction; without operations, pull in one statement.

    Raises:
        BusyError: the user's rows could not be locked in time; nothing was changed.
    """
    verdicts = [decisions.validate(raw, collections, user_id, now_ms) for raw in request.operations]
    if not any(isinstance(verdict, Statement) for verdict in verdicts):
        state, pulled = await rows.poll(user_id, request.cursor, request.limit + 1)
        refusals = [verdict for verdict in verdicts if isinstance(verdict, Result)]
        reset = decisions.must_reset(request.epoch, request.cursor, state)
        return decisions.reply(pulled, request.limit, state, now_ms, reset=reset, results=refusals)

    touched = {verdict.operation.record for verdict in verdicts if isinstance(verdict, Statement)}

    async def work(transaction: Transaction) -> SyncReply:
        before = transaction.state
        stored = await transaction.read(touched)
        pushed = decisions.push(verdicts, stored, before, collections)
        if pushed.rows:
            await transaction.write(pushed.rows, pushed.state)
        reset = decisions.must_reset(request.epoch, request.cursor, before)
        pulled: list[Row] = []
        if not reset and request.cursor < before.counter:
            pulled = await transaction.changes(request.cursor, request.limit + 1)
        return decisions.reply(
            pulled, request.limit, pushed.state, now_ms, reset=reset, results=pushed.results
        )

    return await rows.push(user_id, work)


async def put_record(
    rows: RowStore,
    collection: Collection,
    user_id: str,
    data: Mapping[str, Any],
    writer: str,
    now_ms: int,
) -> Row:
    """State one record on behalf of a route, later than what is stored; the row as it is then.

    Raises:
        InvalidDataError: the data does not fit the collection.
        BusyError: the user's rows could not be locked in time; nothing was changed.
    """
    record = RecordKey(collection.name, collection.key_of(data))
    valid = collection.validate(record.key, data)

    async def work(transaction: Transaction) -> Row:
        stored = await transaction.read([record])
        row = stored.get(record)
        current = None if row is None else collection.current(row.state, row.schema)
        timestamp = hlc.tick(now_ms, writer, current.timestamp if current else None)
        complete = collection.policy.prepare(_dated(collection, valid, current), current, timestamp)
        return await _state(transaction, collection, stored, record, timestamp, complete)

    return await rows.push(user_id, work)


async def delete_record(
    rows: RowStore, collection: Collection, user_id: str, key: str, writer: str, now_ms: int
) -> None:
    """Delete one record on behalf of a route; one that is not there stays so.

    Raises:
        InvalidDataError: ``key`` cannot be a key.
        BusyError: the user's rows could not be locked in time; nothing was changed.
    """
    record = RecordKey(collection.name, check_key(key))

    async def work(transaction: Transaction) -> None:
        stored = await transaction.read([record])
        if record in stored and stored[record].data is not None:
            timestamp = hlc.tick(now_ms, writer, stored[record].timestamp)
            await _state(transaction, collection, stored, record, timestamp, None)

    await rows.push(user_id, work)


async def _state(
    transaction: Transaction,
    collection: Collection,
    stored: Mapping[RecordKey, Row],
    record: RecordKey,
    timestamp: str,
    data: Mapping[str, Any] | None,
) -> Row:
    operation = Operation(f"{timestamp[-12:]}-0", *record, data, timestamp, collection.schema)
    found = stored.get(record)
    if found is not None and found.schema > collection.schema:
        raise decisions.newer_schema(collection, found.schema)
    state = collection.policy.lift(timestamp, data)
    statement = Statement(operation, state, state)
    registry = {collection.name: collection}
    pushed = decisions.push([statement], stored, transaction.state, registry)
    await transaction.write(pushed.rows, pushed.state)
    return pushed.rows[0] if pushed.rows else stored[record]


def _dated(
    collection: Collection, data: Mapping[str, Any], current: State | None
) -> dict[str, Any]:
    """The data with the time at which the record it replaces was created."""
    if collection.is_partial or current is None or current.data is None:
        return dict(data)
    return {"createdAt": current.data.get("createdAt") or iso(current.timestamp), **data}
