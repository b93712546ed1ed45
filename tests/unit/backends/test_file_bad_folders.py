"""Folders that cannot be used, and segments that were spoilt: typed errors, nothing destroyed."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from atiha_web.backends.file import FileStorage, disk
from atiha_web.backends.file.reader import list_segments
from atiha_web.backends.file.segments import HEADER, Record, encode
from atiha_web.errors import StorageUnavailableError
from tests.unit.backends.conftest import OpenStorage, everything, names


def put_segment(folder: Path, data: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{'a' * 16}.segment"
    path.write_bytes(data)
    return path


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
