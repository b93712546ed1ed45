"""What somebody does is stored within the same turn, whatever a synchronisation is in the midst of.

A page may be gone after any turn.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any

import pytest

from atiha_web.sync import hlc
from atiha_web.sync.operation import RecordKey
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import FakeDevice, FakeServer, ManualClock
from tests.unit.sync.samples import OpenTab, queue_of, rating, turns

RECORDS = 600
MOST = 30
"""How many films are rated in the middle of something."""


def at_once(work: Coroutine[Any, Any, Any]) -> bool:
    """Run ``work`` until it would wait; tells whether it came to its end instead."""
    try:
        work.send(None)
    except StopIteration:
        return True
    work.close()
    return False


async def write_in_the_turns_of(
    work: Awaitable[object], tab: Synchronizer, device: FakeDevice, least: int = 5
) -> list[str]:
    """Rate a film in each turn of the event loop in which ``work`` changes what is here."""
    going_on = asyncio.ensure_future(work)
    written: list[str] = []
    while not going_on.done():
        # What it sends brings replies, and those more turns: so not for ever.
        if tab.engine.local.mutex.locked() and len(written) < MOST:
            key = f"w{len(written)}"
            assert at_once(tab.write("ratings", key, {"rating": 5})), key
            [operation] = tab.engine.local.memory.pending_for(RecordKey("ratings", key))
            assert f"atiha:ann:j:{operation.id}" in device.origin.items
            assert rating(tab, key) == 5
            written.append(key)
        await asyncio.sleep(0)
    await going_on
    assert len(written) >= least
    return written


async def check_all_is_there(written: list[str], tab: Synchronizer, server: FakeServer) -> None:
    assert (await tab.sync()).ok
    rows = {row["contentId"]: row["rating"] for row in await server.rows_of("ann", "ratings")}
    assert {rows.get(key) for key in written} == {5}
    assert {rating(tab, key) for key in written} == {5}
    assert {key: rating(tab, key) for key in rows} == rows
    assert queue_of(tab) == 0


@pytest.fixture
async def tv(server: FakeServer, wall: ManualClock, open_tab: OpenTab) -> Synchronizer:
    """Another device, which brought so many ratings to the server."""
    tv = await open_tab(FakeDevice(server, now_ms=wall))
    for number in range(RECORDS):
        await tv.write("ratings", f"r{number:03}", {"rating": 3})
    assert (await tv.sync()).sent == RECORDS
    return tv


async def test_as_all_is_read_from_the_server(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab, tv: Synchronizer
) -> None:
    tab = await open_tab()
    written = await write_in_the_turns_of(tab.sync(), tab, device)
    await check_all_is_there(written, tab, server)


async def test_as_base_changes_and_is_stored(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab, tv: Synchronizer
) -> None:
    tab = await open_tab()
    await tab.sync()
    for number in range(RECORDS):
        await tv.write("ratings", f"r{number:03}", {"rating": 4})
    await tv.sync()
    await tab.write("ratings", "before", {"rating": 1})
    written = await write_in_the_turns_of(tab.sync(), tab, device)
    await check_all_is_there(written, tab, server)
    assert rating(tab, "r007") == 4


async def test_as_base_is_agreed_on_with_another_tab(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab, tv: Synchronizer
) -> None:
    tab, other = await open_tab(), await open_tab()

    async def learned_from_the_other_tab() -> None:
        await other.sync()
        await turns()

    written = await write_in_the_turns_of(learned_from_the_other_tab(), tab, device)
    assert rating(tab, "r007") == 3
    await check_all_is_there(written, tab, server)


async def test_as_a_database_is_read_anew_that_was_restored(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab, tv: Synchronizer
) -> None:
    backup = server.rows.backup()
    tab = await open_tab()
    await tab.sync()
    await tab.write("ratings", "after", {"rating": 1})
    await tab.sync()
    server.rows.restore(backup)
    written = await write_in_the_turns_of(tab.sync(), tab, device)
    await check_all_is_there(written, tab, server)


async def test_one_that_needs_room_waits_until_base_is_stored(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab, tv: Synchronizer
) -> None:
    tab = await open_tab()
    await tab.sync()
    device.origin.quota = device.origin.used
    async with tab.engine.local.mutex:
        writing = asyncio.ensure_future(tab.write("ratings", "w0", {"rating": 5}))
        await turns()
        assert (writing.done(), rating(tab, "w0"), queue_of(tab)) == (False, None, 0)
    await writing
    assert (rating(tab, "w0"), queue_of(tab)) == (5, 1)


async def test_what_is_stated_after_one_that_needs_room_is_the_later_one(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    await tab.sync()
    device.origin.quota = device.origin.used
    mutex = tab.engine.local.mutex
    async with mutex:
        first = asyncio.ensure_future(tab.write("ratings", "w0", {"rating": 1}))
        await mutex.pause()
        await mutex.pause()
        # What base took beside the old one is free again.
        device.origin.quota = None
        second = asyncio.ensure_future(tab.write("ratings", "w0", {"rating": 2}))
        await mutex.pause()
    await asyncio.gather(first, second)
    assert (rating(tab, "w0"), queue_of(tab)) == (2, 1)


async def test_a_record_that_a_reply_brings_can_be_read_as_soon_as_it_counts_as_there(
    open_tab: OpenTab, tv: Synchronizer
) -> None:
    tab = await open_tab()
    syncing = asyncio.ensure_future(tab.sync())
    while not tab.is_live("ratings", "r007"):
        await turns(1)
    assert tab.engine.local.mutex.locked()
    assert tab.nothing_to_change("ratings", "r007").record is not None
    await syncing


async def test_a_tab_that_slept_forgets_nothing_that_was_written_as_it_reads_base(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab, tv: Synchronizer
) -> None:
    tab, other = await open_tab(), await open_tab()
    async with tab.engine.local.mutex:
        # It waits before what hears of the other tab does.
        catching_up = asyncio.ensure_future(tab.engine.reconciler.catch_up())
        await turns()
        await other.sync()
    written = await write_in_the_turns_of(catching_up, tab, device, least=1)
    assert {rating(tab, key) for key in written} == {5}
    await check_all_is_there(written, tab, server)


async def test_what_is_written_as_the_clock_is_learned_has_the_right_time(
    server: FakeServer, open_tab: OpenTab, wall: ManualClock, tv: Synchronizer
) -> None:
    fast = FakeDevice(server, now_ms=lambda: wall() + 60_000)
    tab = await open_tab(fast)
    await tab.write("ratings", "w0", {"rating": 1})
    await write_in_the_turns_of(tab.sync(), tab, fast)
    for state in tab.engine.view("ratings").values():
        assert hlc.milliseconds(state.timestamp) < wall() + 1_000


async def test_a_tab_that_is_closed_as_it_learns_changes_nothing_any_more(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab, tv: Synchronizer
) -> None:
    tab = await open_tab()
    before = len(server.exchanges)
    syncing = asyncio.ensure_future(tab.sync())
    for _ in range(1000):
        await asyncio.sleep(0)
        if len(server.exchanges) > before and tab.engine.local.mutex.locked():
            break
    await tab.stop()
    left = dict(device.origin.items)
    await asyncio.wait([syncing])
    assert device.origin.items == left
