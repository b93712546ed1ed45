"""The storage in a folder: what it costs, what it keeps when the disk fails, what it refuses."""

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from atiha_web.backends.base import StorageChange
from atiha_web.backends.file import FileStorage, disk, locks
from atiha_web.backends.file.own_segment import ROLL_OVER
from atiha_web.backends.file.reader import list_segments
from atiha_web.backends.file.segments import HEADER, Record, encode
from atiha_web.errors import (
    ClosedError,
    SaveError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from tests.unit.backends.conftest import OpenStorage

PATIENCE = 10.0


async def everything(storage: FileStorage) -> dict[str, str | None]:
    keys = await storage.keys("")
    return dict(zip(keys, await storage.read(keys), strict=True))


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


def names(folder: Path, suffix: str) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix == suffix]


def put_segment(folder: Path, data: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{'a' * 16}.segment"
    path.write_bytes(data)
    return path


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


# -- bad folders ---------------------------------------------------------------------------


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Path]:
    """A folder of a user without special rights, who runs the test."""
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o111)
    folder = tmp_path / "theirs"
    folder.mkdir()
    put_segment(folder, b"")
    for path in (folder, *folder.iterdir()):
        os.chown(path, user, -1)
    before = os.geteuid()
    os.seteuid(user)
    yield folder
    os.seteuid(before)


def permit(path: Path, mode: int) -> None:
    path.chmod(mode)


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_only_the_owner_can_read_it(folder: Path, open_storage: OpenStorage) -> None:
    storage = await open_storage()
    await storage.write({"key": "value"})
    assert modes(folder.parent) == {0o700}
    assert modes(folder) == {0o600}


async def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    for folder in (path, path / "below"):
        with pytest.raises(StorageUnavailableError, match="is no folder"):
            await FileStorage.open(folder)
    assert path.read_text() == "mine"


async def test_a_folder_that_cannot_be_written_is_refused(unprivileged: Path) -> None:
    permit(unprivileged, 0o500)
    with pytest.raises(StorageUnavailableError, match="permissions"):
        await FileStorage.open(unprivileged)


async def test_a_segment_that_cannot_be_read_is_named(unprivileged: Path) -> None:
    [name] = list_segments(unprivileged)
    permit(unprivileged / name, 0)
    with pytest.raises(StorageUnavailableError, match=name):
        await FileStorage.open(unprivileged)
    assert name in list_segments(unprivileged)


async def test_a_file_system_without_locks_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("filelock.lock_descriptor", no_locks)
    with pytest.raises(StorageUnavailableError, match="local disk"):
        await FileStorage.open(folder)


async def test_a_newer_form_is_refused_and_left_alone(folder: Path) -> None:
    path = put_segment(folder, b"#atiha_web segment 2\nunknown")
    with pytest.raises(StorageUnavailableError, match="upgrade"):
        await FileStorage.open(folder)
    assert disk.read(path, 0) == b"#atiha_web segment 2\nunknown"


VALUES = {"a": "first", "b": "second", "c": "third"}
GOOD = HEADER + b"".join(encode(Record(n, *item)) for n, item in enumerate(VALUES.items(), 1))


@pytest.mark.parametrize(
    ("spoilt", "lost"),
    [
        (GOOD[:-3], "c"),
        (GOOD.replace(b"second", b"SECOND"), "b"),
        (GOOD.replace(HEADER, HEADER + b"noise"), ""),
        (GOOD.replace(HEADER, b"noise"), ""),
        (GOOD + bytes(50), ""),
        (b"noise", "abc"),
    ],
    ids=["cut", "flipped", "noise", "no header", "zeros", "nothing of ours"],
)
async def test_whatever_happened_to_a_segment_the_rest_of_it_is_kept(
    folder: Path, open_storage: OpenStorage, spoilt: bytes, lost: str
) -> None:
    path = put_segment(folder, spoilt)
    storage = await open_storage()
    await storage.write({"new": "1"})
    kept = {key: value for key, value in VALUES.items() if key not in lost}
    for one in (storage, await open_storage()):
        assert await everything(one) == {**kept, "new": "1"}
    aside = path.with_suffix(".damaged")
    assert disk.read(aside if names(folder, ".damaged") else path, 0) == spoilt
