"""How one user's replica stands in every detail, as JSON, without what the records say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from pydantic_core import to_jsonable_python

from atiha_web.sync import hlc
from atiha_web.sync.local_replica import LocalReplica
from atiha_web.sync.operation import Operation
from atiha_web.sync.replica import Base, Quarantined
from atiha_web.sync.status import Status


def inspected(local: LocalReplica, status: Status) -> dict[str, Any]:
    """See ``Client.inspect``."""
    memory, now_ms = local.memory, local.clock.now_ms()
    found = {
        "at": hlc.from_milliseconds(now_ms),
        "status": asdict(status),
        "lag": _lag(memory.pending.values(), now_ms),
        "lastAcknowledged": local.last_acknowledged,
        "writer": local.clock.writer,
        "base": _base(memory.base),
        "incoming": None if local.incoming is None else _base(local.incoming),
        "schemas": local.registry.schemas,
        "live": {name: len(view) for name, view in memory.views.items()},
        "pending": [_operation(operation) for operation in memory.pending.values()],
        "quarantine": [_quarantined(entry) for entry in memory.quarantine.values()],
        "events": [asdict(event) for event in local.events.kept],
    }
    # Times become ISO 8601 text.
    jsonable: dict[str, Any] = to_jsonable_python(found)
    return jsonable


def _lag(pending: Iterable[Operation], now_ms: int) -> float:
    """For how many seconds the operation that waits longest has waited."""
    made = (hlc.milliseconds(operation.timestamp) for operation in pending)
    oldest = min(made, default=now_ms)
    return max(0, now_ms - oldest) / 1000


def _base(base: Base) -> dict[str, Any]:
    rows = Counter(record.collection for record in base.rows)
    return {"epoch": base.epoch, "cursor": base.cursor, "rows": dict(rows)}


def _operation(operation: Operation) -> dict[str, Any]:
    return {
        "id": operation.id,
        "type": operation.type,
        "collection": operation.collection,
        "key": operation.key,
        "timestamp": operation.timestamp,
    }


def _quarantined(entry: Quarantined) -> dict[str, Any]:
    return {**_operation(entry.operation), "code": entry.code, "message": entry.message}
