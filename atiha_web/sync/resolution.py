"""What becomes of a record when an operation reaches the server: ours merges, others replay.

Both kinds of server are known to the replica only through this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from atiha_web.sync import hlc
from atiha_web.sync.merge import Data, MergePolicy, PerField, State
from atiha_web.sync.operation import Operation


class Resolution(Protocol):
    """How a server takes operations."""

    in_order: bool
    """Whether the order in which operations arrive decides, and not their timestamps."""

    def apply(self, policy: MergePolicy, state: State | None, operation: Operation) -> State:
        """The record after ``operation``, where it was ``state`` before."""
        ...

    def complete(self, policy: MergePolicy, data: Data, state: State | None) -> dict[str, Any]:
        """The data of a new operation on ``state``, so that the server can take it."""
        ...

    def covers(self, policy: MergePolicy, newer: Operation, older: Operation) -> bool:
        """Whether ``older`` need not be sent: ``newer`` says all it said."""
        ...


class Merged:
    """Our server: the collection's policy decides, whatever the order of arrival."""

    in_order = False

    def apply(self, policy: MergePolicy, state: State | None, operation: Operation) -> State:
        """The merge of both."""
        lifted = policy.lift(operation.timestamp, operation.data)
        return lifted if state is None else policy.merge(state, lifted)

    def complete(self, policy: MergePolicy, data: Data, state: State | None) -> dict[str, Any]:  # noqa: ARG002 - the protocol's signature
        """The server merges: what changed is enough."""
        return dict(data)

    def covers(self, policy: MergePolicy, newer: Operation, older: Operation) -> bool:
        """Whether the merge of both is the newer alone."""
        state = policy.lift(newer.timestamp, newer.data)
        return policy.merge(policy.lift(older.timestamp, older.data), state) == state


class Replayed:
    """Any REST server: what arrives last stands, and every operation arrives."""

    in_order = True

    def apply(self, policy: MergePolicy, state: State | None, operation: Operation) -> State:
        """What ``operation`` states, on top of the other fields where each field counts alone."""
        timestamp = operation.timestamp
        if state is not None and state.timestamp >= timestamp:
            timestamp = hlc.tick(0, timestamp[-hlc.WRITER_DIGITS :], state.timestamp)
        if state is None or not isinstance(policy, PerField):
            return policy.lift(timestamp, operation.data)
        return policy.merge(state, policy.lift(timestamp, operation.data))

    def complete(self, policy: MergePolicy, data: Data, state: State | None) -> dict[str, Any]:
        """The server replaces whole fields: nested ones with all their keys."""
        known = state.data if state is not None and state.data is not None else {}
        nested = policy.nested if isinstance(policy, PerField) else ()
        return {
            name: {**(known.get(name) or {}), **value}
            if name in nested and isinstance(value, Mapping)
            else value
            for name, value in data.items()
        }

    def covers(self, policy: MergePolicy, newer: Operation, older: Operation) -> bool:  # noqa: ARG002 - the protocol's signature
        """Never: nothing is coalesced."""
        return False


MERGED = Merged()
REPLAYED = Replayed()
