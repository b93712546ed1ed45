"""The seed contract to the letter, the same under both protocols."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from atiha_web import Client, InvalidDataError, SyncConfig, SyncService, connect
from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.errors import StorageFullError
from atiha_web.testing.fake_server import FakeDevice, FakeServer, ManualClock
from tests.plain_rest import PlainRest
from tests.unit.sync.samples import turns

HISTORY = "/api/users/ann/watch-history"


class World:
    """A device with nobody's code on the server but its protocol's."""

    def __init__(self, protocol: Any, wall: ManualClock) -> None:
        server = PlainRest(now_ms=wall) if protocol == "rest" else FakeServer(now_ms=wall)
        self.server: FakeServer = server
        self.protocol = protocol
        self.device = FakeDevice(server, now_ms=wall)

    @property
    def origin(self) -> MemoryOrigin:
        return self.device.origin

    def open(self, storage: MemoryStorage | None = None, **settings: Any) -> Any:
        given = {"user_id": "ann", "background": False, **settings}
        backend = self.device.backend(storage)
        return connect(backend=backend, protocol=self.protocol, **given)

    def stored(self, key: str) -> Any:
        return json.loads(self.origin.items.get(key, "null"))


@pytest.fixture(params=["sync", "rest"])
def world(request: pytest.FixtureRequest, wall: ManualClock) -> World:
    return World(request.param, wall)


@pytest.fixture
async def ann(world: World) -> AsyncIterator[Client]:
    async with world.open() as client:
        yield client


async def watch(client: Client, key: str, title: str = "Test") -> None:
    await client.profiles.add_to_watch_history("ann", key, "movie", title)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("load", ["config"]),
        ("save", ["config", "data", "operation"]),
        ("create_operation", ["type", "endpoint", "data"]),
        ("add_to_queue", ["operation"]),
        ("process_sync_queue", []),
        ("start_periodic_sync", ["config"]),
        ("stop_periodic_sync", ["config"]),
    ],
)
def test_the_service_has_the_seeds_methods(name: str, parameters: list[str]) -> None:
    signature = inspect.signature(getattr(SyncService, name))
    assert list(signature.parameters) == ["self", *parameters]


def test_a_config_takes_both_spellings() -> None:
    snake = SyncConfig(cache_key="k", api_endpoint="/api/k", sync_interval=5)
    assert SyncConfig(cacheKey="k", apiEndpoint="/api/k", syncInterval=5_000) == snake
    assert SyncConfig(cache_key="k", api_endpoint="/api/k").sync_interval == 30.0


@pytest.mark.parametrize(
    "bad",
    [
        {"cacheKey": "", "apiEndpoint": "/x"},
        {"cacheKey": "k", "apiEndpoint": "https://evil.test/x"},
        {"cacheKey": "k", "apiEndpoint": "/x", "syncInterval": 0},
        {"cacheKey": "k", "apiEndpoint": "/x", "syncInterval": "30000"},
        {"cacheKey": "k", "apiEndpoint": "/x", "syncInterval": float("nan")},
        {"cacheKey": "k"},
    ],
)
def test_a_config_that_cannot_be_used_is_a_typed_error(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidDataError):
        SyncConfig(**bad)


@pytest.mark.parametrize("key", ["my_key", "with space", "é/ü", "a:b", "session2"])
async def test_any_cache_key_is_stored_under_its_name(world: World, ann: Client, key: str) -> None:
    await ann.service.save(SyncConfig(cache_key=key, api_endpoint="/api/x"), {"a": [1]})
    assert world.stored(f"atiha_{key}") == {"a": [1]}


async def test_saving_a_collection_journals_the_operation_and_rewrites_the_view(
    world: World, ann: Client
) -> None:
    config = SyncConfig(cache_key="watch_history_ann", api_endpoint=HISTORY)
    entry = {"contentId": "m1", "contentType": "movie", "progress": 10}
    operation = ann.service.create_operation("create", HISTORY, entry)
    await ann.service.save(config, ["whatever"], operation)
    [row] = world.stored("atiha_watch_history_ann")
    assert (row["contentId"], row["progress"]) == ("m1", 10)
    assert ann.status.pending == 1


async def test_a_save_whose_operation_is_bad_changes_nothing(world: World, ann: Client) -> None:
    config = SyncConfig(cache_key="my_key", api_endpoint="/api/x")
    await ann.service.save(config, "old")
    bad = ann.service.create_operation("create", "/api/users/ann/ratings", {"rating": 3})
    with pytest.raises(InvalidDataError):
        await ann.service.save(config, "new", bad)
    assert (world.stored("atiha_my_key"), ann.status.pending) == ("old", 0)


async def test_a_save_without_room_changes_nothing(world: World, ann: Client) -> None:
    config = SyncConfig(cache_key="my_key", api_endpoint="/api/x")
    operation = ann.service.create_operation("create", HISTORY, {"contentId": "m1"})
    world.origin.quota = world.origin.used + 100
    with pytest.raises(StorageFullError):
        await ann.service.save(config, "x" * 1_000, operation)
    assert ann.status.pending == 0
    assert "atiha_my_key" not in world.origin.items


async def test_loading_a_collection_gives_its_rows_newest_first(
    world: World, ann: Client, wall: ManualClock
) -> None:
    for key in ("m1", "m2"):
        wall.advance(1)
        await watch(ann, key)
    config = SyncConfig(cache_key="watch_history_ann", api_endpoint=HISTORY)
    rows = await ann.service.load(config)
    assert [row["contentId"] for row in rows] == ["m2", "m1"]
    world.device.break_network()
    assert await ann.service.load(config) == rows


async def test_an_update_leaves_other_members_as_they_are(world: World, ann: Client) -> None:
    await watch(ann, "m1", "The General")
    change = ann.service.create_operation("update", HISTORY, {"contentId": "m1", "progress": 30})
    await ann.service.add_to_queue(change)
    [row] = world.stored("atiha_watch_history_ann")
    assert (row["title"], row["progress"]) == ("The General", 30)


async def test_a_deletion_may_name_its_record_in_the_query(world: World, ann: Client) -> None:
    await watch(ann, "m1")
    gone = ann.service.create_operation("delete", f"{HISTORY}?contentId=m1", {})
    await ann.service.add_to_queue(gone)
    assert world.stored("atiha_watch_history_ann") == []


async def test_a_view_is_an_array_of_at_most_50_newest_entries(
    world: World, ann: Client, wall: ManualClock
) -> None:
    for number in range(60):
        wall.advance(1)
        await watch(ann, f"m{number}")
    keys = [row["contentId"] for row in world.stored("atiha_watch_history_ann")]
    assert keys == [f"m{number}" for number in range(59, 9, -1)]


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
async def test_a_view_is_at_most_16_kib_with_the_entry_just_written(
    world: World, ann: Client, wall: ManualClock, letter: str
) -> None:
    for number in range(20):
        wall.advance(1)
        await ann.profiles.add_rating("ann", f"m{number}", 3, letter * 1_000)
    text = world.origin.items["atiha_ratings_ann"]
    assert len(text.encode()) <= 16 * 1024
    assert json.loads(text)[0]["contentId"] == "m19"


async def test_rows_are_prisma_shaped(world: World, ann: Client) -> None:
    await watch(ann, "m1")
    [row] = world.stored("atiha_watch_history_ann")
    shape = {"id", "userId", "contentId", "contentType", "createdAt", "updatedAt"}
    assert shape <= row.keys()
    assert row["userId"] == "ann"
    assert datetime.fromisoformat(row["updatedAt"]).utcoffset() is not None


async def test_the_profiles_key_holds_an_object(world: World, ann: Client) -> None:
    await ann.profiles.update_user_profile("ann", language="fr")
    assert world.stored("atiha_profile_ann")["language"] == "fr"


async def test_the_queue_holds_at_most_50_items_in_the_seeds_shape(
    world: World, ann: Client
) -> None:
    for number in range(60):
        await watch(ann, f"m{number}")
    queue = world.stored("atiha_sync_queue")
    assert len(queue) == 50
    item = queue[0]
    assert item.keys() == {"id", "type", "endpoint", "data", "timestamp", "userId"}
    assert (item["type"], item["endpoint"], item["userId"]) == ("create", HISTORY, "ann")
    assert item["data"]["contentId"] == "m0"


async def test_the_queue_is_non_empty_exactly_while_something_is_pending(
    world: World, ann: Client
) -> None:
    assert world.stored("atiha_sync_queue") == []
    await watch(ann, "m1")
    assert len(world.stored("atiha_sync_queue")) == 1
    await ann.service.process_sync_queue()
    assert world.stored("atiha_sync_queue") == []


async def test_the_queue_tells_another_tab_within_a_second(world: World) -> None:
    async with world.open() as one, world.open() as other:
        await watch(one, "m1")
        await asyncio.sleep(1)
        await other.sync()
        await asyncio.sleep(1)
        await turns()
        assert world.stored("atiha_sync_queue") == []
        assert one.status.pending == 0


async def test_the_last_sync_is_an_object_from_cache_key_to_time(world: World, ann: Client) -> None:
    await ann.sync()
    times = world.stored("atiha_last_sync")
    assert {"watch_history_ann", "watchlist_ann", "favorites_ann", "ratings_ann"} <= times.keys()
    assert all(datetime.fromisoformat(time) for time in times.values())


async def test_views_are_rebuilt_whatever_became_of_them(world: World) -> None:
    async with world.open() as client:
        await watch(client, "m1")
    expected = {
        key: text
        for key, text in world.origin.items.items()
        if key.startswith("atiha_") and "last_sync" not in key
    }
    for key in expected:
        world.origin.set(key, "garbage" if "history" in key else None)
    async with world.open():
        assert {key: world.origin.items[key] for key in expected} == expected


class FullForViews(MemoryStorage):
    """Has room for the engine's own keys, and none for views."""

    async def write(self, changes: Any) -> None:
        for key, value in changes.items():
            if value is not None and key.startswith("atiha_"):
                raise StorageFullError("full")
            await super().write({key: value})


