"""The storage in a folder: what it costs, what it keeps when the disk fails, what it refuses."""

import asyncio
import errno
import os
import shutil
from pathlib import Path

import pytest

from atiha_web.backends.base import StorageChange
from atiha_web.backends.file import FileStorage, disk, locks
from atiha_web.backends.file.own_segment import ROLL_OVER
from atiha_web.backends.file.reader import list_segments
from atiha_web.backends.file.segments import Record, encode
from atiha_web.errors import (
    ClosedError,
    SaveError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from tests.unit.backends.conftest import OpenStorage, everything, names

PATIENCE = 10.0


def failing_write(monkeypatch: pytest.MonkeyPatch, code: int, room: int) -> None:
    """From now on the disk takes ``room`` more bytes and then answers with an error."""
    real = disk.write

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(code, os.strerror(code))
        taken = real(descriptor, data[:room])
        room -= taken
        return taken

    monkeypatch.setattr(disk, "write", write)


# -- what it costs -------------------------------------------------------------------------


async def test_a_write_costs_the_same_whatever_is_stored(
    open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await open_storage()
    moved: list[int] = []
    write, read = disk.write, disk.read

    def counted_write(descriptor: int, data: memoryview) -> int:
        moved.append(len(data))
        return write(descriptor, data)

    def counted_read(path: Path, offset: int) -> bytes:
        data = read(path, offset)
        moved.append(len(data))
        return data

    monkeypatch.setattr(disk, "write", counted_write)
    monkeypatch.setattr(disk, "read", counted_read)
    await storage.write({"key": "first"})
    for count in (10, 5_000):
        await storage.write({f"{n:05}": "some text" for n in range(count)})
        moved.clear()
        await storage.write({f"key-{count:05}": "value"})
        assert moved == [len(encode(Record(1, "key-00010", "value")))]


async def test_a_value_written_for_months_takes_a_bounded_space(
    folder: Path, open_storage: OpenStorage
) -> None:
    storage, other = await open_storage(), await open_storage()
    await storage.write({"kept": "value"})
    for n in range(60):
        await storage.write({"key": f"{n}" + "x" * (ROLL_OVER // 10), f"old-{n - 1}": None})
        await storage.write({f"old-{n}": "1"})
        assert sum(list_segments(folder).values()) < 3 * ROLL_OVER
    assert await everything(other) == await everything(storage)
    assert (await other.read(["kept", "old-58", "old-59"])) == ["value", None, "1"]


async def test_many_short_lives_leave_few_segments(folder: Path) -> None:
    for n in range(40):
        storage = await FileStorage.open(folder)
        await storage.write({f"{n:02}": "value", "last": str(n)})
        storage.close()
    assert len(list_segments(folder)) < 10
    storage = await FileStorage.open(folder)
    assert len(await storage.keys("")) == 41
    storage.close()


async def test_what_changes_nothing_is_not_written(folder: Path, open_storage: OpenStorage) -> None:
    storage = await open_storage()
    await storage.write({"key": "value"})
    sizes = list_segments(folder)
    await storage.write({"key": "value", "missing": None})
    assert list_segments(folder) == sizes


# -- a failing disk ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, StorageFullError),
        (errno.EDQUOT, StorageFullError),
        (errno.EIO, StorageUnavailableError),
    ],
)
async def test_a_failed_write_keeps_what_stood_before_it(
    folder: Path,
    open_storage: OpenStorage,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    error: type[StorageError],
) -> None:
    storage = await open_storage()
    await storage.write({"a": "old", "b": "old"})
    [size] = list_segments(folder).values()
    first = len(encode(Record(3, "a", "new")))
    for torn in range(3):
        with monkeypatch.context() as patch:
            failing_write(patch, code, (0 if torn else first) + 5 * torn)
            with pytest.raises(error) as caught:
                await storage.write({"a": "new", "b": "new", "c": "new"})
        assert isinstance(caught.value.__cause__, OSError)
        assert list(list_segments(folder).values()) == [size + first]
        assert await everything(storage) == {"a": "new", "b": "old"}
    await storage.write({"b": "newer"})
    assert await everything(await open_storage()) == {"a": "new", "b": "newer"}


async def test_a_segment_that_cannot_be_cut_back_is_given_up(
    folder: Path, open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await open_storage()
    await storage.write({"a": "old"})
    with monkeypatch.context() as patch:
        failing_write(patch, errno.EIO, 5)
        patch.setattr(disk, "truncate", _refuse)
        with pytest.raises(StorageUnavailableError):
            await storage.write({"a": "new"})
    await storage.write({"b": "1"})
    assert len(list_segments(folder)) == 2
    assert await everything(await open_storage()) == {"a": "old", "b": "1"}


async def test_a_full_disk_is_tried_again_without_what_is_outdated(
    folder: Path, open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await open_storage()
    for n in range(20):
        await storage.write({"key": f"{n:04}"})
    real, bound = disk.write, sum(list_segments(folder).values())

    def bounded(descriptor: int, data: memoryview) -> int:
        if os.fstat(descriptor).st_size + len(data) > bound:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(disk, "write", bounded)
    await storage.write({"more": "value"})
    assert await everything(await open_storage()) == {"key": "0019", "more": "value"}


async def test_old_segments_on_a_full_disk_can_still_be_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(6):
        storage = await FileStorage.open(folder)
        await storage.write({f"{n}": "value"})
        storage.close()
    with monkeypatch.context() as patch:
        failing_write(patch, errno.ENOSPC, 0)
        storage = await FileStorage.open(folder)
    assert len(await storage.keys("")) == 6
    assert not names(folder, ".tmp")
    storage.close()


def _refuse(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


# -- making it last ------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is synced from now on, in order."""
    names: list[str] = []
    sync, sync_folder = disk.sync, disk.sync_folder

    def note_file(descriptor: int) -> None:
        names.append("file")
        sync(descriptor)

    def note_folder(folder: Path) -> None:
        names.append("folder")
        sync_folder(folder)

    monkeypatch.setattr(disk, "sync", note_file)
    monkeypatch.setattr(disk, "sync_folder", note_folder)
    return names


async def test_a_write_alone_syncs_nothing(open_storage: OpenStorage, synced: list[str]) -> None:
    storage = await open_storage()
    await storage.write({"key": "value"})
    await storage.flush("local")
    assert synced == []


async def test_a_flush_to_disk_syncs_file_and_folder(
    open_storage: OpenStorage, synced: list[str]
) -> None:
    storage = await open_storage()
    await storage.write({"key": "value"})
    await storage.flush("disk")
    assert synced == ["file", "folder"]


async def test_a_flush_of_what_is_on_disk_does_nothing(
    open_storage: OpenStorage, synced: list[str]
) -> None:
    storage = await open_storage()
    await storage.write({"key": "value"})
    await storage.flush("disk")
    await storage.flush("disk")
    assert synced.count("file") == 1


async def test_flushes_at_once_share_a_sync(open_storage: OpenStorage, synced: list[str]) -> None:
    storage = await open_storage()

    async def save(n: int) -> None:
        await storage.write({f"{n}": "value"})
        await storage.flush("disk")

    await asyncio.gather(*(save(n) for n in range(50)))
    assert synced.count("file") <= 3


async def test_a_flush_covers_what_other_processes_wrote(
    open_storage: OpenStorage, synced: list[str]
) -> None:
    ours, other = await open_storage(), await open_storage()
    await other.write({"key": "value"})
    await ours.read(["key"])
    await ours.flush("disk")
    assert synced.count("file") == 1


async def test_a_failed_sync_is_told_and_the_segment_rewritten(
    folder: Path, open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await open_storage()
    await storage.write({"key": "value"})
    before = set(list_segments(folder))
    with monkeypatch.context() as patch:
        patch.setattr(disk, "sync", _refuse)
        for _ in range(2):
            with pytest.raises(SaveError, match="check the disk"):
                await storage.flush("disk")
    await storage.flush("disk")
    assert not before & set(list_segments(folder))
    assert await everything(await open_storage()) == {"key": "value"}


async def test_a_flush_of_what_was_cleared_meanwhile_fails(
    folder: Path, open_storage: OpenStorage
) -> None:
    storage = await open_storage()
    await storage.write({"key": "value"})
    shutil.rmtree(folder)
    with pytest.raises(SaveError, match="cleared"):
        await storage.flush("disk")


# -- several engines -----------------------------------------------------------------------


async def test_nobody_looks_at_the_folder_while_nobody_listens(
    open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await open_storage()
    unsubscribe = storage.subscribe(lambda _: None)
    unsubscribe()
    assert storage._timer is not None
    storage._timer.cancel()
    storage._poll()
    assert storage._timer is None


async def test_a_change_is_heard_within_a_second(open_storage: OpenStorage) -> None:
    ours, other = await open_storage(), await open_storage()
    heard: asyncio.Queue[StorageChange] = asyncio.Queue()
    other.subscribe(heard.put_nowait)
    await ours.write({"key": "value"})
    async with asyncio.timeout(1):
        assert await heard.get() == StorageChange("key", "value")


async def test_listening_goes_on_after_the_folder_could_not_be_read(
    open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours, other = await open_storage(), await open_storage()
    heard: asyncio.Queue[StorageChange] = asyncio.Queue()
    other.subscribe(heard.put_nowait)
    with monkeypatch.context() as patch:
        patch.setattr(other._reader, "refresh", _refuse)
        other._poll()
        other._poll()
    assert len([r for r in caplog.records if "not seen" in r.message]) == 1
    await ours.write({"key": "value"})
    async with asyncio.timeout(PATIENCE):
        assert await heard.get() == StorageChange("key", "value")


async def test_what_is_written_after_a_clearing_is_found(
    folder: Path, open_storage: OpenStorage
) -> None:
    storage = await open_storage()
    await storage.write({"old": "1"})
    shutil.rmtree(folder)
    await storage.write({"new": "2"})
    assert await everything(await open_storage()) == {"new": "2"}


async def test_a_suspended_writer_gives_a_typed_error(
    folder: Path, open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await open_storage()
    monkeypatch.setattr("atiha_web.backends.file.storage.PATIENCE", 0.05)
    with (
        locks.hold_blocking(folder / "write.lock", 0),
        pytest.raises(StorageUnavailableError, match="wake it up"),
    ):
        await storage.write({"key": "value"})
    await storage.write({"key": "value"})


async def test_a_closed_storage_takes_nothing(open_storage: OpenStorage) -> None:
    storage = await open_storage()
    storage.close()
    storage.close()
    with pytest.raises(ClosedError):
        await storage.write({"key": "value"})
