"""Opening, and agreeing with storage, while another tab is at work on it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from atiha_web.backends.base import StorageChange
from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.collections import BUILT_IN, Registry
from atiha_web.sync.engine import Engine
from atiha_web.sync.journal import encode_quarantined
from atiha_web.sync.replica import Quarantined
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import FakeDevice
from tests.unit.sync.samples import SETTINGS, OpenTab, queue_of, turns

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


async def test_who_died_as_an_operation_was_refused_leaves_it_refused(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    before = await open_tab()
    refused = await refused_by_half(before, device)
    await before.stop()
    tab = await open_tab()
    assert (queue_of(tab), [each.operation.id for each in tab.engine.quarantined]) == (0, [refused])
    assert f"atiha:ann:j:{refused}" not in device.origin.items


async def test_what_was_refused_by_half_and_is_dropped_is_gone(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    refused = await refused_by_half(tab, device)
    await turns()
    await tab.engine.drop_quarantined([refused])
    assert (queue_of(tab), tab.engine.quarantined) == (0, [])
    assert [key for key in device.origin.items if refused in key] == []


async def refused_by_half(tab: Synchronizer, device: FakeDevice) -> str:
    """Another tab puts an operation into quarantine, and dies before it takes it out elsewhere."""
    operation = (await tab.write("ratings", "m1", {"rating": 4})).operation
    assert operation is not None
    text = encode_quarantined(Quarantined(operation, "invalid", "no"))
    device.origin.set(f"atiha:ann:q:{operation.id}", text)
    device.origin.documents[0].deliver(StorageChange(f"atiha:ann:q:{operation.id}", text))
    return operation.id