async def test_a_view_that_cannot_be_written_is_removed_and_never_an_error(world: World) -> None:
    async with world.open() as client:
        await watch(client, "m1")
    async with world.open(FullForViews(world.origin)) as client:
        await watch(client, "m2")
        assert "atiha_watch_history_ann" not in world.origin.items
        assert set(client["watch_history"]) == {"m1", "m2"}


async def test_a_sync_runs_by_itself_at_once_and_within_30_s(world: World) -> None:
    async with world.open(background=True):
        await asyncio.sleep(0.5)
        first = len(world.server.requests)
        assert first > 0
        await asyncio.sleep(30)
        assert len(world.server.requests) >= 2 * first


async def test_a_changed_interval_takes_the_place_of_the_old_one(world: World, ann: Client) -> None:
    world.server.documents["/api/x"] = [1]
    for interval in (3_600.0, 1.0):
        config = SyncConfig(cache_key="k", api_endpoint="/api/x", sync_interval=interval)
        ann.service.start_periodic_sync(config)
    await asyncio.sleep(0.5)
    before = len(world.server.requests)
    await asyncio.sleep(3)
    assert len(world.server.requests) == before + 3
    ann.service.stop_periodic_sync(config)
    await asyncio.sleep(3)
    assert len(world.server.requests) == before + 3
