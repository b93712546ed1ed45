"""Decisions of a push, as pure functions, against a model that folds one operation at a time."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atiha_web.collections import BUILT_IN, Registry
from atiha_web.server import decisions
from atiha_web.server.decisions import Pushed, Statement
from atiha_web.server.rows import Row, SyncState
from atiha_web.sync import hlc
from atiha_web.sync.digest import row_digest
from atiha_web.sync.merge import State
from atiha_web.sync.operation import RecordKey
from atiha_web.sync.protocol import Result
from tests.unit.sync.samples import SCORES

COLLECTIONS = Registry([*BUILT_IN, SCORES])
NOW = 1_800_000_000_000

WORDS = st.sampled_from(["a", "b", None])
PROFILES = st.fixed_dictionaries(
    {},
    optional={
        "displayName": WORDS,
        "language": WORDS,
        "preferences": st.dictionaries(st.sampled_from(["theme", "size"]), WORDS),
    },
)


@st.composite
def operations(draw: st.DrawFn) -> dict[str, Any]:
    """Mostly good operations on few records, some bad ones among them."""
    number = draw(st.integers(1, 10**6))
    collection = draw(
        st.sampled_from(["ratings", "watch_history", "profile", "scores", "nonsense"])
    )
    at = NOW - 1000 + draw(st.integers(0, 4)) + draw(st.sampled_from([0, 0, 0, 99_000]))
    writer = draw(st.sampled_from(["0123456789ab", "ba9876543210"]))
    raw: dict[str, Any] = {
        "id": f"{writer}-{number}",
        "collection": collection,
        "key": draw(st.sampled_from(["m1", "ada"])),
        "type": draw(st.sampled_from(["put", "put", "put", "delete"])),
        "timestamp": hlc.tick(at, writer),
    }
    if raw["type"] == "put":
        session = hlc.tick(NOW - draw(st.integers(1001, 1003)), "0123456789ab")
        raw["data"] = {
            "ratings": {"rating": draw(st.integers(0, 5))},
            "watch_history": {
                "progress": draw(st.integers(0, 3)),
                "completed": draw(st.booleans()),
                "session": session,
            },
            "profile": draw(PROFILES),
            "scores": {"score": draw(st.integers(0, 3)), "round": number},
            "nonsense": {},
        }[collection]
    return raw


Batches = st.lists(st.lists(operations(), max_size=6), max_size=4)
Store = dict[RecordKey, Row]


def apply(store: Store, state: SyncState, batch: list[dict[str, Any]]) -> tuple[Pushed, Store]:
    verdicts = [decisions.validate(raw, COLLECTIONS, "ada", NOW) for raw in batch]
    touched = {v.operation.record for v in verdicts if isinstance(v, Statement)}
    stored = {record: row for record, row in store.items() if record in touched}
    pushed = decisions.push(verdicts, stored, state, COLLECTIONS)
    return pushed, {**store, **{row.record: row for row in pushed.rows}}


@given(Batches)
def test_batches_amount_to_the_merge_of_all_good_operations(
    batches: list[list[dict[str, Any]]],
) -> None:
    store: Store = {}
    state = SyncState("epoch")
    expected: dict[RecordKey, State] = {}
    for batch in batches:
        pushed, store = apply(store, state, batch)
        state = pushed.state
        for raw in batch:
            verdict = decisions.validate(raw, COLLECTIONS, "ada", NOW)
            if isinstance(verdict, Statement):
                record = verdict.operation.record
                merge = COLLECTIONS[record.collection].policy.merge
                known = expected.get(record)
                expected[record] = merge(known, verdict.state) if known else verdict.state
    assert {record: row.state for record, row in store.items()} == expected


@given(st.lists(operations(), max_size=12), st.data())
def test_operations_amount_to_the_same_in_any_order_and_any_batches(
    sent: list[dict[str, Any]], data: st.DataObject
) -> None:
    """As devices send them: each its own, in its order, some twice, folded by key in a batch."""
    one_by_one = states_after([[raw] for raw in sent])
    order = data.draw(st.permutations(sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=3)))
    batches = [order[i:k] for i, k in itertools.pairwise([0, *cuts, len(sent)])]
    again = data.draw(st.lists(st.sampled_from(sent), max_size=3)) if sent else []
    assert states_after([*batches, again]) == one_by_one


def states_after(batches: list[list[dict[str, Any]]]) -> dict[RecordKey, State]:
    store: Store = {}
    state = SyncState("epoch")
    for batch in batches:
        pushed, store = apply(store, state, batch)
        state = pushed.state
    return {record: row.state for record, row in store.items()}


@given(Batches)
def test_versions_count_changed_rows_and_the_digest_covers_the_live_ones(
    batches: list[list[dict[str, Any]]],
) -> None:
    store: Store = {}
    state = SyncState("epoch")
    for batch in batches:
        pushed, store = apply(store, state, batch)
        first = state.counter + 1
        assert [row.version for row in pushed.rows] == list(range(first, first + len(pushed.rows)))
        state = pushed.state
        digest = 0
        for row in store.values():
            if row.data is not None:
                digest ^= row_digest(row.collection, row.key, row.version)
        assert (state.counter, state.digest) == (first - 1 + len(pushed.rows), digest)


@given(Batches)
def test_sending_everything_again_changes_nothing(batches: list[list[dict[str, Any]]]) -> None:
    store: Store = {}
    state = SyncState("epoch")
    for batch in batches:
        pushed, store = apply(store, state, batch)
        state = pushed.state
    for batch in batches:
        pushed, store = apply(store, state, batch)
        assert (pushed.rows, pushed.state) == ([], state)


@given(Batches)
def test_every_result_tells_what_is_stored(batches: list[list[dict[str, Any]]]) -> None:
    store: Store = {}
    state = SyncState("epoch")
    for batch in batches:
        pushed, store = apply(store, state, batch)
        state = pushed.state
        assert [result.id for result in pushed.results] == [raw["id"] for raw in batch]
        for raw, result in zip(batch, pushed.results, strict=True):
            _check(raw, result, store)


def _check(raw: dict[str, Any], result: Result, store: Store) -> None:
    verdict = decisions.validate(raw, COLLECTIONS, "ada", NOW)
    if isinstance(verdict, Result):
        assert result == verdict
        return
    row = store[verdict.operation.record]
    told = result.record.to_state() if result.record else verdict.state
    assert (told, result.version) == (row.state, row.version)
    assert result.status in {"applied", "superseded"}
