"""The check of the merge laws passes what is a merge, and finds what is none."""

from collections.abc import Mapping
from typing import Any

import pytest

from atiha_web.sync.merge import (
    COMPLETED,
    Data,
    LastWriteWins,
    MergePolicy,
    PerField,
    State,
    ViewingSessions,
)
from atiha_web.testing import merge_laws
from tests.unit.sync.samples import SCORES, stamp

SAMPLES: list[Mapping[str, Any]] = [
    {"progress": 1, "session": stamp(4)},
    {"progress": 2, "completed": True},
]
FIELDS: list[Mapping[str, Any]] = [{"size": 1}, {"preferences": {"a": 1}}, {"size": 2, "name": "x"}]
RIGHT: list[tuple[MergePolicy, list[Mapping[str, Any]]]] = [
    (LastWriteWins(), SAMPLES),
    (ViewingSessions(), [*SAMPLES, {"progress": 3, "session": stamp()}]),
    (PerField(nested=("preferences",)), FIELDS),
    (SCORES.policy, [{"score": 1}, {"score": 3, "round": 2}]),
]


class FirstComes(LastWriteWins):
    def merge(self, a: State, b: State) -> State:
        return a


class Adds(LastWriteWins):
    def merge(self, a: State, b: State) -> State:
        total = sum((state.data or {}).get("progress", 0) for state in (a, b))
        return State(max(a.timestamp, b.timestamp), {"progress": total})


class Averages(LastWriteWins):
    def merge(self, a: State, b: State) -> State:
        seen = [(state.data or {}).get("progress", 0) for state in (a, b)]
        return State(max(a.timestamp, b.timestamp), {"progress": sum(seen) / 2})


class LaterUnlessFarAhead(LastWriteWins):
    """Idempotent and commutative, but not a merge: three may go in a circle."""

    def merge(self, a: State, b: State) -> State:
        old, new = sorted((a, b), key=lambda state: state.timestamp)
        apart = int(new.timestamp[:12], 16) - int(old.timestamp[:12], 16)
        return old if apart > 2 else new


class ChangesWhatItGets(LastWriteWins):
    def merge(self, a: State, b: State) -> State:
        found = super().merge(a, b)
        if isinstance(found.data, dict):
            found.data["merged"] = True
        return found


class KeepsASet(LastWriteWins):
    """Merges well, and cannot be stored."""

    def lift(self, timestamp: str, data: Data | None) -> State:
        return State(timestamp, {"seen": frozenset([timestamp])})

    def merge(self, a: State, b: State) -> State:
        seen = (a.data or {})["seen"] | (b.data or {})["seen"]
        return State(max(a.timestamp, b.timestamp), {"seen": seen})


class KeepsAFew(LastWriteWins):
    """Remembers all that was stated, until that is too much: triples are not."""

    def lift(self, timestamp: str, data: Data | None) -> State:
        return State(timestamp, {"seen": [timestamp]})

    def merge(self, a: State, b: State) -> State:
        seen = sorted({*(a.data or {})["seen"], *(b.data or {})["seen"]})
        return State(max(a.timestamp, b.timestamp), {"seen": seen[-1:] if len(seen) > 6 else seen})


class CompletedForEver(ViewingSessions):
    """Takes the end of one viewing for the end of the next."""

    def merge(self, a: State, b: State) -> State:
        merged = super().merge(a, b)
        done = any((state.data or {}).get(COMPLETED) for state in (a, b))
        if merged.data is None or not done:
            return merged
        return State(merged.timestamp, {**merged.data, COMPLETED: True})


class ForgetsDeletions(PerField):
    """A field that is set after a deletion brings back what was deleted."""

    def merge(self, a: State, b: State) -> State:
        if a.data is None or b.data is None:
            return max(a, b, key=lambda state: state.timestamp)
        return super().merge(a, b)


class TakesLastFields(PerField):
    """Fills in what the later lacks, and forgets when the earlier fields were set."""

    def merge(self, a: State, b: State) -> State:
        old, new = sorted((a, b), key=lambda state: state.timestamp)
        return State(new.timestamp, {**(old.data or {}), **(new.data or {})})


@pytest.mark.parametrize(("policy", "samples"), RIGHT, ids=lambda found: type(found).__name__)
def test_the_policies_of_the_package_pass(
    policy: MergePolicy, samples: list[Mapping[str, Any]]
) -> None:
    merge_laws.check(policy, merge_laws.states_of(policy, samples))


@pytest.mark.parametrize(
    ("policy", "law"),
    [
        (FirstComes(), "be commutative"),
        (Adds(), "be idempotent"),
        (Averages(), "be idempotent"),
        (LaterUnlessFarAhead(), "be associative"),
        (ChangesWhatItGets(), "leave its arguments alone"),
        (KeepsASet(), "give data that is JSON"),
        (KeepsAFew(), "be the same in batches"),
        (CompletedForEver(), "be associative"),
        (ForgetsDeletions(), "be associative"),
        (TakesLastFields(), "be idempotent"),
    ],
    ids=lambda found: type(found).__name__ if not isinstance(found, str) else "",
)
def test_a_wrong_policy_fails_with_the_law_it_breaks(policy: MergePolicy, law: str) -> None:
    with pytest.raises(AssertionError, match=f"merging must {law}; broken by"):
        merge_laws.check(policy, merge_laws.states_of(policy, SAMPLES))


def test_the_states_that_break_a_law_are_named() -> None:
    a, b = State(stamp(1), {"progress": 1}), State(stamp(2), None)
    with pytest.raises(AssertionError, match="commutative") as caught:
        merge_laws.check(FirstComes(), [a, b])
    assert repr(a) in str(caught.value)
    assert repr(b) in str(caught.value)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_states_of_which_nothing_could_be_learnt_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="two different states"):
        merge_laws.check(FirstComes(), [State(stamp(), {"progress": 1})] * count)


def test_generated_states_are_written_deleted_and_merged() -> None:
    policy = PerField()
    states = merge_laws.states_of(policy, [{"size": 1}, {"name": "x"}])
    fields = [set((state.data or {}).keys()) - {"fields"} for state in states]
    assert {"size"} in fields
    assert {"size", "name"} in fields
    assert any(state.deleted for state in states)
