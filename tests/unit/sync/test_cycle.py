"""One cycle against every answer a server, or something else, may give."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from atiha_web.backends.base import Response
from atiha_web.errors import OperationRejectedError
from atiha_web.sync import cycle
from atiha_web.sync.outcomes import HEADER
from atiha_web.testing.fake_server import (
    FakeDevice,
    FakeServer,
    Fault,
    answer,
    captive_portal,
    lost_reply,
    lost_request,
    silence,
    slow,
    twice,
)
from tests.unit.sync.samples import OpenTab, queue_of, rating, stamp, turns


async def ratings(server: FakeServer) -> dict[str, int]:
    return {row["contentId"]: row["rating"] for row in await server.rows_of("ann", "ratings")}


@pytest.mark.parametrize(
    "fault",
    [
        lost_request(),
        lost_reply(),
        silence(),
        silence(acted=True),
        twice(),
        slow(before=3, after=3),
        captive_portal(),
        answer(500),
        answer(500, acted=True),
        answer(408),
        answer(425),
        answer(502, ours=False),
        answer(401, ours=False),
        answer(404, ours=False),
        answer(200, ours=False),
    ],
    ids=repr,
)
async def test_goes_on_after(server: FakeServer, open_tab: OpenTab, fault: Fault) -> None:
    tab = await open_tab()
    await tab.write("ratings", "m1", {"rating": 4})
    server.fail_next(fault, fault)
    assert (await tab.sync()).ok
    assert await ratings(server) == {"m1": 4}
    assert queue_of(tab) == 0


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (answer(401), "needs_auth"),
        (answer(403), "blocked"),
        (answer(404), "blocked"),
        (answer(426), "upgrade_required"),
        (answer(429), "backoff"),
        (answer(503), "backoff"),
        (answer(503, ours=False), "backoff"),
    ],
    ids=repr,
)
async def test_stops_at_once_and_keeps_everything(
    server: FakeServer, open_tab: OpenTab, fault: Fault, state: str
) -> None:
    tab = await open_tab()
    await tab.write("ratings", "m1", {"rating": 4})
    server.fail_next(fault)
    report = await tab.sync()
    assert (report.ok, len(server.requests), queue_of(tab)) == (False, 1, 1)
    assert tab.status().state == state
    assert tab.status().message


async def test_three_fast_tries_are_no_reason_to_lose_a_write(
    server: FakeServer, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    await tab.write("ratings", "m1", {"rating": 4})
    server.fail_next(*[lost_request()] * 3)
    assert not (await tab.sync()).ok
    assert (len(server.requests), queue_of(tab)) == (3, 1)
    assert (await tab.sync()).ok


async def test_one_try_is_made_where_the_browser_says_offline(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    device.set_online(online=False)
    assert not (await tab.sync()).ok
    assert len(server.requests) == 1


async def test_an_operation_the_server_cannot_read_is_found_by_halving(
    server: FakeServer, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    writes = [await tab.write("ratings", f"m{n}", {"rating": 3}) for n in range(8)]
    bad = writes[5].operation
    assert bad is not None
    server.next_fault = lambda request: (
        answer(400) if bad.id.encode() in (request.body or b"") else Fault()
    )
    assert (await tab.sync()).ok
    assert [entry.operation for entry in tab.engine.quarantined] == [bad]
    assert set(await ratings(server)) == {f"m{n}" for n in range(8)} - {"m5"}


async def test_an_operation_too_large_for_our_server_is_quarantined(
    server: FakeServer, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    write = await tab.write("ratings", "m1", {"rating": 3, "review": "x" * 2_000})
    server.next_fault = lambda request: answer(413) if len(request.body or b"") > 2_000 else Fault()
    await tab.write("ratings", "m2", {"rating": 4})
    assert (await tab.sync()).ok
    assert [entry.operation for entry in tab.engine.quarantined] == [write.operation]
    with pytest.raises(OperationRejectedError, match="scripted 413"):
        await write.saved("server")


async def test_an_operation_too_large_for_a_proxy_blocks_no_other_and_is_tried_again(
    server: FakeServer, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    await tab.write("ratings", "m1", {"rating": 3, "review": "x" * 2_000})
    await tab.write("ratings", "m2", {"rating": 4})
    server.next_fault = lambda request: (
        answer(413, ours=False) if len(request.body or b"") > 2_000 else Fault()
    )
    await tab.sync()
    assert await ratings(server) == {"m2": 4}
    assert (queue_of(tab), tab.engine.quarantined) == (1, [])
    server.next_fault = lambda _: Fault()
    await asyncio.sleep(60)
    await tab.sync()
    assert await ratings(server) == {"m1": 3, "m2": 4}


UNREADABLE = {
    "something else": b'{"code":"scripted"}',
    "a list": b"[]",
    "cut off": b'{"protocol":1,"epoch":"e","cursor":1,"serverTime":1,"changes":[',
    "not UTF-8": b'{"protocol":1,"epoch":"\xe9","cursor":1,"serverTime":1}',
    "nested without end": b'{"protocol":' + b"[" * 100_000,
    "a change without a version": json.dumps(
        {
            "protocol": 1,
            "epoch": "e",
            "cursor": 1,
            "serverTime": 1,
            "changes": [{"collection": "ratings", "key": "m1", "timestamp": stamp(1)}],
        }
    ).encode(),
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
async def test_an_unreadable_reply_with_our_header_keeps_everything(
    server: FakeServer, open_tab: OpenTab, body: bytes
) -> None:
    tab = await open_tab()
    await tab.write("ratings", "m1", {"rating": 4})
    server.fail_next(Fault(acts=0, reply=Response(200, {HEADER: "1"}, body)))
    report = await tab.sync()
    assert (report.ok, report.message) == (
        False,
        "the server's answer cannot be read; trying again",
    )
    assert queue_of(tab) == 1
    assert (await tab.sync()).ok
    assert await ratings(server) == {"m1": 4}


async def turns_until(work: Coroutine[Any, Any, object]) -> int:
    task, count = asyncio.ensure_future(work), 0
    while not task.done():
        await asyncio.sleep(0)
        count += 1
    return count


async def test_others_get_turns_while_a_long_reply_is_read(
    server: FakeServer, open_tab: OpenTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await open_tab()
    for number in range(20):
        await writer.write("ratings", f"m{number}", {"rating": 4})
    await writer.sync()
    at_once, one_by_one = [await open_tab(FakeDevice(server)) for _ in range(2)]
    fewest = await turns_until(at_once.sync())
    monkeypatch.setattr(cycle, "CHANGES_PER_TURN", 1)
    assert await turns_until(one_by_one.sync()) >= fewest + 19


async def test_the_next_poll_comes_when_the_server_wishes(
    server: FakeServer, open_tab: OpenTab
) -> None:
    server.poll_after = 300.0
    await open_tab(background=True)
    await asyncio.sleep(290)
    assert len(server.requests) == 1
    await asyncio.sleep(60)
    assert len(server.requests) == 2


async def test_the_servers_time_is_asked_for_before_the_first_send(
    server: FakeServer, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    await tab.write("ratings", "m1", {"rating": 4})
    await tab.sync()
    assert [len(exchange.request.operations) for exchange in server.exchanges] == [0, 1]


async def test_a_thousand_writes_take_batches_of_five_hundred(
    server: FakeServer, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    for number in range(1_001):
        await tab.write("ratings", f"m{number}", {"rating": 3})
    assert (await tab.sync()).sent == 1_001
    sizes = [len(exchange.request.operations) for exchange in server.exchanges]
    assert sizes == [0, 500, 500, 1]


async def test_a_long_pull_takes_several_pages(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab
) -> None:
    writer = await open_tab()
    for number in range(1_200):
        await writer.write("ratings", f"m{number}", {"rating": 3})
    await writer.sync()
    reader = await open_tab(FakeDevice(server, now_ms=device.now_ms))
    assert (await reader.sync()).received == 1_200
    assert dict(reader.engine.view("ratings")) == dict(writer.engine.view("ratings"))


async def test_an_unknown_collection_is_held_and_blocks_no_other(
    server: FakeServer, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    await tab.sync()
    known = server.collections
    server.collections = type(known)([known["ratings"]])
    await tab.write("settings", "s", {"size": 1})
    await tab.write("ratings", "m1", {"rating": 4})
    assert (await tab.sync()).ok
    assert (queue_of(tab), await ratings(server)) == (1, {"m1": 4})
    server.collections = known
    await asyncio.sleep(60)
    await tab.sync()
    assert queue_of(tab) == 0


async def test_a_restored_backup_is_pulled_anew(server: FakeServer, open_tab: OpenTab) -> None:
    tab = await open_tab()
    await tab.write("ratings", "m1", {"rating": 4})
    await tab.sync()
    backup = server.rows.backup()
    await tab.write("ratings", "m2", {"rating": 2})
    await tab.sync()
    server.rows.restore(backup)
    await tab.sync()
    assert {key: rating(tab, key) for key in ("m1", "m2")} == {"m1": 4, "m2": None}


async def test_what_is_on_screen_stays_until_the_new_base_is_whole(
    server: FakeServer, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    await tab.write("ratings", "m1", {"rating": 4})
    await tab.sync()
    await server.rows.renew_epochs()
    server.fail_next(Fault(), *[lost_request()] * 3)
    assert not (await tab.sync()).ok
    assert rating(tab, "m1") == 4


async def test_data_that_differs_from_the_servers_is_pulled_again(
    server: FakeServer, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    await tab.write("ratings", "m1", {"rating": 4})
    await tab.sync()
    tab.engine.local.memory.base.rows.clear()
    tab.engine.local.memory.base.digest = 1
    await tab.sync()
    assert rating(tab, "m1") == 4
    assert "differed" in tab.status().problems[0]


async def test_nothing_is_shown_or_sent_of_a_user_who_left_while_a_sync_waited(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    await tab.write("ratings", "m1", {"rating": 4})
    async with device.environments[0].lock("atiha:ann:sync", 1):
        waiting = asyncio.ensure_future(tab.sync())
        await turns()
        await tab.stop()
        await tab.engine.local.remove_views()
    assert not (await waiting).ok
    assert "atiha_ratings_ann" not in device.origin.items
    assert server.requests == []


async def test_stopping_waits_until_the_cycle_has_ended(
    server: FakeServer, open_tab: OpenTab
) -> None:
    server.fail_next(slow(before=5))
    tab = await open_tab(background=True)
    await turns()
    await tab.stop()
    mine = asyncio.current_task()
    left = [
        task
        for task in asyncio.all_tasks()
        if task is not mine and "FakeTransport" not in repr(task.get_coro())
    ]
    assert left == []
