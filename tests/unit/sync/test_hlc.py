"""Timestamps: their text orders as they do, and each record's only grow."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atiha_web.errors import InvalidDataError
from atiha_web.sync import hlc
from tests.unit.sync.samples import NOW, OTHER, WRITER

MOMENTS = st.integers(0, hlc.MAX_MS - 1)
WRITERS = st.text("0123456789abcdef", min_size=12, max_size=12)
STAMPS = st.builds(hlc.Timestamp, MOMENTS, st.integers(0, 0xFFFF), WRITERS)


@given(STAMPS)
def test_text_and_back_is_the_same(stamp: hlc.Timestamp) -> None:
    assert hlc.parse(str(stamp)) == stamp


@given(STAMPS, STAMPS)
def test_texts_compare_as_timestamps_do(a: hlc.Timestamp, b: hlc.Timestamp) -> None:
    assert (str(a) < str(b)) == (a < b)


@given(MOMENTS, WRITERS, st.none() | STAMPS.map(str))
def test_a_tick_is_later_than_what_is_known_and_not_before_now(
    now: int, writer: str, newest: str | None
) -> None:
    found = hlc.tick(now, writer, newest)
    assert hlc.is_timestamp(found)
    assert found > (newest or "")
    assert hlc.milliseconds(found) >= now


def test_a_tick_uses_the_clock_where_it_is_ahead() -> None:
    assert hlc.tick(NOW, WRITER, hlc.tick(NOW - 1, OTHER)) == f"{NOW:012x}0000{WRITER}"


@pytest.mark.parametrize("text", ["", "0" * 27, "0" * 29, "G" * 28, "A" * 28, None, 5])
def test_anything_else_is_no_timestamp(text: object) -> None:
    assert not hlc.is_timestamp(text)
    with pytest.raises(InvalidDataError, match="28 lower-case hex digits"):
        hlc.parse(text)  # type: ignore[arg-type]  # the bad input under test


@given(STAMPS.map(str), st.integers(-(10**9), 10**9))
def test_a_shift_keeps_counter_and_writer(stamp: str, delta: int) -> None:
    shifted = hlc.shift(stamp, delta)
    assert shifted[12:] == stamp[12:]
    assert hlc.is_timestamp(shifted)


def test_the_moment_of_a_timestamp() -> None:
    assert hlc.to_datetime(hlc.tick(0, WRITER)) == datetime(1970, 1, 1, tzinfo=UTC)
    assert hlc.from_milliseconds(hlc.MAX_MS) == datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(("text", "known"), [(WRITER, True), ("0" * 11, False), (None, False)])
def test_writers_are_twelve_hex_digits(text: object, known: bool) -> None:
    assert hlc.is_writer(text) is known
