"""The engine's tests run in virtual time: nothing sleeps."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from atiha_web.collections import BUILT_IN, Registry
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import FakeDevice, FakeServer, ManualClock
from tests.simulation.virtual_time import VirtualTimeLoop
from tests.unit.sync.samples import SETTINGS, OpenTab


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual time": VirtualTimeLoop}


@pytest.fixture
def wall() -> ManualClock:
    """The true time: the server's, and that of every device that has no clock of its own."""
    return ManualClock()


@pytest.fixture
def server(wall: ManualClock) -> FakeServer:
    return FakeServer(collections=[SETTINGS], now_ms=wall)


@pytest.fixture
def device(server: FakeServer, wall: ManualClock) -> FakeDevice:
    return FakeDevice(server, now_ms=wall, random=random.Random(1))


@pytest.fixture
async def open_tab(device: FakeDevice) -> AsyncIterator[OpenTab]:
    """Opens pages of ``device``, or of another one; nothing runs in the background by itself."""
    opened: list[Synchronizer] = []

    async def open_(
        on: FakeDevice = device, *, user_id: str = "ann", background: bool = False
    ) -> Synchronizer:
        registry = Registry([*BUILT_IN, SETTINGS])
        tab = Synchronizer(
            on.backend(), registry, user_id, base_url="", headers=dict, interval=30.0
        )
        opened.append(tab)
        await tab.start(background=background)
        return tab

    yield open_
    for tab in opened:
        await tab.stop()
