"""What a reply means for the operations that were sent: decided here, carried out by the engine."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from atiha_web.collections import Registry
from atiha_web.sync import hlc
from atiha_web.sync.clock import shift_operation
from atiha_web.sync.operation import Operation, RecordKey
from atiha_web.sync.protocol import Result, SyncReply
from atiha_web.sync.replica import Quarantined, Row, policy_of

UNKNOWN_COLLECTION = "unknown_collection"
NEWER_SCHEMA = "newer_schema"
_SERVER_IS_OLDER = frozenset({UNKNOWN_COLLECTION, NEWER_SCHEMA})
"""Refusals that end with the server's next release: such operations wait for it."""


@dataclass
class Verdicts:
    """What became of each operation of a batch; ``problems`` says in words why some are held."""

    acknowledged: dict[str, tuple[Operation, Row]] = field(default_factory=dict)
    superseded: set[str] = field(default_factory=set)
    rejected: list[Quarantined] = field(default_factory=list)
    held: list[Operation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ahead: list[Operation] = field(default_factory=list)

    @property
    def any(self) -> bool:
        """Whether the reply said anything about any operation."""
        return bool(self.acknowledged or self.rejected or self.held or self.ahead)


def read_results(registry: Registry, operations: Sequence[Operation], reply: SyncReply) -> Verdicts:
    """Sort a batch by the results in ``reply``; an operation without a result stays pending."""
    sent: Mapping[str, Operation] = {operation.id: operation for operation in operations}
    verdicts = Verdicts()
    for result in reply.results:
        operation = sent.get(result.id)
        if operation is not None:
            _judge(registry, operation, result, verdicts)
    return verdicts


def _judge(registry: Registry, operation: Operation, result: Result, verdicts: Verdicts) -> None:
    if result.status == "clock":
        verdicts.ahead.append(operation)
    elif result.status == "rejected" and result.code in _SERVER_IS_OLDER:
        verdicts.held.append(operation)
        verdicts.problems.append(
            f"the server cannot take changes of {operation.collection} yet: "
            f"{result.message or result.code}; they are kept and tried again"
        )
    elif result.status == "rejected":
        message = result.message or "the server refused this change"
        verdicts.rejected.append(Quarantined(operation, result.code or "rejected", message))
    elif result.version is not None:
        policy = policy_of(registry, operation.collection)
        state = (
            registry.state(
                operation.collection, result.record.to_state(), result.record.schema_number
            )
            if result.record is not None
            else policy.lift(operation.timestamp, operation.data)
        )
        verdicts.acknowledged[operation.id] = operation, Row(result.version, state)
        if result.status == "superseded":
            verdicts.superseded.add(operation.id)


def shift_back(ahead: Iterable[Operation], *, offset_ms: int, server_ms: int) -> dict[str, int]:
    """By how many ms to move operations made under a fast clock, by id.

    All move by the measured offset, or by what is needed where the clock was set right since.
    """
    operations = list(ahead)
    latest = max((hlc.milliseconds(item.timestamp) for item in operations), default=0)
    delta = min(offset_ms, 0)
    if latest + delta > server_ms:
        delta = server_ms - latest
    return {operation.id: delta for operation in operations}


def restamp(
    operations: Iterable[Operation],
    deltas: Mapping[str, int],
    *,
    earlier: Callable[[Operation], str | None],
    sessions: Callable[[RecordKey], Container[str]] = lambda _: (),
) -> list[Operation]:
    """Move each operation by its ``deltas``; each stays later than what it was written after.

    ``earlier`` gives the newest timestamp that stays and that an operation was written after,
    ``sessions`` the viewings of a record that are known by their names.
    """
    moved: list[Operation] = []
    floors: dict[RecordKey, str] = {}
    for operation in sorted(operations, key=lambda item: item.timestamp):
        floor = max(filter(None, (floors.get(operation.record), earlier(operation))), default=None)
        shifted = shift_operation(
            operation,
            deltas[operation.id],
            after=floor,
            known_sessions=sessions(operation.record),
        )
        floors[operation.record] = shifted.timestamp
        moved.append(shifted)
    return moved
