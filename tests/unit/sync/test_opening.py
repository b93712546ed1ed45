"""Opening, and agreeing with storage, while another tab is at work on it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.collections import BUILT_IN, Registry
from atiha_web.sync.engine import Engine
from atiha_web.testing.fake_server import FakeDevice
from tests.unit.sync.samples import SETTINGS, OpenTab

REGISTRY = Registry([*BUILT_IN, SETTINGS])


class MeddledStorage(MemoryStorage):
    """Something else happens before one of its reads."""

    def __init__(self, origin: MemoryOrigin) -> None:
        super().__init__(origin)
        self.reads = 0
        self.meddle: Callable[[], Awaitable[object]] | None = None

    async def _count(self) -> None:
        self.reads -= 1
        if self.reads < 0 and self.meddle is not None:
            meddle, self.meddle = self.meddle, None
            await meddle()

    async def read(self, keys: Sequence[str]) -> list[str | None]:
        await self._count()
        return await super().read(keys)

    async def keys(self, prefix: str) -> list[str]:
        await self._count()
        return await super().keys(prefix)


@pytest.fixture
def storage(device: FakeDevice) -> MeddledStorage:
    return MeddledStorage(device.origin)


@pytest.fixture
def engine(device: FakeDevice, storage: MeddledStorage) -> Engine:
    backend = replace(device.backend(), storage=storage)
    return Engine(backend, REGISTRY, "ann")


@pytest.mark.parametrize("reads", range(6))
async def test_a_tab_that_opens_shows_what_is_acknowledged_meanwhile(
    open_tab: OpenTab, engine: Engine, storage: MeddledStorage, reads: int
) -> None:
    other = await open_tab()
    await other.sync()
    await other.write("ratings", "m1", {"rating": 4})
    storage.reads, storage.meddle = reads, other.sync
    # As it is on screen at once, before anything of what others did was heard.
    await engine.local.open()
    assert list(engine.view("ratings")) == ["m1"]


@pytest.mark.parametrize("reads", range(6))
async def test_a_cycle_that_begins_keeps_what_is_acknowledged_meanwhile(
    open_tab: OpenTab, engine: Engine, storage: MeddledStorage, reads: int
) -> None:
    other = await open_tab()
    await other.sync()
    await other.write("ratings", "m1", {"rating": 4})
    await engine.local.open()
    storage.reads, storage.meddle = reads, other.sync
    await engine.reconciler.catch_up()
    assert list(engine.view("ratings")) == ["m1"]


async def test_pages_another_tab_replaced_while_we_read_are_no_damage(
    open_tab: OpenTab, engine: Engine, storage: MeddledStorage
) -> None:
    other = await open_tab()
    await other.write("ratings", "m1", {"rating": 4})
    await other.sync()
    await other.write("ratings", "m2", {"rating": 2})
    # After the manifest was read, and before its pages are.
    storage.reads, storage.meddle = 3, other.sync
    await engine.local.open()
    assert engine.local.problems == []
    assert set(engine.view("ratings")) == {"m1", "m2"}
