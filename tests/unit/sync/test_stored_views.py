"""The seed's lists, kept from one write to the next: the same as if they were made anew."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from atiha_web.collections import BUILT_IN, Registry
from atiha_web.sync.merge import State
from atiha_web.sync.names import Names
from atiha_web.sync.replica import CollectionView, Replica
from atiha_web.sync.stored_views import MAX_BYTES, MAX_ENTRIES, StoredViews
from tests.unit.sync.samples import stamp

REGISTRY = Registry(BUILT_IN)
KEY = "atiha_ratings_ann"

RECORDS = st.integers(0, 70).map(lambda number: f"m{number}")
CHANGES = st.tuples(
    RECORDS,
    st.integers(1, 1_000),
    st.none() | st.integers(280, 340) | st.sampled_from([10, 3_000]),
)


class Kept:
    """The views of one collection, rendered after every change, as the engine does."""

    def __init__(self) -> None:
        self.replica = Replica(REGISTRY)
        self.views = StoredViews(self.replica, Names("ann"))
        self.text = self.views.changes(["ratings"])[KEY]
        assert self.text == "[]"

    @property
    def view(self) -> CollectionView:
        return self.replica.views["ratings"]

    def set(self, key: str, ms: int, size: int | None) -> None:
        state = None if size is None else State(stamp(ms), {"rating": 3, "review": "é" * size})
        self.view.set(key, state)
        self.text = self.views.changes(["ratings"]).get(KEY, self.text)

    def anew(self) -> str | None:
        return StoredViews(self.replica, Names("ann")).changes(["ratings"])[KEY]


@given(st.lists(CHANGES, max_size=90), st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_a_list_is_the_same_as_one_made_anew_after_every_change(
    changes: list[tuple[str, int, int | None]], first: int
) -> None:
    kept = Kept()
    for number in range(first):
        kept.set(f"n{number}", number, 10)
    for change in changes:
        kept.set(*change)
        assert kept.text == kept.anew()


def test_several_changes_between_two_writes_are_all_shown() -> None:
    kept = Kept()
    kept.view.set("a", State(stamp(1), {"rating": 1}))
    kept.set("b", 2, 10)
    assert kept.text == kept.anew()
    kept.view.load({"c": State(stamp(3), {"rating": 3})})
    kept.set("d", 4, 10)
    assert kept.text == kept.anew()


def test_new_entries_push_out_the_oldest() -> None:
    kept = Kept()
    for number in range(MAX_ENTRIES + 5):
        kept.set(f"m{number}", number, 10)
    shown = [entry["contentId"] for entry in json.loads(kept.text or "")]
    assert shown == [f"m{number}" for number in reversed(range(5, MAX_ENTRIES + 5))]


def test_an_entry_larger_than_a_list_may_be_is_shown_alone() -> None:
    kept = Kept()
    kept.set("small", 1, 10)
    kept.set("large", 2, MAX_BYTES)
    assert [entry["contentId"] for entry in json.loads(kept.text or "")] == ["large"]
    kept.set("next", 3, 10)
    assert kept.text == kept.anew()
