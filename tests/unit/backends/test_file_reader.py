"""One mapping out of many segments, while others append, merge and remove them."""

import os
from pathlib import Path

import pytest

from atiha_web.backends.base import StorageChange
from atiha_web.backends.file import disk
from atiha_web.backends.file.reader import Reader
from atiha_web.backends.file.segments import HEADER, Record, Summary, encode, encode_summary

CLEARED = StorageChange(None, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def reader(folder: Path) -> Reader:
    return Reader(folder)


def put(folder: Path, name: str, *records: Record, summary: Summary | None = None) -> Path:
    """Make a segment, or append to it; ``name`` is one hex digit."""
    path = folder / segment(name)
    head = b"" if path.exists() else HEADER + (encode_summary(summary) if summary else b"")
    with path.open("ab") as file:
        file.write(head + b"".join(map(encode, records)))
    return path


def segment(name: str) -> str:
    return f"{name * 16}.segment"


def test_a_missing_folder_is_empty(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "missing")
    assert reader.refresh() == []
    assert reader.values == {}


def test_the_highest_order_wins_across_segments(folder: Path, reader: Reader) -> None:
    put(folder, "a", Record(1, "key", "old"), Record(4, "other", "4"))
    put(folder, "b", Record(3, "key", "new"))
    reader.refresh()
    assert reader.values == {"key": "new", "other": "4"}


def test_changes_are_told_in_order_across_segments(folder: Path, reader: Reader) -> None:
    put(folder, "a", Record(2, "x", "2"), Record(3, "y", "3"))
    put(folder, "b", Record(1, "x", "1"), Record(4, "y", None))
    told = [("x", "1"), ("x", "2"), ("y", "3"), ("y", None)]
    assert reader.refresh() == [StorageChange(*change) for change in told]


def test_only_what_was_appended_is_told(folder: Path, reader: Reader) -> None:
    put(folder, "a", Record(1, "x", "1"))
    reader.refresh()
    put(folder, "a", Record(2, "y", "2"))
    assert reader.refresh() == [StorageChange("y", "2")]
    assert reader.refresh() == []


def test_a_half_written_record_is_told_once_it_is_whole(folder: Path, reader: Reader) -> None:
    put(folder, "a", Record(1, "x", "1"))
    reader.refresh()
    frame = encode(Record(2, "y", "2"))
    with (folder / segment("a")).open("ab", buffering=0) as file:
        file.write(frame[:-1])
        assert reader.refresh() == []
        file.write(frame[-1:])
    assert reader.refresh() == [StorageChange("y", "2")]


def test_a_later_change_waits_for_an_earlier_one_that_was_not_seen(
    folder: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are appended between the reading of two segments, the earlier one to the first read."""
    put(folder, "a", Record(1, "x", "1"))
    put(folder, "b", Record(2, "x", "2"))
    reader.refresh()
    put(folder, "b", Record(4, "x", "4"))
    collect = reader._collect

    def late() -> None:
        collect()
        if not late_records:
            late_records.append(put(folder, "a", Record(3, "x", "3"), Record(5, "x", "5")))

    late_records: list[Path] = []
    monkeypatch.setattr(reader, "_collect", late)
    assert reader.refresh() == [StorageChange("x", "3"), StorageChange("x", "4")]
    assert reader.refresh() == [StorageChange("x", "5")]


def test_a_segment_that_went_without_successor_means_cleared(folder: Path, reader: Reader) -> None:
    path = put(folder, "a", Record(1, "x", "1"))
    put(folder, "b", Record(2, "y", "2"))
    reader.refresh()
    path.unlink()
    assert reader.refresh() == [CLEARED, StorageChange("y", "2")]
    assert reader.clearings == 1


def test_a_segment_that_shrank_means_cleared(folder: Path, reader: Reader) -> None:
    path = put(folder, "a", Record(1, "x", "1"), Record(2, "y", "2"))
    reader.refresh()
    os.truncate(path, path.stat().st_size - 1)
    assert reader.refresh() == [CLEARED, StorageChange("x", "1")]


def test_another_folder_of_the_same_name_means_cleared(folder: Path, reader: Reader) -> None:
    lock = folder / "write.lock"
    lock.touch()
    reader.refresh()
    lock.unlink()
    assert reader.refresh() == [CLEARED]


def test_a_merged_segment_continues_those_it_replaces(folder: Path, reader: Reader) -> None:
    old = put(folder, "a", Record(1, "x", "1"), Record(2, "x", "2"))
    reader.refresh()
    put(folder, "b", Record(2, "x", "2"), summary=Summary((segment("a"),), 2))
    old.unlink()
    assert reader.refresh() == []
    assert reader.values == {"x": "2"}
    put(folder, "b", Record(3, "x", "3"))
    assert reader.refresh() == [StorageChange("x", "3")]


def test_what_a_merged_segment_replaces_is_ignored_while_it_is_still_there(
    folder: Path, reader: Reader
) -> None:
    """Its removal stood in another one, which is gone already."""
    put(folder, "a", Record(1, "removed", "1"))
    put(folder, "c", Record(3, "x", "3"), summary=Summary((segment("a"), segment("b")), 3))
    reader.refresh()
    assert reader.values == {"x": "3"}


def test_what_is_ignored_is_not_read_again(
    folder: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "a", Record(1, "x", "1"))
    put(folder, "c", Record(1, "x", "1"), summary=Summary((segment("a"),), 1))
    reader.refresh()
    monkeypatch.setattr(disk, "read", None)
    assert reader.refresh() == []


def test_who_missed_a_removal_learns_it_from_a_merged_segment(folder: Path, reader: Reader) -> None:
    old = put(folder, "a", Record(1, "removed", "1"), Record(2, "kept", "2"))
    reader.refresh()
    put(folder, "c", Record(2, "kept", "2"), summary=Summary((segment("a"), segment("b")), 3))
    old.unlink()
    assert reader.refresh() == [StorageChange("removed", None)]
    assert reader.clearings == 0


def test_orders_go_on_behind_what_a_merging_left_out(folder: Path, reader: Reader) -> None:
    put(folder, "c", summary=Summary((segment("a"),), 9))
    reader.refresh()
    assert reader.order == 9


def test_other_files_are_left_alone(folder: Path, reader: Reader) -> None:
    for name in ("notes.txt", "x.segment", f"{'a' * 16}.segment.tmp", f"{'a' * 16}.damaged"):
        (folder / name).write_text("mine")
    assert reader.refresh() == []
    assert reader.damaged == set()
