"""The view is what the server will answer: base and pending operations, merged."""

import pytest

from atiha_web.collections import BUILT_IN, Registry
from atiha_web.sync.merge import State
from atiha_web.sync.operation import Operation, RecordKey
from atiha_web.sync.replica import Base, CollectionView, Replica, Row
from tests.unit.sync.samples import SETTINGS, operation, stamp

RECORD = RecordKey("ratings", "m1")


def replica(*pending: Operation, base: Base | None = None) -> Replica:
    made = Replica(Registry([*BUILT_IN, SETTINGS]))
    made.load(base or Base(), pending)
    return made


def base_with(version: int, ms: int, stars: int | None) -> Base:
    base = Base("e", version)
    data = None if stars is None else {"rating": stars}
    base.put(RECORD, Row(version, State(stamp(ms), data)))
    return base


def stars(found: Replica) -> int | None:
    state = found.views["ratings"].get("m1")
    return None if state is None or state.data is None else int(state.data["rating"])


def test_a_pull_never_hides_a_newer_pending_change() -> None:
    found = replica(operation(1, data={"rating": 5}, ms=10))
    found.swap_base(base_with(1, 5, 1))
    assert stars(found) == 5


def test_a_newer_change_of_the_server_is_shown_over_an_older_pending_one() -> None:
    found = replica(operation(1, data={"rating": 5}, ms=10))
    found.swap_base(base_with(1, 20, 1))
    assert stars(found) == 1


def test_an_acknowledged_change_stays_when_it_leaves_the_journal() -> None:
    sent = operation(1, data={"rating": 5}, ms=10)
    found = replica(sent)
    found.base.put(RECORD, Row(3, State(sent.timestamp, sent.data)))
    found.remove([sent.id])
    assert stars(found) == 5


def test_a_pending_deletion_hides_the_record() -> None:
    gone = Operation("0123456789ab-1", "ratings", "m1", None, stamp(10))
    assert stars(replica(gone, base=base_with(1, 5, 1))) is None


def test_a_row_with_an_older_version_is_ignored() -> None:
    base = base_with(5, 20, 1)
    assert not base.put(RECORD, Row(4, State(stamp(30), {"rating": 2})))
    assert base.rows[RECORD].version == 5


def test_a_later_write_covers_an_earlier_one_of_its_record() -> None:
    old, new = operation(1, ms=1), operation(2, ms=2)
    assert replica(old, operation(3, "m2")).covered_by(new) == [old]


def test_a_write_of_other_fields_covers_nothing() -> None:
    old = operation(1, "s", {"color": "red"}, collection="settings", ms=1)
    found = replica(old)
    new = operation(2, "s", {"size": 1}, collection="settings", ms=2)
    both = operation(3, "s", {"color": "blue", "size": 1}, collection="settings", ms=3)
    assert found.covered_by(new) == []
    assert found.covered_by(both) == [old]


@pytest.mark.parametrize("asked", [False, True], ids=["", "though asked for before"])
def test_the_order_of_a_view_is_newest_first_after_any_change(asked: bool) -> None:
    view = CollectionView()
    view.load({"d": State(stamp(5), {}), "b": State(stamp(0), {})})
    for key, ms in (("a", 1), ("b", 3), ("c", 2), ("a", 4)):
        assert not asked or list(view)
        view.set(key, State(stamp(ms), {}))
    assert not asked or list(view) == ["d", "a", "b", "c"]
    view.set("b", None)
    assert list(view) == ["d", "a", "c"]


def test_setting_what_is_already_there_is_no_change() -> None:
    view = CollectionView()
    assert view.set("a", State(stamp(), {}))
    assert not view.set("a", State(stamp(), {}))
    assert view.generation == 1


def test_rows_of_both_bases_are_joined_by_version() -> None:
    mine, other = base_with(5, 20, 1), base_with(7, 30, 2)
    assert mine.put_newer(other) == [RECORD]
    assert other.put_newer(mine) == []
    assert (mine.digest, mine.newest) == (other.digest, 7)


def test_rows_that_each_side_numbers_itself_are_joined_by_number_and_then_by_time() -> None:
    mine, other, later = base_with(7, 5, 1), base_with(5, 9, 2), base_with(7, 6, 3)
    assert (mine.ahead_of(other), mine.put_ahead(other)) == ([RECORD], [])
    assert (mine.ahead_of(later), mine.put_ahead(later)) == ([], [RECORD])
    assert (mine.rows, mine.digest) == (later.rows, later.digest)
