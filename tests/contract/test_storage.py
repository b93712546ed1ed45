"""The contract of storage on every adapter that runs without a browser."""

from operator import attrgetter

import pytest

from atiha_web.backends.base import Storage
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
