"""Merging: in whatever order and however often states meet, the outcome is the same."""

from collections.abc import Mapping
from functools import cache, reduce
from itertools import combinations, islice, starmap
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atiha_web.errors import InvalidDataError
from atiha_web.sync.merge import (
    COMPLETED,
    FIELDS,
    LastWriteWins,
    MergePolicy,
    PerField,
    State,
    ViewingSessions,
)
from atiha_web.testing import merge_laws
from tests.unit.sync.samples import OTHER, SCORES, stamp

# Few values, so that states meet on one record at one time, in one viewing, in one field.
STAMPS = [stamp(0), stamp(1), stamp(2), stamp(2, OTHER)]
POLICIES: Mapping[str, MergePolicy] = {
    "last write wins": LastWriteWins(),
    "viewing sessions": ViewingSessions(),
    "per field": PerField(nested=("preferences",)),
    "declared by an app": SCORES.policy,
}
DATA: Mapping[str, list[dict[str, Any]]] = {
    "last write wins": [{"a": 1}, {"a": 1.5}, {"a": None}, {"b": True}, {"a": 1, "b": "x"}],
    "viewing sessions": [
        {"progress": progress, COMPLETED: completed, **session}
        for progress in (0, 1)
        for completed in (False, True)
        for session in ({}, {"session": STAMPS[0]}, {"session": STAMPS[2]})
    ],
    "per field": [
        {"color": "red"},
        {"color": None, "preferences": None},
        {"color": "blue", "preferences": {"x": 1}},
        {"preferences": {"x": 2, "y": None}},
        {"preferences": {"y": True}},
    ],
    "declared by an app": [{"score": 0}, {"score": 1}, {"score": 1, "round": 0}],
}


def lifted(name: str) -> list[State]:
    """What each operation alone amounts to."""
    policy = POLICIES[name]
    return [policy.lift(when, data) for when in STAMPS for data in (*DATA[name], None)]


@cache
def states(name: str) -> st.SearchStrategy[State]:
    """What one operation, or two merged ones, amount to."""
    pairs = islice(combinations(lifted(name), 2), None, None, 3)
    merged = list(starmap(POLICIES[name].merge, pairs))
    return st.sampled_from(lifted(name)) | st.sampled_from(merged)


named = pytest.mark.parametrize("name", list(POLICIES))
often = settings(max_examples=100)


@named
def test_merging_any_three_operations_holds_the_laws(name: str) -> None:
    merge_laws.check(POLICIES[name], lifted(name))


@named
@often
@given(data=st.data())
def test_merging_does_not_care_who_comes_first(name: str, data: st.DataObject) -> None:
    a, b = data.draw(st.tuples(states(name), states(name)))
    assert POLICIES[name].merge(a, b) == POLICIES[name].merge(b, a)


@named
@often
@given(data=st.data())
def test_merging_does_not_care_what_was_merged_before(name: str, data: st.DataObject) -> None:
    merge = POLICIES[name].merge
    a, b, c = data.draw(st.tuples(states(name), states(name), states(name)))
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@named
@often
@given(data=st.data())
def test_merging_again_changes_nothing(name: str, data: st.DataObject) -> None:
    merge = POLICIES[name].merge
    a, b = data.draw(st.tuples(states(name), states(name)))
    assert merge(a, a) == a
    assert merge(merge(a, b), b) == merge(a, b)


@named
@often
@given(data=st.data())
def test_a_batch_that_was_folded_merges_like_its_parts_in_any_order(
    name: str, data: st.DataObject
) -> None:
    """Some of the parts are in both batches, as after a reply that was lost."""
    merge = POLICIES[name].merge
    known, *parts = data.draw(st.lists(states(name), min_size=2, max_size=5))
    order = data.draw(st.permutations(parts))
    first, second = data.draw(st.tuples(*[st.integers(1, len(parts))] * 2))
    batches = [reduce(merge, order[:first]), reduce(merge, order[-second:]), *order[first:-second]]
    assert reduce(merge, batches, known) == reduce(merge, parts, known)


