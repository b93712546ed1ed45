"""What replies do to a replica while a person goes on writing."""

import asyncio
from dataclasses import replace

import pytest

from atiha_web.sync import hlc
from atiha_web.sync.cycle import SyncCycle
from atiha_web.testing.fake_server import FakeDevice, FakeServer, ManualClock, answer, slow
from tests.unit.sync.samples import OpenTab, rating

HOUR = 3_600


class SkewedClock:
    """The true time, off by some seconds that may change."""

    def __init__(self, wall: ManualClock, seconds: float = 0.0) -> None:
        self.wall = wall
        self.seconds = seconds

    def __call__(self) -> int:
        return self.wall() + round(self.seconds * 1000)


def fast(server: FakeServer, wall: ManualClock, seconds: float) -> tuple[FakeDevice, SkewedClock]:
    clock = SkewedClock(wall, seconds)
    return FakeDevice(server, now_ms=clock), clock


async def rows(server: FakeServer, collection: str = "ratings") -> dict[str, object]:
    key = server.collections[collection].key_alias
    field = {"ratings": "rating", "settings": "color"}[collection]
    return {row[key]: row.get(field) for row in await server.rows_of("ann", collection)}


async def test_a_write_reaches_the_server_and_another_device(
    server: FakeServer, open_tab: OpenTab, wall: ManualClock
) -> None:
    phone, tv = await open_tab(), await open_tab(FakeDevice(server, now_ms=wall))
    await phone.write("ratings", "m1", {"rating": 5})
    assert (await phone.sync()).sent == 1
    assert (await tv.sync()).received == 1
    assert rating(tv, "m1") == 5


async def test_writes_of_a_fast_clock_are_brought_back_to_the_servers_time(
    server: FakeServer, open_tab: OpenTab, wall: ManualClock
) -> None:
    device, _ = fast(server, wall, HOUR)
    tab = await open_tab(device)
    await tab.write("ratings", "m1", {"rating": 5})
    assert (await tab.sync()).ok
    state = tab.engine.view("ratings")["m1"]
    assert abs(hlc.milliseconds(state.timestamp) - wall()) < 1_000


async def test_the_later_of_two_writes_wins_though_the_clock_is_set_right_between_them(
    server: FakeServer, open_tab: OpenTab, wall: ManualClock
) -> None:
    device, clock = fast(server, wall, 0)
    tab = await open_tab(device)
    await tab.sync()
    clock.seconds = 30
    await tab.write("ratings", "m1", {"rating": 1})
    server.fail_next(slow(before=1, after=1))
    syncing = asyncio.ensure_future(tab.sync())
    await asyncio.sleep(0.5)
    await tab.write("ratings", "m1", {"rating": 2})
    await syncing
    await tab.sync()
    assert await rows(server) == {"m1": 2}
    assert rating(tab, "m1") == 2


async def test_an_operation_replaced_while_it_was_refused_for_its_time_stays_replaced(
    server: FakeServer, open_tab: OpenTab, wall: ManualClock
) -> None:
    device, clock = fast(server, wall, 0)
    tab = await open_tab(device)
    await tab.sync()
    clock.seconds = HOUR
    old = await tab.write("ratings", "m1", {"rating": 1})
    server.fail_next(slow(before=1, after=1))
    syncing = asyncio.ensure_future(tab.sync())
    await asyncio.sleep(0.5)
    await tab.write("ratings", "m1", {"rating": 2})
    await syncing
    assert old.operation is not None
    sent = [raw["id"] for exchange in server.exchanges for raw in exchange.request.operations]
    assert sent.count(old.operation.id) == 1
    assert await rows(server) == {"m1": 2}


async def test_fields_written_one_after_the_other_keep_their_order_under_a_fast_clock(
    server: FakeServer, open_tab: OpenTab, wall: ManualClock
) -> None:
    device, _ = fast(server, wall, HOUR)
    tab = await open_tab(device)
    first = await tab.write("settings", "s", {"color": "red", "size": 1})
    wall.advance(1)
    last = await tab.write("settings", "s", {"color": "blue"})
    assert [write.operation is not None for write in (first, last)] == [True, True]
    # The earlier one is refused alone, as if the later one had not fitted into the batch.
    assert isinstance(tab._cycle, SyncCycle)
    tab._cycle._limit.operations = 1
    await tab.sync()
    assert await rows(server, "settings") == {"s": "blue"}


async def test_a_refused_write_that_was_replaced_meanwhile_is_not_quarantined(
    server: FakeServer, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    await tab.sync()
    await tab.write("ratings", "m1", {"rating": 1})
    server.fail_next(replace(answer(422), before=1))
    syncing = asyncio.ensure_future(tab.sync())
    await asyncio.sleep(0.5)
    await tab.write("ratings", "m1", {"rating": 2})
    await syncing
    assert tab.engine.quarantined == []
    assert await rows(server) == {"m1": 2}


@pytest.mark.parametrize("collection", ["ratings", "settings"])
async def test_nothing_differs_after_an_epoch_change(
    server: FakeServer, open_tab: OpenTab, collection: str
) -> None:
    tab = await open_tab()
    await tab.write(collection, "m1", {"rating": 4} if collection == "ratings" else {"size": 4})
    await tab.sync()
    before = dict(tab.engine.view(collection))
    await server.rows.renew_epochs()
    assert (await tab.sync()).ok
    assert dict(tab.engine.view(collection)) == before
