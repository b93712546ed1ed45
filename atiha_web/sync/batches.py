"""Which pending operations go into the next request: first in, first out, within limits."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from atiha_web.sync.calls import is_call
from atiha_web.sync.operation import Operation
from atiha_web.sync.protocol import MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, SyncRequest, to_wire

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


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations to send at once, each with its JSON on the wire."""

    operations: list[Operation] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)

    def body(self, envelope: SyncRequest) -> bytes:
        """The request that is ``envelope`` with these operations."""
        text = envelope.to_json()
        if not self.texts:
            return text
        # They were written to learn their size, and are not read and written again.
        return b'%b,"operations":[%b]}' % (text[:-1], b",".join(self.texts))


def next_batch(
    pending: Iterable[Operation],
    limit: int,
    held: Container[str] = (),
    size: int = MAX_BATCH_BYTES,
) -> Batch:
    """The oldest operations that fit, at least one; ``held`` names those not to send now.

    ``size`` is that of the whole request, in bytes.
    """
    batch = Batch()
    room = size - _ENVELOPE_BYTES
    for operation in pending:
        if operation.id in held or is_call(operation):
            continue
        if len(batch.operations) >= limit:
            break
        text = to_wire(operation).to_json()
        room -= len(text) + 1
        if batch.operations and room < 0:
            break
        batch.operations.append(operation)
        batch.texts.append(text)
    return batch
