"""Folders, storages in them, and disks that fail."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from atiha_web.backends.file import FileStorage

OpenStorage = Callable[[], Awaitable[FileStorage]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def open_storage(folder: Path) -> AsyncIterator[OpenStorage]:
    """Opens one more storage on the test's folder; all are closed at the end."""
    opened: list[FileStorage] = []

    async def open_one() -> FileStorage:
        opened.append(await FileStorage.open(folder))
        return opened[-1]

    yield open_one
    for storage in opened:
        storage.close()