def put(ms: int, **data: Any) -> State:
    return State(stamp(ms), data)


def test_the_newest_timestamp_wins_whole() -> None:
    old, new = put(1, rating=1, review="good"), put(2, rating=5)
    assert LastWriteWins().merge(new, old) == new


def test_a_deletion_wins_over_what_was_before_it_and_loses_to_what_comes_after() -> None:
    merge = LastWriteWins().merge
    gone = State(stamp(2), None)
    assert merge(put(1, rating=1), gone) == gone
    assert merge(put(3, rating=1), gone) == put(3, rating=1)


def test_the_later_viewing_wins_though_its_progress_is_older() -> None:
    again = put(5, session=stamp(5), progress=3.0)
    late_word = put(9, session=stamp(1), progress=90.0)
    assert ViewingSessions().merge(again, late_word) == again


def test_a_completed_viewing_stays_completed() -> None:
    done = put(5, session=stamp(1), progress=90.0, completed=True)
    later = put(6, session=stamp(1), progress=95.0, completed=False)
    merged = ViewingSessions().merge(done, later)
    assert merged.data == {"session": stamp(1), "progress": 95.0, "completed": True}


def test_a_deletion_ends_the_viewings_that_started_before_it_for_good() -> None:
    gone = State(stamp(5), None)
    assert ViewingSessions().merge(gone, put(9, session=stamp(1), progress=1.0)) == gone
    again = put(9, session=stamp(6), progress=1.0)
    assert ViewingSessions().merge(gone, again) == again


def test_a_viewing_named_after_the_future_is_named_after_now() -> None:
    lifted = ViewingSessions().lift(stamp(1), {"session": "f" * 28})
    assert lifted.data == {"session": stamp(1)}


def test_a_first_word_starts_a_viewing() -> None:
    assert ViewingSessions().prepare({"progress": 1}, None, stamp(1))["session"] == stamp(1)


def test_more_progress_continues_the_viewing_and_keeps_what_is_known() -> None:
    current = put(1, session=stamp(1), progress=5.0, title="A film")
    found = ViewingSessions().prepare({"progress": 9.0}, current, stamp(4))
    assert (found["session"], found["progress"], found["title"]) == (stamp(1), 9.0, "A film")


def test_watching_again_after_the_end_starts_another_viewing() -> None:
    current = put(1, session=stamp(1), progress=90.0, completed=True)
    found = ViewingSessions().prepare({"progress": 0.0}, current, stamp(4))
    assert (found["session"], found["completed"]) == (stamp(4), False)


def test_going_on_after_the_end_stays_completed() -> None:
    current = put(1, session=stamp(1), progress=90.0, completed=True)
    found = ViewingSessions().prepare({"progress": 95.0}, current, stamp(4))
    assert (found["session"], found["completed"]) == (stamp(1), True)


def test_fields_changed_apart_are_both_kept() -> None:
    policy = PerField(nested=("preferences",))
    merged = policy.merge(
        policy.lift(stamp(1), {"color": "red", "preferences": {"a": 1}}),
        policy.lift(stamp(2), {"size": 3, "preferences": {"b": 2}}),
    )
    assert merged.data is not None
    shown = {name: value for name, value in merged.data.items() if name != FIELDS}
    assert shown == {"color": "red", "size": 3, "preferences": {"a": 1, "b": 2}}


def test_only_fields_set_after_a_deletion_remain() -> None:
    policy = PerField()
    old, gone = policy.lift(stamp(1), {"color": "red"}), policy.lift(stamp(2), None)
    new = policy.lift(stamp(3), {"size": 3})
    merged = policy.merge(policy.merge(old, new), gone)
    assert merged.data is not None
    assert {name: value for name, value in merged.data.items() if name != FIELDS} == {"size": 3}


def test_what_is_no_object_where_keys_count_one_by_one_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="preferences"):
        PerField(nested=("preferences",)).lift(stamp(1), {"preferences": [1]})
