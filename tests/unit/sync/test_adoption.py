"""Taking over what the seed's own app left on this origin."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.collections import BUILT_IN, Registry
from atiha_web.sync.adoption import foreign_items, read_item
from atiha_web.sync.names import ASIDE
from atiha_web.sync.protocols import Protocol, ProtocolName
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import FakeDevice, FakeServer, ManualClock
from tests.plain_rest import PlainRest
from tests.unit.sync.samples import NOW, CrashError, CrashingStorage, turns

RATINGS = "/api/users/ann/ratings"
PROTOCOLS: list[ProtocolName] = ["sync", "rest"]


def item(
    number: int, kind: str, endpoint: str, data: Any, timestamp: object = None
) -> dict[str, Any]:
    """An item as the seed's app queued it."""
    return {
        "id": f"op_{number}_x7f",
        "type": kind,
        "endpoint": endpoint,
        "data": data,
        "timestamp": NOW - 60_000 + number if timestamp is None else timestamp,
        "retries": number % 3,
    }


def rated(number: int, key: str = "m1", user: str = "ann") -> dict[str, Any]:
    data = {"contentId": key, "contentType": "movie", "rating": number % 5 + 1}
    return item(number, "create", f"/api/users/{user}/ratings", data)


def row(key: str, **more: Any) -> dict[str, Any]:
    """A row as Prisma gives it."""
    times = {"createdAt": "2025-01-05T12:00:00.000Z", "updatedAt": "2025-01-06T12:00:00.000Z"}
    return {"id": f"c{key}", "userId": "ann", "contentId": key, "review": None, **times, **more}


def leave(origin: MemoryOrigin, queue: object = None, **lists: object) -> None:
    """What the seed's app left behind."""
    if queue is not None:
        origin.set("atiha_sync_queue", queue if isinstance(queue, str) else json.dumps(queue))
    for name, rows in lists.items():
        origin.set(f"atiha_{name}", json.dumps(rows))


def stored(origin: MemoryOrigin, key: str) -> Any:
    return json.loads(origin.items.get(key, "null"))


def aside(origin: MemoryOrigin) -> list[str]:
    return [text for key, text in origin.items.items() if key.startswith(ASIDE)]


def journal(origin: MemoryOrigin, user: str) -> dict[str, str]:
    prefix = f"atiha:{user}:j:"
    return {key: text for key, text in origin.items.items() if key.startswith(prefix)}


class Device:
    """A browser profile the seed's app ran in, and the server it spoke to."""

    def __init__(self, protocol: ProtocolName, quota: int | None = None) -> None:
        self.wall = ManualClock(NOW)
        self.rest = PlainRest(now_ms=self.wall)
        self.ours = FakeServer(now_ms=self.wall)
        self.protocol = protocol
        self.origin = MemoryOrigin(quota)
        server = self.rest if protocol == "rest" else self.ours
        self.device = FakeDevice(server, now_ms=self.wall, origin=self.origin)

    async def open(
        self, user_id: str = "ann", storage: MemoryStorage | None = None
    ) -> Synchronizer:
        tab = Synchronizer(
            self.device.backend(storage),
            Registry(BUILT_IN),
            user_id,
            base_url="",
            headers=dict,
            interval=30.0,
            protocol=Protocol(self.protocol),
        )
        await tab.start(background=False)
        return tab

    async def told(self, user_id: str, name: str) -> list[str]:
        """The keys the server has."""
        if self.protocol == "rest":
            rows = self.rest.rows_at(f"/api/users/{user_id}/{name}")
        else:
            rows = await self.ours.rows_of(user_id, name)
        return sorted(each["contentId"] for each in rows)


@pytest.fixture(params=PROTOCOLS)
def device(request: pytest.FixtureRequest) -> Device:
    return Device(request.param)


async def test_queued_changes_become_pending_operations_and_reach_the_server(
    device: Device,
) -> None:
    leave(device.origin, [rated(1, "m1"), rated(2, "m2")])
    tab = await device.open()
    assert tab.status().pending == 2
    assert [each["userId"] for each in stored(device.origin, "atiha_sync_queue")] == ["ann", "ann"]
    assert (await tab.sync()).ok
    assert await device.told("ann", "ratings") == ["m1", "m2"]
    assert stored(device.origin, "atiha_sync_queue") == []
    await tab.stop()


async def test_the_last_of_two_changes_of_one_record_stands(device: Device) -> None:
    leave(device.origin, [rated(1), rated(2)])
    tab = await device.open()
    data = tab.engine.view("ratings")["m1"].data
    assert data is not None
    assert data["rating"] == 3
    await tab.stop()


