"""Merging segments: what is kept, what is chosen, and dying at each step of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atiha_web.backends.file import disk
from atiha_web.backends.file.compaction import (
    FEW,
    MERGED,
    MOST,
    SMALL,
    choose,
    compact_dead,
    compact_own,
    merge,
)
from atiha_web.backends.file.reader import Reader, list_segments
from atiha_web.backends.file.segments import HEADER, Record, encode
from tests.unit.backends.conftest import OpenStorage

STEPS = ("open_file", "write", "sync", "rename", "sync_folder", "remove")


class DiedError(BaseException):
    """The process is no more: nothing catches this."""


def put(folder: Path, name: str, *records: Record) -> Path:
    path = folder / f"{name * 16}.segment"
    path.write_bytes(HEADER + b"".join(map(encode, records)))
    return path


def values(folder: Path) -> dict[str, str]:
    reader = Reader(folder)
    reader.refresh()
    return reader.values


# -- decisions -----------------------------------------------------------------------------


def test_the_newest_value_of_each_key_is_kept_in_order() -> None:
    records = [Record(4, "x", "4"), Record(1, "x", "1"), Record(2, "y", "2")]
    assert merge(records, set()) == [Record(2, "y", "2"), Record(4, "x", "4")]


def test_a_removal_goes_with_the_last_value_it_hides() -> None:
    records = [Record(1, "x", "1"), Record(2, "x", None)]
    assert merge(records, set()) == []
    assert merge(records, {"x"}) == [Record(2, "x", None)]


def test_a_few_small_segments_are_left_alone() -> None:
    assert choose({f"{n}.segment": 100 for n in range(FEW - 1)}, set()) == []
    assert len(choose({f"{n}.segment": 100 for n in range(FEW)}, set())) == FEW


def test_a_large_segment_is_merged_once_and_not_again() -> None:
    assert choose({"a.segment": SMALL}, set()) == ["a.segment"]
    assert choose({f"{MERGED}a.segment": 10 * SMALL}, set()) == []


def test_a_merged_segment_is_taken_with_as_much_as_half_of_it() -> None:
    merged = f"{MERGED}a.segment"
    assert choose({merged: 4 * SMALL, "b.segment": SMALL}, set()) == ["b.segment"]
    assert merged in choose({merged: 4 * SMALL, "b.segment": 2 * SMALL}, set())


def test_a_damaged_segment_is_always_taken() -> None:
    assert choose({"a.segment": 100, f"{MERGED}b.segment": 2 * SMALL}, {"a.segment"})[0] == (
        "a.segment"
    )


@given(st.lists(st.integers(0, MOST), max_size=20))
def test_one_merging_is_bounded(sizes: list[int]) -> None:
    dead = {f"{n}.segment": size for n, size in enumerate(sizes)}
    assert sum(dead[name] for name in choose(dead, set())) <= MOST


# -- merging -------------------------------------------------------------------------------


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    """Four dead segments with values that were replaced and removed across them."""
    put(tmp_path, "a", Record(1, "removed", "1"), Record(2, "replaced", "2"), Record(3, "kept", ""))
    put(tmp_path, "b", Record(4, "removed", None), Record(6, "replaced", "6"))
    put(tmp_path, "c", Record(5, "again", "5"), Record(7, "again", None))
    put(tmp_path, "d", Record(8, "again", "8"))
    return tmp_path


EXPECTED = {"kept": "", "replaced": "6", "again": "8"}


def test_dead_segments_become_one(dead: Path) -> None:
    compact_dead(dead, set())
    [name] = list_segments(dead)
    assert name.startswith(MERGED)
    assert values(dead) == EXPECTED


async def test_a_segment_is_left_alone_while_its_storage_lives(
    dead: Path, folder: Path, open_storage: OpenStorage
) -> None:
    living = await open_storage()
    await living.write({"living": "1"})
    [name] = list_segments(folder)
    for other in list_segments(dead):
        disk.rename(dead / other, folder / other)
    compact_dead(folder, set())
    assert name in list_segments(folder)
    assert len(list_segments(folder)) == 2


async def test_a_removal_stays_while_a_living_segment_has_an_older_value(
    folder: Path, open_storage: OpenStorage
) -> None:
    living, dying = await open_storage(), await open_storage()
    await living.write({"key": "value"})
    await dying.write({"key": None})
    [own] = [path for path in list_segments(folder) if path != living._own.path.name]  # type: ignore[union-attr]  # it has written
    dying.close()
    assert compact_own(folder, own) is not None
    assert values(folder) == {}


def test_nobody_merges_while_another_does(dead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = disk.rename

    def meanwhile(source: Path, target: Path) -> None:
        monkeypatch.setattr(disk, "rename", real)
        before = list_segments(dead)
        compact_dead(dead, set())
        assert list_segments(dead) == before
        real(source, target)

    monkeypatch.setattr(disk, "rename", meanwhile)
    compact_dead(dead, set())
    assert len(list_segments(dead)) == 1


def test_a_segment_that_grew_meanwhile_is_not_replaced(
    dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = disk.sync

    def meanwhile(descriptor: int) -> None:
        real(descriptor)
        with (dead / f"{'d' * 16}.segment").open("ab") as file:
            file.write(encode(Record(9, "late", "9")))

    monkeypatch.setattr(disk, "sync", meanwhile)
    compact_dead(dead, set())
    assert values(dead) == {**EXPECTED, "late": "9"}


def test_a_damaged_segment_is_kept_aside(dead: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = dead / f"{'a' * 16}.segment"
    damaged = path.read_bytes().replace(b"replaced", b"REPLACED")
    path.write_bytes(damaged)
    compact_dead(dead, {path.name})
    assert path.with_suffix(".damaged").read_bytes() == damaged
    assert f"{'a' * 16}.damaged" in caplog.text
    assert values(dead) == EXPECTED


def test_the_new_segment_lasts_before_the_old_ones_go(
    dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    for name in ("sync", "rename", "sync_folder", "remove"):
        monkeypatch.setattr(disk, name, _noting(steps, name, getattr(disk, name)))
    compact_dead(dead, set())
    assert steps[:3] == ["sync", "rename", "sync_folder"]
    assert set(steps[3:]) == {"remove"}


def _noting(steps: list[str], name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*args: Any) -> Any:
        steps.append(name)
        return real(*args)

    return noted


def test_dying_at_any_step_loses_nothing(dead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = {path.name: path.read_bytes() for path in dead.glob("*.segment")}
    died_at = 0
    while True:
        for path in dead.iterdir():
            path.unlink()
        for name, data in segments.items():
            (dead / name).write_bytes(data)
        if not _dies_in_step(died_at, monkeypatch, lambda: compact_dead(dead, set())):
            break
        assert values(dead) == EXPECTED, f"died at step {died_at}"
        for name in "ef12":
            put(dead, name, Record(20 + int(name, 16), name, ""))
        compact_dead(dead, set())
        assert values(dead) == {**EXPECTED, **dict.fromkeys("ef12", "")}
        assert not list(dead.glob("*.tmp"))
        died_at += 1
    assert died_at > len(segments) + len(STEPS)


def _dies_in_step(step: int, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> bool:
    """Let ``action`` die before its step of that number; whether it has so many."""
    done = 0

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            nonlocal done
            done += 1
            if done > step:
                raise DiedError
            return real(*args, **named)

        return call

    with monkeypatch.context() as patch:
        for name in STEPS:
            patch.setattr(disk, name, dying(getattr(disk, name)))
        try:
            action()
        except DiedError:
            return True
    return False
