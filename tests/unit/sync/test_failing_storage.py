"""Storage that does not answer once, as when a worker loses its page, costs no cached row."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

import pytest

from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.collections import BUILT_IN, Registry
from atiha_web.errors import StorageUnavailableError
from atiha_web.sync import pages
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import FakeDevice, FakeServer, ManualClock
from tests.unit.sync.samples import OpenTab, rating

KEYS = [f"m{number}" for number in range(12)]


class FailingStorage(MemoryStorage):
    """Fails at the ``left``-th call from now, that one only."""

    def __init__(self, origin: MemoryOrigin) -> None:
        super().__init__(origin)
        self.left = -1

    def _call(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise StorageUnavailableError("gone for a moment")

    async def read(self, keys: Sequence[str]) -> list[str | None]:
        self._call()
        return await super().read(keys)

    async def write(self, changes: Mapping[str, str | None]) -> None:
        self._call()
        await super().write(changes)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_UNITS", 400)


@pytest.fixture
async def tv(server: FakeServer, wall: ManualClock, open_tab: OpenTab) -> Synchronizer:
    return await open_tab(FakeDevice(server, now_ms=wall))


async def rate_all(tab: Synchronizer, stars: int) -> None:
    for key in KEYS:
        await tab.write("ratings", key, {"rating": stars, "review": "x" * 100})
    assert (await tab.sync()).ok


async def opened_offline(device: FakeDevice) -> dict[str, int | None]:
    """What a page shows that opens now, without network."""
    device.set_online(False)
    backend = device.backend(MemoryStorage(device.origin))
    tab = Synchronizer(backend, Registry(BUILT_IN), "ann", base_url="", headers=dict, interval=30.0)
    await tab.start(background=False)
    assert tab.status().problems == ()
    shown = {key: rating(tab, key) for key in tab.engine.view("ratings")}
    await tab.stop()
    device.set_online(True)
    return shown


async def test_the_next_reply_stores_what_the_one_before_could_not(
    server: FakeServer, wall: ManualClock, tv: Synchronizer
) -> None:
    for call in count(1):
        await rate_all(tv, 3)
        device = FakeDevice(server, now_ms=wall)
        storage = FailingStorage(device.origin)
        backend = replace(device.backend(), storage=storage)
        tab = Synchronizer(
            backend, Registry(BUILT_IN), "ann", base_url="", headers=dict, interval=30.0
        )
        await tab.start(background=False)
        await tab.sync()
        await rate_all(tv, 4)
        await tab.write("ratings", "own", {"rating": 1})
        storage.left = call
        await tab.sync()
        if storage.left > 0:
            break
        storage.left = -1
        await tv.write("ratings", "m0", {"rating": 5})
        await tv.sync()
        assert (await tab.sync()).ok
        expected = {**dict.fromkeys(KEYS, 4), "m0": 5, "own": 1}
        assert {key: rating(tab, key) for key in expected} == expected, call
        assert await opened_offline(device) == expected, call
        await tab.stop()
    assert call > 20
