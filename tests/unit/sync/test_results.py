"""What a reply means for each operation, and where a wrong clock's timestamps go."""

import pytest

from atiha_web.collections import BUILT_IN, Registry
from atiha_web.sync import hlc
from atiha_web.sync.operation import Operation, RecordKey
from atiha_web.sync.protocol import RecordState, Result, SyncReply
from atiha_web.sync.results import Verdicts, read_results, restamp, shift_back
from tests.unit.sync.samples import NOW, OTHER, SETTINGS, operation, stamp

REGISTRY = Registry([*BUILT_IN, SETTINGS])
HOUR = 3_600_000


def verdicts(*results: Result, operations: list[Operation] | None = None) -> Verdicts:
    reply = SyncReply(protocol=1, epoch="e", cursor=9, server_time=NOW, results=list(results))
    return read_results(REGISTRY, [operation(1)] if operations is None else operations, reply)


def test_applied_is_acknowledged_with_what_was_sent() -> None:
    sent = operation(1)
    found = verdicts(Result(id=sent.id, status="applied", version=7))
    _, row = found.acknowledged[sent.id]
    assert (row.version, row.state.timestamp, row.state.data) == (7, sent.timestamp, sent.data)


def test_superseded_is_acknowledged_with_what_won() -> None:
    sent, winner = operation(1), RecordState(timestamp=stamp(50, OTHER), data={"rating": 1})
    found = verdicts(Result(id=sent.id, status="superseded", version=7, record=winner))
    assert found.acknowledged[sent.id][1].state == winner.to_state()
    assert found.superseded == {sent.id}


def test_rejected_is_refused_with_its_reason() -> None:
    sent = operation(1)
    found = verdicts(Result(id=sent.id, status="rejected", code="invalid", message="too many"))
    assert [(entry.operation, entry.code, entry.message) for entry in found.rejected] == [
        (sent, "invalid", "too many")
    ]


def test_an_unknown_collection_is_only_held() -> None:
    found = verdicts(Result(id=operation(1).id, status="rejected", code="unknown_collection"))
    assert (found.held, found.rejected) == ([operation(1)], [])


def test_ahead_of_the_server_is_neither_acknowledged_nor_refused() -> None:
    found = verdicts(Result(id=operation(1).id, status="clock"))
    assert (found.ahead, found.acknowledged, found.rejected) == ([operation(1)], {}, [])


@pytest.mark.parametrize(
    "result",
    [Result(id="0123456789ab-99", status="applied", version=1), Result(id="", status="rejected")],
    ids=["never sent", "no id"],
)
def test_results_of_others_are_ignored(result: Result) -> None:
    assert not verdicts(result).any


def test_no_version_is_no_acknowledgement() -> None:
    assert not verdicts(Result(id=operation(1).id, status="applied")).any


def moved(
    *operations: Operation, delta: int = -HOUR, earlier: str | None = None
) -> dict[str, Operation]:
    deltas = {each.id: delta for each in operations}
    return {each.id: each for each in restamp(operations, deltas, earlier=lambda _: earlier)}


def test_operations_ahead_move_by_the_measured_offset() -> None:
    ahead = [operation(1, ms=HOUR), operation(2, ms=HOUR + 500)]
    assert set(shift_back(ahead, offset_ms=-HOUR, server_ms=NOW + 5_000).values()) == {-HOUR}


def test_operations_ahead_move_to_the_servers_time_where_the_clock_was_set_right_since() -> None:
    ahead = [operation(1, ms=HOUR), operation(2, ms=2 * HOUR)]
    assert set(shift_back(ahead, offset_ms=0, server_ms=NOW).values()) == {-2 * HOUR}


def test_moved_operations_of_one_record_keep_their_order() -> None:
    first, last = operation(2, ms=HOUR), operation(1, ms=HOUR + 1)
    found = moved(last, first, earlier=stamp(10_000))
    assert stamp(10_000) < found[first.id].timestamp < found[last.id].timestamp


def test_a_moved_operation_stays_later_than_what_it_was_written_after() -> None:
    known = stamp(30_000, OTHER)
    [found] = moved(operation(1, ms=HOUR), earlier=known).values()
    assert found.timestamp > known
    assert hlc.milliseconds(found.timestamp) == hlc.milliseconds(known)


def test_a_viewing_that_began_later_begins_later_after_the_move() -> None:
    began = stamp(HOUR)
    data = {"session": began, "progress": 1.0}
    viewing = operation(1, data=data, collection="watch_history", ms=HOUR)
    known = stamp(30_000)
    [found] = moved(viewing, earlier=known).values()
    assert found.data is not None
    assert known < found.data["session"] <= found.timestamp


def test_a_viewing_the_server_knows_keeps_its_name() -> None:
    began = stamp(10)
    viewing = operation(1, data={"session": began}, collection="watch_history", ms=20)
    [found] = restamp(
        [viewing],
        {viewing.id: -5},
        earlier=lambda _: began,
        sessions=lambda record: [began] if record == RecordKey("watch_history", "m1") else [],
    )
    assert found.data == {"session": began}
