"""The bytes of a segment: whole, cut short, damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atiha_web.backends.file.segments import (
    HEADER,
    MAGIC,
    START,
    Record,
    Summary,
    encode,
    encode_summary,
    parse,
    whole_frames,
)
from atiha_web.errors import StorageUnavailableError

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
RECORDS = [
    Record(3, "key", "value"),
    Record(4, "key", None),
    Record(7, "é🎬", ""),
    Record(9, "", "last"),
]
FRAMES = [encode(record) for record in RECORDS]
SEGMENT = MAGIC + b"".join(FRAMES)


@given(st.lists(st.builds(Record, st.integers(0, 2**63), TEXT, st.none() | TEXT)))
def test_any_text_comes_back(records: list[Record]) -> None:
    contents = parse(MAGIC + b"".join(map(encode, records)), START)
    assert contents.records == records
    assert not contents.damaged


def test_a_summary_comes_back() -> None:
    summary = Summary(("a.segment", "b.segment"), 17)
    contents = parse(MAGIC + encode_summary(summary) + FRAMES[0], START)
    assert contents.summary == summary
    assert contents.order == 3


@pytest.mark.parametrize("size", range(len(SEGMENT)))
def test_a_segment_cut_anywhere_gives_all_whole_records(size: int) -> None:
    whole, length = whole_frames(FRAMES, size - len(MAGIC))
    contents = parse(SEGMENT[:size], START)
    assert contents.records == RECORDS[:whole]
    assert contents.end == (START + len(MAGIC) + length if size >= len(MAGIC) else START)
    assert not contents.damaged


@pytest.mark.parametrize("position", range(len(MAGIC), len(SEGMENT)))
def test_a_flipped_bit_costs_one_record(position: int) -> None:
    hit = len([size for size in range(len(FRAMES)) if position >= _begin(size)]) - 1
    for bit in range(8):
        data = bytearray(SEGMENT)
        data[position] ^= 1 << bit
        assert parse(bytes(data), START).records == RECORDS[:hit] + RECORDS[hit + 1 :]


def test_damage_in_the_middle_is_named_by_its_offsets() -> None:
    data = SEGMENT.replace(b"value", b"vague")
    contents = parse(data, START)
    assert contents.skipped == [(START + _begin(0), START + _begin(1))]
    assert contents.damaged


def test_zeros_at_the_end_are_damage() -> None:
    assert parse(SEGMENT + bytes(100), START).damaged


def test_a_stretch_is_read_from_its_offset() -> None:
    data = SEGMENT[_begin(2) :]
    contents = parse(data, 1000)
    assert contents.records == RECORDS[2:]
    assert contents.end == 1000 + len(data)


def test_a_newer_form_is_refused() -> None:
    with pytest.raises(StorageUnavailableError, match="upgrade"):
        parse(SEGMENT.replace(b"segment 1", b"segment 12"), START)


def test_the_first_byte_is_not_read() -> None:
    assert HEADER[START:] == MAGIC


def _begin(frame: int) -> int:
    return len(MAGIC) + sum(map(len, FRAMES[:frame]))
