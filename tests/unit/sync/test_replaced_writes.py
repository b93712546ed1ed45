"""A write that took the place of another one and is refused: the earlier one counts again."""

from dataclasses import replace
from typing import Annotated

import pytest
from pydantic import Field

from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.collections import BUILT_IN, Collection, Registry
from atiha_web.errors import OperationRejectedError
from atiha_web.models import ContentRecord
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import FakeDevice, FakeServer, Fault, answer
from tests.unit.sync.samples import (
    SETTINGS,
    CrashError,
    CrashingStorage,
    OpenTab,
    Settings,
    queue_of,
    rating,
    turns,
)


class ShortRating(ContentRecord):
    """What a server of another release takes: reviews of a few characters."""

    rating: int
    review: Annotated[str, Field(max_length=10)] | None = None


class BriefSettings(Settings):
    """What a server of another release takes."""

    color: Annotated[str, Field(max_length=5)] | None = None


LONG = "far too long for that server"


@pytest.fixture
def server(server: FakeServer) -> FakeServer:
    others = [each for each in BUILT_IN if each.name != "ratings"]
    settings = replace(SETTINGS, model=BriefSettings)
    server.collections = Registry([*others, Collection("ratings", ShortRating), settings])
    return server


@pytest.fixture
async def tab(open_tab: OpenTab) -> Synchronizer:
    return await open_tab()


async def stars(server: FakeServer) -> list[int]:
    return [row["rating"] for row in await server.rows_of("ann", "ratings")]


async def test_the_earlier_write_reaches_the_server_and_the_refused_one_is_kept(
    server: FakeServer, tab: Synchronizer
) -> None:
    good = await tab.write("ratings", "m1", {"rating": 4})
    bad = await tab.write("ratings", "m1", {"rating": 5, "review": LONG})
    assert queue_of(tab) == 1
    assert (await tab.sync()).ok
    assert (await stars(server), rating(tab, "m1"), queue_of(tab)) == ([4], 4, 0)
    assert [entry.operation for entry in tab.engine.quarantined] == [bad.operation]
    await good.saved("server")
    with pytest.raises(OperationRejectedError):
        await bad.saved("server")


async def test_of_two_refused_ones_neither_takes_the_first_with_it(
    server: FakeServer, tab: Synchronizer
) -> None:
    await tab.write("ratings", "m1", {"rating": 4})
    for text in (LONG, f"{LONG}.", f"{LONG}, as before"):
        await tab.write("ratings", "m1", {"rating": 5, "review": text})
    await tab.sync()
    assert (await stars(server), rating(tab, "m1"), queue_of(tab)) == ([4], 4, 0)


async def test_the_latest_good_one_counts(server: FakeServer, tab: Synchronizer) -> None:
    for number in (1, 2, 3, 4):
        await tab.write("ratings", "m1", {"rating": number})
    await tab.write("ratings", "m1", {"rating": 5, "review": LONG})
    await tab.sync()
    assert (await stars(server), rating(tab, "m1"), queue_of(tab)) == ([4], 4, 0)


async def test_a_new_deletion_that_is_refused_brings_the_record_back(
    server: FakeServer, tab: Synchronizer
) -> None:
    await tab.write("ratings", "m1", {"rating": 4})
    gone = await tab.write("ratings", "m1", None)
    assert gone.operation is not None
    name = gone.operation.id.encode()
    server.next_fault = lambda request: (
        replace(answer(400), acts=0) if name in (request.body or b"") else Fault()
    )
    await tab.sync()
    assert (await stars(server), rating(tab, "m1")) == ([4], 4)


async def test_fields_stated_before_the_refused_ones_stand(
    server: FakeServer, tab: Synchronizer
) -> None:
    await tab.write("settings", "s", {"name": "s", "size": 1})
    await tab.write("settings", "s", {"name": "s", "size": 2, "color": LONG})
    await tab.sync()
    [row] = await server.rows_of("ann", "settings")
    assert (row["size"], row.get("color")) == (1, None)


