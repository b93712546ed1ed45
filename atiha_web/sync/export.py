"""Everything a replica knows, as JSON for people to keep."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from atiha_web.sync.operation import Operation
from atiha_web.sync.replica import Replica


def exported(replica: Replica, user_id: str) -> dict[str, Any]:
    """The rows of each collection as they read, and the operations that wait or were refused.

    Rows that their model cannot read, or that no declared collection has, are in it as stored.
    """
    rows: dict[str, list[dict[str, Any]]] = {
        name: [replica.registry[name].row(user_id, key, view[key]) for key in view]
        for name, view in replica.views.items()
    }
    for record, row in replica.base.rows.items():
        if record.collection not in replica.registry and row.state.data is not None:
            entry = {"key": record.key, "timestamp": row.state.timestamp, "data": row.state.data}
            rows.setdefault(record.collection, []).append(entry)
    return {
        "userId": user_id,
        "collections": rows,
        "pending": [_as_json(operation) for operation in replica.pending.values()],
        "quarantine": [
            {**_as_json(entry.operation), "code": entry.code, "message": entry.message}
            for entry in replica.quarantine.values()
        ],
    }


def _as_json(operation: Operation) -> dict[str, Any]:
    return {
        "id": operation.id,
        "collection": operation.collection,
        "key": operation.key,
        "type": operation.type,
        "timestamp": operation.timestamp,
        "schema": operation.schema,
        **({} if operation.data is None else {"data": dict(operation.data)}),
        **({} if operation.call is None else {"call": asdict(operation.call)}),
    }
