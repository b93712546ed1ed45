"""Which pending operations go into the next request: first in, first out, within limits."""

from __future__ import annotations

from collections.abc import Container, Iterable

from atiha_web.sync.calls import is_call
from atiha_web.sync.operation import Operation
from atiha_web.sync.protocol import MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, to_wire

_ENVELOPE_BYTES = 512


class BatchLimit:
    """How many operations to send at once: halved when a batch is refused, doubled when taken."""

    def __init__(self) -> None:
        self.operations = MAX_BATCH_OPERATIONS

    def refused(self, size: int) -> None:
        """A batch of ``size`` was too much, or held an operation nobody can read."""
        self.operations = max(1, size // 2)

    def taken(self) -> None:
        """A batch got through."""
        self.operations = min(MAX_BATCH_OPERATIONS, self.operations * 2)


def next_batch(
    pending: Iterable[Operation],
    limit: int,
    held: Container[str] = (),
    size: int = MAX_BATCH_BYTES,
) -> list[Operation]:
    """The oldest operations that fit, at least one; ``held`` names those not to send now.

    ``size`` is that of the whole request, in bytes.
    """
    batch: list[Operation] = []
    room = size - _ENVELOPE_BYTES
    for operation in pending:
        if operation.id in held or is_call(operation):
            continue
        room -= len(to_wire(operation).to_json()) + 1
        if batch and (room < 0 or len(batch) >= limit):
            break
        batch.append(operation)
    return batch


def encode(operations: Iterable[Operation]) -> list[dict[str, object]]:
    """Operations as members of a request."""
    return [
        to_wire(operation).model_dump(by_alias=True, exclude_defaults=True)
        for operation in operations
    ]
