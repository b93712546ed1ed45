"""What the engine learns about the time, and what it does to what it wrote before."""

import pytest

from atiha_web.backends.memory import system_clock
from atiha_web.sync import hlc
from atiha_web.sync.clock import CorrectedClock, shift_operation
from atiha_web.sync.operation import Operation
from atiha_web.testing.fake_server import ManualClock

WRITER = "0123456789ab"
HOUR = 3_600_000


@pytest.fixture
def wall() -> ManualClock:
    return ManualClock()


@pytest.fixture
def clock(wall: ManualClock) -> CorrectedClock:
    return CorrectedClock(wall, WRITER)


def test_time_is_corrected_by_what_the_server_said(
    wall: ManualClock, clock: CorrectedClock
) -> None:
    assert clock.measure(wall() + HOUR + 50, wall(), wall() + 100)
    assert clock.now_ms() == wall() + HOUR


def test_a_small_difference_is_noise(wall: ManualClock, clock: CorrectedClock) -> None:
    assert not clock.measure(wall() + 1_999, wall(), wall())
    assert clock.offset_ms == 0


def test_a_slow_reply_is_no_evidence_against_a_right_clock(
    wall: ManualClock, clock: CorrectedClock
) -> None:
    # The server looked at its clock at once; the reply took nine seconds.
    assert not clock.measure(wall(), wall(), wall() + 9_000)
    assert clock.offset_ms == 0


def test_a_slow_reply_still_tells_of_a_clock_hours_off(
    wall: ManualClock, clock: CorrectedClock
) -> None:
    assert clock.measure(wall() - HOUR, wall(), wall() + 9_000)
    assert abs(clock.offset_ms + HOUR) <= 4_500


@pytest.mark.parametrize("received", [10_001, -1])
def test_a_reply_that_took_too_long_or_came_before_it_was_asked_tells_nothing(
    wall: ManualClock, clock: CorrectedClock, received: int
) -> None:
    assert not clock.measure(wall() + HOUR, wall(), wall() + received)
    assert clock.offset_ms == 0


def test_ticks_are_later_than_what_is_known(wall: ManualClock, clock: CorrectedClock) -> None:
    newest = hlc.tick(wall() + HOUR, "f" * 12)
    assert clock.tick(newest) > newest


def operation(timestamp: str, session: str | None = None) -> Operation:
    data = {} if session is None else {"session": session}
    return Operation(f"{WRITER}-1", "watch_history", "m1", data, timestamp)


def test_a_shift_moves_the_viewing_the_same_engine_named(wall: ManualClock) -> None:
    started, written = hlc.tick(wall(), WRITER), hlc.tick(wall() + 5, WRITER)
    moved = shift_operation(operation(written, started), HOUR)
    assert moved.timestamp == hlc.shift(written, HOUR)
    assert moved.data == {"session": hlc.shift(started, HOUR)}


def test_a_shift_leaves_a_viewing_another_engine_named(wall: ManualClock) -> None:
    started, written = hlc.tick(wall(), "f" * 12), hlc.tick(wall() + 5, WRITER)
    assert shift_operation(operation(written, started), HOUR).data == {"session": started}


def test_a_shift_back_never_leaves_a_viewing_that_starts_after_it(wall: ManualClock) -> None:
    started, written = hlc.tick(wall(), "f" * 12), hlc.tick(wall() + 5, WRITER)
    moved = shift_operation(operation(written, started), -HOUR)
    assert moved.data == {"session": moved.timestamp}


def test_a_shift_leaves_a_deletion_a_deletion(wall: ManualClock) -> None:
    deletion = Operation(f"{WRITER}-1", "ratings", "m1", None, hlc.tick(wall(), WRITER))
    assert shift_operation(deletion, HOUR).data is None


def test_the_system_clock_tells_milliseconds_since_1970() -> None:
    assert system_clock() > 1_700_000_000_000
