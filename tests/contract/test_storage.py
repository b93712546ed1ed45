"""The contract of storage on every adapter that runs without a browser."""

import resource
import shutil
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

from atiha_web.backends.base import Storage
from atiha_web.backends.file import FileStorage
from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.testing.contracts import QUOTA_CHECKS, STORAGE_CHECKS, Check


class MemoryDocuments:
    """Documents of one origin in memory."""

    quota = 10_000

    def __init__(self, quota: int | None = None) -> None:
        self._origin = MemoryOrigin(quota)

    async def open(self) -> Storage:
        return MemoryStorage(self._origin)

    async def clear(self) -> None:
        self._origin.clear()


@pytest.mark.parametrize("check", STORAGE_CHECKS, ids=attrgetter("__name__"))
async def test_memory(check: Check[MemoryDocuments]) -> None:
    await check(MemoryDocuments())


@pytest.mark.parametrize("check", QUOTA_CHECKS, ids=attrgetter("__name__"))
async def test_memory_with_a_quota(check: Check[MemoryDocuments]) -> None:
    await check(MemoryDocuments(MemoryDocuments.quota))


class FileDocuments:
    """Engines that share a folder; the quota is the kernel's bound on the size of one file."""

    quota = 1024 * 1024

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: list[FileStorage] = []

    async def open(self) -> Storage:
        self._opened.append(await FileStorage.open(self._folder))
        return self._opened[-1]

    async def clear(self) -> None:
        shutil.rmtree(self._folder)

    def close(self) -> None:
        for storage in self._opened:
            storage.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[FileDocuments]:
    documents = FileDocuments(tmp_path / "data")
    yield documents
    documents.close()


@pytest.fixture
def bounded_folder(folder: FileDocuments) -> Iterator[FileDocuments]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FileDocuments.quota, hard))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("check", STORAGE_CHECKS, ids=attrgetter("__name__"))
async def test_file(check: Check[FileDocuments], folder: FileDocuments) -> None:
    await check(folder)


@pytest.mark.parametrize("check", QUOTA_CHECKS, ids=attrgetter("__name__"))
async def test_file_with_a_quota(
    check: Check[FileDocuments], bounded_folder: FileDocuments
) -> None:
    await check(bounded_folder)
