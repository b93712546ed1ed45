"""Merge policies: what becomes of two states of one record.

Client and server run these same functions. Every policy is commutative, associative and
idempotent (a join of a semilattice), so replicas that saw the same operations, in any order and
any number of times, agree. See Shapiro et al., "Conflict-free Replicated Data Types" (2011).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from atiha_web.errors import InvalidDataError

Data = Mapping[str, Any]

FIELDS = "fields"
"""Where a per-field state keeps the timestamp of each field."""

SESSION = "session"
"""Which viewing a state belongs to: the timestamp at which it started."""

COMPLETED = "completed"
"""Whether a viewing reached its end."""

_FLOOR = ""
"""The field name under which a per-field state remembers that it was once deleted."""


class State(NamedTuple):
    """What is known of a record: the newest timestamp, and its data (``None``: deleted)."""

    timestamp: str
    data: Data | None

    @property
    def deleted(self) -> bool:
        """Whether this is a tombstone."""
        return self.data is None


class MergePolicy(Protocol):
    """How a collection resolves concurrent writes."""

    def lift(self, timestamp: str, data: Data | None) -> State:
        """The state that one operation alone amounts to."""
        ...

    def merge(self, a: State, b: State) -> State:
        """The state of a record of which both ``a`` and ``b`` were stated."""
        ...

    def prepare(self, data: Data, current: State | None, timestamp: str) -> dict[str, Any]:
        """Complete the data of a new write at ``timestamp`` from the ``current`` view."""
        ...


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _newest(a: State, b: State) -> State:
    """The later state; two that differ under one timestamp are ordered by their content."""
    if a.timestamp != b.timestamp:
        return a if a.timestamp > b.timestamp else b
    if a.data == b.data:
        return a
    return a if _content(a) > _content(b) else b


def _content(state: State) -> str:
    """A total order on data; ``completed`` stays out, as it is or-ed where it matters."""
    if state.data is None:
        return ""
    return _canonical({name: value for name, value in state.data.items() if name != COMPLETED})


class LastWriteWins:
    """The newest timestamp wins the whole record."""

    def lift(self, timestamp: str, data: Data | None) -> State:
        """The operation as it stands."""
        return State(timestamp, data)

    def merge(self, a: State, b: State) -> State:
        """The later of the two."""
        return _newest(a, b)

    def prepare(self, data: Data, current: State | None, timestamp: str) -> dict[str, Any]:  # noqa: ARG002 - the policy's signature
        """A full statement needs no completion."""
        return dict(data)


class ViewingSessions(LastWriteWins):
    """Watch history: the later viewing wins whole; within one viewing the later write wins.

    A viewing is named by ``session``, the timestamp at which it started. Within one viewing
    ``completed`` never goes back to false. A deletion ends every viewing that started before it.
    """

    def lift(self, timestamp: str, data: Data | None) -> State:
        """A viewing started at the latest when something was said of it."""
        if data is None or (data.get(SESSION) or "~") <= timestamp:
            return State(timestamp, data)
        return State(timestamp, {**data, SESSION: timestamp})

    def merge(self, a: State, b: State) -> State:
        """Greater session first, then newest timestamp with ``completed`` or-ed."""
        session_a, session_b = _session(a), _session(b)
        if session_a != session_b:
            return a if session_a > session_b else b
        winner = _newest(a, b)
        loser = b if winner is a else a
        if winner.data is None or loser.data is None:
            return winner
        if loser.data.get(COMPLETED) and not winner.data.get(COMPLETED):
            return State(winner.timestamp, {**winner.data, COMPLETED: True})
        return winner

    def prepare(self, data: Data, current: State | None, timestamp: str) -> dict[str, Any]:
        """Continue the current viewing, or start a new one.

        A new one starts when there is none, or when the current one was completed and progress
        begins again from an earlier point.
        """
        if data.get(SESSION):
            return dict(data)
        known = dict(current.data) if current is not None and current.data is not None else None
        if known is None:
            return {**data, SESSION: timestamp}
        restarted = bool(known.get(COMPLETED)) and _number(data) < _number(known)
        if restarted:
            return {**known, COMPLETED: False, **data, SESSION: timestamp}
        merged = {**known, **data}
        merged[COMPLETED] = bool(known.get(COMPLETED)) or bool(data.get(COMPLETED))
        return merged


def _session(state: State) -> str:
    if state.data is None:
        return state.timestamp
    return str(state.data.get(SESSION) or "")


def _number(data: Data) -> float:
    value = data.get("progress", 0)
    return float(value) if isinstance(value, (int, float)) else 0.0


class PerField(LastWriteWins):
    """Each field is a register of its own; fields in ``nested`` count key by key.

    A state's data carries ``fields``: the timestamp of each field, nested ones as
    ``preferences.theme``. An operation carries the changed fields only.
    """

    def __init__(self, nested: tuple[str, ...] = ()) -> None:
        self.nested = nested

    def check(self, data: Data, what: str) -> None:
        """Refuse a statement of no field, and names that cannot be told from those kept here.

        Raises:
            InvalidDataError: naming what is wrong.
        """
        if not self._flatten(data):
            raise InvalidDataError(f"{what}: name at least one field to change")
        for name in data:
            outer, dot, _ = name.partition(".")
            if not name or (dot and outer in self.nested):
                raise InvalidDataError(f"{what} cannot have a field named {name!r:.80}")

    def lift(self, timestamp: str, data: Data | None) -> State:
        """Stamp each field of the operation.

        Raises:
            InvalidDataError: a nested field is no object.
        """
        if data is None:
            return State(timestamp, None)
        values = self._flatten(data)
        stamps = dict.fromkeys(values, timestamp)
        return State(timestamp, {**self._unflatten(values), FIELDS: stamps})

    def restamp(self, values: Data, old: State) -> State:
        """``values`` in the place of those of ``old``; a field that is new is as old as the record.

        Raises:
            InvalidDataError: a nested field is no object.
        """
        stamps = self._stamps(old)
        flat = self._flatten(values)
        kept = {name: stamps.get(name, old.timestamp) for name in flat}
        floor = {_FLOOR: stamps[_FLOOR]} if _FLOOR in stamps else {}
        return State(old.timestamp, {**self._unflatten(flat), FIELDS: {**floor, **kept}})

    def merge(self, a: State, b: State) -> State:
        """The newest value of each field not older than the last deletion."""
        stamps_a, stamps_b = self._stamps(a), self._stamps(b)
        floor = max(stamps_a.get(_FLOOR, ""), stamps_b.get(_FLOOR, ""))
        values_a, values_b = self._flatten(a.data or {}), self._flatten(b.data or {})
        stamps: dict[str, str] = {_FLOOR: floor} if floor else {}
        values: dict[str, Any] = {}
        for name in sorted((stamps_a.keys() | stamps_b.keys()) - {_FLOOR}):
            pair = max(
                (stamps_a.get(name, ""), _canonical(values_a.get(name)), 0),
                (stamps_b.get(name, ""), _canonical(values_b.get(name)), 1),
            )
            if pair[0] > floor:
                stamps[name] = pair[0]
                values[name] = (values_a, values_b)[pair[2]].get(name)
        timestamp = max(a.timestamp, b.timestamp)
        if timestamp == floor:
            return State(timestamp, None)
        return State(timestamp, {**self._unflatten(values), FIELDS: stamps})

    def _stamps(self, state: State) -> dict[str, str]:
        if state.data is None:
            return {_FLOOR: state.timestamp}
        return dict(state.data.get(FIELDS) or {})

    def _flatten(self, data: Data) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for name, value in data.items():
            if name in self.nested:
                if value is not None and not isinstance(value, Mapping):
                    raise InvalidDataError(f"{name} is an object, not {value!r:.80}")
                flat |= {f"{name}.{inner}": item for inner, item in (value or {}).items()}
            elif name != FIELDS:
                flat[name] = value
        return flat

    def _unflatten(self, flat: Data) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for name, value in flat.items():
            outer, dot, inner = name.partition(".")
            if dot and outer in self.nested:
                data.setdefault(outer, {})[inner] = value
            else:
                data[name] = value
        return data