async def test_order_holds_where_the_clock_ran_backwards(device: Device) -> None:
    first, last = rated(1), {**rated(2), "timestamp": NOW - 3_600_000}
    leave(device.origin, [first, last])
    tab = await device.open()
    await tab.sync()
    data = tab.engine.view("ratings")["m1"].data
    assert data is not None
    assert data["rating"] == 3
    await tab.stop()


async def test_a_deletion_is_taken_over(device: Device) -> None:
    leave(
        device.origin,
        [item(1, "delete", RATINGS, {"contentId": "m1"})],
        ratings_ann=[row("m1", rating=3), row("m2", rating=4)],
    )
    tab = await device.open()
    assert list(tab.engine.view("ratings")) == ["m2"]
    await tab.stop()


async def test_an_update_completes_what_the_list_holds(device: Device) -> None:
    change = item(1, "update", RATINGS, {"contentId": "m1", "rating": 5})
    leave(device.origin, [change], ratings_ann=[row("m1", rating=3, title="The General")])
    tab = await device.open()
    data = tab.engine.view("ratings")["m1"].data
    assert data is not None
    assert (data["rating"], data["title"]) == (5, "The General")
    await tab.stop()


async def test_a_list_is_shown_whole_until_the_first_pull_and_after_another_start(
    device: Device,
) -> None:
    leave(device.origin, ratings_ann=[row(f"m{number}", rating=3) for number in range(80)])
    for _ in range(2):
        tab = await device.open()
        assert len(tab.engine.view("ratings")) == 80
        await tab.stop()
    tab = await device.open()
    await tab.sync()
    assert len(tab.engine.view("ratings")) == 0
    await tab.stop()


async def test_times_and_unknown_members_of_a_row_are_kept(device: Device) -> None:
    leave(device.origin, ratings_ann=[row("m1", rating=3, mood="happy")])
    tab = await device.open()
    [shown] = stored(device.origin, "atiha_ratings_ann")
    assert (shown["mood"], shown["createdAt"], shown["updatedAt"]) == (
        "happy",
        "2025-01-05T12:00:00.000Z",
        "2025-01-06T12:00:00.000Z",
    )
    assert "review" not in shown
    await tab.stop()


async def test_another_users_changes_wait_in_their_own_journal_until_they_sign_in(
    device: Device,
) -> None:
    leave(device.origin, [rated(1, "m1", "bob"), rated(2, "m2")])
    ann = await device.open("ann")
    await ann.sync()
    assert ann.status().pending == 0
    assert await device.told("ann", "ratings") == ["m2"]
    assert await device.told("bob", "ratings") == []
    await ann.stop()
    bob = await device.open("bob")
    assert bob.status().pending == 1
    await bob.sync()
    assert await device.told("bob", "ratings") == ["m1"]
    await bob.stop()


