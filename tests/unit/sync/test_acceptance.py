"""One call of storage takes in a write with its views; until it returns nobody sends the write."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.collections import BUILT_IN, Registry
from atiha_web.errors import StorageUnavailableError
from atiha_web.sync.names import QUEUE_KEY, Names
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import FakeDevice
from tests.unit.sync.samples import turns

NAMES = Names("ann")


class SlowStorage(MemoryStorage):
    """Answers a write once it may, as a page answers a worker; each is kept in ``writes``."""

    def __init__(self, origin: MemoryOrigin) -> None:
        super().__init__(origin)
        self.may = asyncio.Event()
        self.may.set()
        self.asked = asyncio.Event()
        self.fails = False
        self.writes: list[Mapping[str, str | None]] = []

    async def write(self, changes: Mapping[str, str | None]) -> None:
        self.asked.set()
        await self.may.wait()
        if self.fails:
            raise StorageUnavailableError("gone")
        self.writes.append(changes)
        await super().write(changes)


@pytest.fixture
def storage(device: FakeDevice) -> SlowStorage:
    return SlowStorage(device.origin)


@pytest.fixture
async def tab(device: FakeDevice, storage: SlowStorage) -> Synchronizer:
    """In step with the server; nothing is written any more until a test does."""
    backend = replace(device.backend(), storage=storage)
    tab = Synchronizer(backend, Registry(BUILT_IN), "ann", base_url="", headers=dict, interval=30.0)
    await tab.start(background=False)
    assert (await tab.sync()).ok
    storage.writes.clear()
    storage.asked.clear()
    return tab


async def rate(tab: Synchronizer, stars: int) -> None:
    await tab.write("ratings", "detour", {"rating": stars})


async def test_a_write_is_one_call_with_the_views_that_show_it(
    tab: Synchronizer, storage: SlowStorage
) -> None:
    await rate(tab, 3)
    await rate(tab, 4)
    first, second = (list(write) for write in storage.writes)
    assert [len(first), len(second)] == [3, 4]
    assert first[0].startswith(NAMES.journal)
    assert second[0].startswith(NAMES.journal)
    assert second[1] == first[0], "what is replaced goes after what replaces it is there"
    assert first[1:] == second[2:] == [NAMES.view("ratings"), QUEUE_KEY]
    await tab.stop()


async def test_what_is_not_stored_yet_is_not_sent(tab: Synchronizer, storage: SlowStorage) -> None:
    storage.may.clear()
    writing = asyncio.ensure_future(rate(tab, 3))
    await storage.asked.wait()
    asking = asyncio.ensure_future(tab._cycle._batch())  # type: ignore[attr-defined]  # as a cycle
    await turns()
    assert tab._cycle.parting_request() is None
    assert not asking.done()
    storage.may.set()
    await writing
    assert len((await asking).operations) == 1
    await tab.stop()


async def test_a_write_that_fails_leaves_everything_as_it_was(
    tab: Synchronizer, storage: SlowStorage
) -> None:
    await rate(tab, 3)
    local = tab.engine.local
    before = dict(local.memory.pending), dict(local.made), dict(local.successors)
    storage.fails = True
    with pytest.raises(StorageUnavailableError):
        await rate(tab, 5)
    assert (local.memory.pending, local.made, local.successors) == before
    state = tab.engine.view("ratings")["detour"]
    assert state.data is not None
    assert state.data["rating"] == 3
    storage.fails = False
    await rate(tab, 4)
    [shown] = await storage.read([NAMES.view("ratings")])
    assert shown is not None
    assert '"rating":4' in shown
    await tab.stop()