async def test_it_is_remembered_across_a_restart(
    server: FakeServer, tab: Synchronizer, open_tab: OpenTab
) -> None:
    await tab.write("ratings", "m1", {"rating": 4})
    await tab.write("ratings", "m1", {"rating": 5, "review": LONG})
    await tab.stop()
    again = await open_tab()
    assert rating(again, "m1") == 5
    await again.sync()
    assert (await stars(server), rating(again, "m1")) == ([4], 4)


async def test_what_is_decided_with_the_refused_one_does_not_come_back(
    server: FakeServer, device: FakeDevice, tab: Synchronizer, open_tab: OpenTab
) -> None:
    good = await tab.write("ratings", "m1", {"rating": 4})
    assert good.operation is not None
    key = f"atiha:ann:j:{good.operation.id}"
    text = device.origin.items[key]
    await tab.write("ratings", "m1", {"rating": 5, "review": LONG})
    await tab.stop()
    # A page that died over the refusal had brought it back.
    device.origin.items[key] = text
    again = await open_tab()
    await again.sync()
    assert (await stars(server), queue_of(again)) == ([4], 0)
    assert [key for key in device.origin.items if key.startswith("atiha:ann:j:")] == []


async def test_another_tab_sees_it_come_back(
    server: FakeServer, tab: Synchronizer, open_tab: OpenTab
) -> None:
    other = await open_tab()
    good = await other.write("ratings", "m1", {"rating": 4})
    await turns()
    await tab.write("ratings", "m1", {"rating": 5, "review": LONG})
    await turns()
    await tab.sync()
    await turns()
    assert (rating(other, "m1"), queue_of(other)) == (4, 0)
    await good.saved("server")


async def test_the_server_is_not_told_of_what_was_replaced(
    server: FakeServer, tab: Synchronizer
) -> None:
    await tab.write("ratings", "m1", {"rating": 3})
    await tab.write("ratings", "m1", {"rating": 4})
    await tab.sync()
    [sent] = [each for exchange in server.exchanges for each in exchange.request.operations]
    assert set(sent) == {"id", "collection", "key", "type", "data", "timestamp"}
    assert sent["data"]["rating"] == 4


async def test_a_crash_at_any_moment_of_the_refusal_loses_neither(
    server: FakeServer, device: FakeDevice
) -> None:
    def open_on(storage: MemoryStorage) -> Synchronizer:
        registry = Registry([*BUILT_IN, SETTINGS])
        backend = device.backend(storage)
        return Synchronizer(backend, registry, "ann", base_url="", headers=dict, interval=30.0)

    dead = True
    steps = 0
    while dead:
        server.rows.restore({})
        device.origin = MemoryOrigin()
        writer = open_on(MemoryStorage(device.origin))
        await writer.start(background=False)
        await writer.write("ratings", "m1", {"rating": 4})
        await writer.write("ratings", "m1", {"rating": 5, "review": LONG})
        await writer.stop()
        doomed = open_on(CrashingStorage(device.origin, steps))
        try:
            await doomed.start(background=False)
            report = await doomed.sync()
            dead = "CrashError" in report.message
        except CrashError:
            dead = True
        await doomed.stop()
        again = open_on(MemoryStorage(device.origin))
        await again.start(background=False)
        await again.sync()
        kept = [entry.operation.data for entry in again.engine.quarantined]
        assert (await stars(server), [each["rating"] for each in kept if each]) == ([4], [5])
        await again.stop()
        steps += 1
    assert steps > 8


async def test_short_of_room_the_write_itself_goes_first(
    device: FakeDevice, tab: Synchronizer
) -> None:
    device.origin.quota = device.origin.used + 3_500
    await tab.write("ratings", "m1", {"rating": 4, "review": "x" * 1_000})
    await tab.write("ratings", "m1", {"rating": 5, "review": "y" * 2_000})
    assert (rating(tab, "m1"), queue_of(tab)) == (5, 1)