MALFORMED: Mapping[str, object] = {
    "no object": 7,
    "no type": {"endpoint": RATINGS, "data": {}},
    "unknown type": item(1, "destroy", RATINGS, {}),
    "no user": item(1, "create", "/api/notes", {"a": 1}),
    "elsewhere": item(1, "create", "https://evil.test/api/users/ann/ratings", {}),
    "no key": item(1, "create", RATINGS, {"rating": 3}),
    "bad data": item(1, "create", RATINGS, {"contentId": "m1", "rating": 9}),
    "the account itself": item(1, "delete", "/api/users/ann", {}),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_cannot_be_taken_over_is_kept_aside_and_named(device: Device, name: str) -> None:
    leave(device.origin, [MALFORMED[name], rated(2, "m2")])
    for _ in range(2):
        tab = await device.open()
        assert tab.status().pending == 1
        [problem] = tab.status().problems
        assert ASIDE in problem
        assert [json.loads(text) for text in aside(device.origin)] == [MALFORMED[name]]
        await tab.stop()


async def test_a_queue_that_is_no_list_is_kept_aside(device: Device) -> None:
    leave(device.origin, '[{"id": "op_1", "type"')
    tab = await device.open()
    assert aside(device.origin) == ['[{"id": "op_1", "type"']
    await tab.stop()


async def test_what_was_kept_aside_is_taken_over_once_it_can_be() -> None:
    device = Device("sync")
    leave(device.origin, [item(1, "create", "/api/users/ann/free", {"id": 7})])
    tab = await device.open()
    assert (tab.status().pending, len(aside(device.origin))) == (0, 1)
    await tab.stop()
    device.protocol = "rest"
    tab = await device.open()
    assert (tab.status().pending, aside(device.origin)) == (1, [])
    await tab.stop()


async def test_our_own_queue_and_lists_are_not_taken_for_anothers(device: Device) -> None:
    tab = await device.open()
    await tab.write("ratings", "m1", {"rating": 3})
    await tab.stop()
    for key in journal(device.origin, "ann"):
        device.origin.set(key, None)
    tab = await device.open()
    assert (tab.status().pending, len(tab.engine.view("ratings"))) == (0, 0)
    await tab.stop()


async def test_where_there_is_no_room_the_queue_stays_as_it_is() -> None:
    device = Device("sync")
    queue = json.dumps([rated(1)])
    leave(device.origin, queue)
    device.origin.quota = device.origin.used
    device.origin.set("atiha_session", None)
    tab = await device.open()
    assert device.origin.items["atiha_sync_queue"] == queue
    assert "no room" in tab.status().problems[0]
    await tab.stop()
    device.origin.quota = None
    tab = await device.open()
    assert tab.status().pending == 1
    await tab.stop()


async def test_room_is_made_by_giving_up_cached_lists(device: Device) -> None:
    leave(
        device.origin,
        [rated(number, f"m{number}") for number in range(30)],
        ratings_ann=[row(f"m{number}", rating=3) for number in range(50)],
    )
    device.origin.quota = device.origin.used + 50
    tab = await device.open()
    assert tab.status().pending == 30
    await tab.stop()


QUEUE = [
    rated(1, "m1"),
    rated(2, "m1"),
    rated(3, "m9", "bob"),
    MALFORMED["no user"],
    item(4, "delete", "/api/users/ann/favorites", {"contentId": "m1"}),
    item(5, "update", "/api/users/ann", {"language": "fr"}),
    item(6, "create", "/api/users/ann/watch-history", {"contentId": "m3", "progress": 5}),
]


async def taken_over(device: Device) -> tuple[object, ...]:
    """What a start without a crash comes to, of both users."""
    ann = await device.open("ann")
    await ann.stop()
    bob = await device.open("bob")
    await bob.stop()
    return (
        journal(device.origin, "ann"),
        journal(device.origin, "bob"),
        sorted(aside(device.origin)),
        {key: list(ann.engine.view(key)) for key in ("ratings", "watch_history", "favorites")},
    )


def left_behind(protocol: ProtocolName) -> Device:
    device = Device(protocol)
    leave(device.origin, QUEUE, ratings_ann=[row("m5", rating=1)], ratings_bob=[row("m6")])
    return device


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(st.lists(st.integers(0, 25), max_size=4), st.sampled_from(["ann", "bob"]))
async def test_crashes_anywhere_change_nothing_in_the_end(
    protocol: ProtocolName, crashes: list[int], user_id: str
) -> None:
    expected = await taken_over(left_behind(protocol))
    device = left_behind(protocol)
    for after in crashes:
        storage = CrashingStorage(device.origin, after)
        try:
            tab = await device.open(user_id, storage)
        except CrashError:
            await turns(2)
        else:
            storage.left = -1
            await tab.stop()
        storage.close()
    assert await taken_over(device) == expected


async def test_two_tabs_that_open_at_once_take_everything_over_once(device: Device) -> None:
    leave(device.origin, QUEUE)
    device.device.break_network()
    first, second = await device.open(), await device.open()
    device.device.break_network(broken=False)
    await first.sync()
    await turns()
    await second.sync()
    assert await device.told("ann", "ratings") == ["m1"]
    assert first.status().pending == second.status().pending == 0
    await first.stop()
    await second.stop()


def test_ids_do_not_depend_on_how_often_the_seeds_app_tried() -> None:
    once, again = rated(1), {**rated(1), "retries": 9}
    assert read_item(once, NOW) == read_item(again, NOW + 5)


@pytest.mark.parametrize(
    ("timestamp", "ms"),
    [
        (NOW, NOW),
        (float(NOW), NOW),
        ("2025-01-06T12:00:00.000Z", 1_736_164_800_000),
        ("2025-01-06T12:00:00", 1_736_164_800_000),
        (None, 7),
        ("yesterday", 7),
        (-5, 7),
        (True, 7),
    ],
)
def test_times_are_milliseconds_or_iso_and_otherwise_now(timestamp: object, ms: int) -> None:
    assert read_item({**rated(1), "timestamp": timestamp}, 7).ms == ms


@given(st.text())
def test_any_text_in_the_queue_is_read(text: str) -> None:
    assert isinstance(foreign_items(text), list)
