"""Folders, and storages in them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from atiha_web.backends.file import FileStorage

OpenStorage = Callable[[], Awaitable[FileStorage]]


async def everything(storage: FileStorage) -> dict[str, str | None]:
    keys = await storage.keys("")
    return dict(zip(keys, await storage.read(keys), strict=True))


def names(folder: Path, suffix: str) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix == suffix]


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
