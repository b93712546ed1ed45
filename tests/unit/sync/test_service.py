"""The seed's service: cached values, operations and periodic syncs by cache key."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from atiha_web import Client, InvalidDataError, NotSignedInError, SyncConfig, connect
from atiha_web.backends.base import Request, Response
from atiha_web.sync.rest_rows import unwrap
from atiha_web.testing.fake_server import (
    FakeDevice,
    FakeServer,
    answer,
    captive_portal,
    lost_request,
)

PATH = "/api/my-endpoint"
CONFIG = SyncConfig(cache_key="my_key", api_endpoint=PATH)
RATINGS = SyncConfig(cache_key="ratings_ann", api_endpoint="/api/users/ann/ratings")


@pytest.fixture
async def ann(device: FakeDevice) -> AsyncIterator[Client]:
    async with connect(backend=device.backend(), user_id="ann", background=False) as client:
        yield client


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"history": [1], "total": 1}, [1]),
        ({"a": [1], "b": [2]}, {"a": [1], "b": [2]}),
        ({"a": 1}, {"a": 1}),
        ([1], [1]),
        (None, None),
    ],
)
def test_an_object_with_exactly_one_list_is_that_list(value: object, expected: object) -> None:
    assert unwrap(value) == expected


def test_the_interval_is_in_seconds_and_under_its_alias_in_milliseconds() -> None:
    seeds = {"cacheKey": "k", "apiEndpoint": PATH, "syncInterval": 5_000}
    assert SyncConfig(**seeds).sync_interval == 5.0
    assert SyncConfig.model_validate(seeds).sync_interval == 5.0
    assert SyncConfig(cache_key="k", api_endpoint=PATH, sync_interval=5).sync_interval == 5.0
    assert CONFIG.sync_interval == 30.0


@pytest.mark.parametrize("endpoint", ["", "https://evil.example/x", "//evil.example/x", "x"])
def test_another_origin_is_no_endpoint(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"api_?endpoint"):
        SyncConfig(cache_key="k", api_endpoint=endpoint)


async def test_a_loaded_value_is_unwrapped_cached_and_dated(
    server: FakeServer, device: FakeDevice, ann: Client
) -> None:
    server.documents[PATH] = {"items": [1, 2]}
    assert await ann.service.load(CONFIG) == [1, 2]
    assert json.loads(device.origin.items["atiha_my_key"]) == [1, 2]
    assert "my_key" in json.loads(device.origin.items["atiha_last_sync"])


async def test_what_an_app_loads_of_a_user_who_is_not_signed_in_is_not_kept(
    server: FakeServer, device: FakeDevice
) -> None:
    # The server may not have heard yet that they signed out.
    server.documents[RATINGS.api_endpoint] = {"ratings": [{"contentId": "m1"}]}
    async with connect(backend=device.backend(), background=False) as client:
        assert await client.service.load(RATINGS) == [{"contentId": "m1"}]
    assert "atiha_ratings_ann" not in device.origin.items
    assert "ratings_ann" not in device.origin.items.get("atiha_last_sync", "")


@pytest.mark.parametrize("fault", [lost_request(), captive_portal()], ids=repr)
async def test_the_cache_answers_where_the_server_cannot(
    server: FakeServer, ann: Client, fault: object
) -> None:
    server.documents[PATH] = {"items": [1, 2]}
    await ann.service.load(CONFIG)
    server.fail_next(fault)  # type: ignore[arg-type]  # faults of two kinds
    assert await ann.service.load(CONFIG) == [1, 2]


async def test_nothing_anywhere_is_none(device: FakeDevice, ann: Client) -> None:
    device.set_online(online=False)
    assert await ann.service.load(CONFIG) is None


async def test_a_saved_value_is_cached_at_once(device: FakeDevice, ann: Client) -> None:
    await ann.service.save(CONFIG, {"a": 1})
    assert json.loads(device.origin.items["atiha_my_key"]) == {"a": 1}


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object()], ids=["nan", "set", "object"])
async def test_only_json_can_be_cached(device: FakeDevice, ann: Client, value: object) -> None:
    with pytest.raises(InvalidDataError):
        await ann.service.save(CONFIG, value)
    assert "atiha_my_key" not in device.origin.items


async def test_an_operation_on_a_collection_is_journaled_and_shown(
    server: FakeServer, device: FakeDevice, ann: Client
) -> None:
    data = {"contentId": "m1", "rating": 4}
    operation = ann.service.create_operation("create", RATINGS.api_endpoint, data)
    await ann.service.save(RATINGS, [data], operation)
    [row] = json.loads(device.origin.items["atiha_ratings_ann"])
    assert (row["contentId"], row["rating"]) == ("m1", 4)
    assert (await ann.service.process_sync_queue()).sent == 1
    assert [row["rating"] for row in await server.rows_of("ann", "ratings")] == [4]
    assert [row["rating"] for row in await ann.service.load(RATINGS)] == [4]


async def test_another_users_endpoint_is_refused(ann: Client) -> None:
    operation = ann.service.create_operation(
        "create", "/api/users/bob/ratings", {"contentId": "m1", "rating": 4}
    )
    with pytest.raises(Exception, match="bob"):
        await ann.service.add_to_queue(operation)
    assert ann.status.pending == 0


async def test_a_periodic_sync_loads_at_once_then_by_its_interval_until_stopped(
    server: FakeServer, ann: Client
) -> None:
    server.documents[PATH] = [1]
    config = SyncConfig(cache_key="my_key", api_endpoint=PATH, sync_interval=5)
    ann.service.start_periodic_sync(config)
    ann.service.start_periodic_sync(config)
    await asyncio.sleep(11)
    assert len(server.requests) == 3
    ann.service.stop_periodic_sync(config)
    await asyncio.sleep(20)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [429, 503])
async def test_a_periodic_sync_leaves_a_server_alone_that_asks_for_it(
    server: FakeServer, ann: Client, status: int
) -> None:
    server.documents[PATH] = [1]
    config = SyncConfig(cache_key="my_key", api_endpoint=PATH, sync_interval=5)
    server.fail_next(answer(status, headers={"retry-after": "60"}))
    ann.service.start_periodic_sync(config)
    await asyncio.sleep(59)
    assert len(server.requests) == 1
    await asyncio.sleep(6)
    assert len(server.requests) == 2
    ann.service.stop_periodic_sync(config)


async def test_a_periodic_sync_of_a_view_leaves_a_server_alone_that_asks_for_it(
    server: FakeServer, ann: Client
) -> None:
    server.fail_next(answer(503, headers={"retry-after": "60"}))
    ann.service.start_periodic_sync(RATINGS)
    await asyncio.sleep(59)
    assert len(server.requests) == 1
    ann.service.stop_periodic_sync(RATINGS)


async def test_reading_does_not_ask_a_server_that_asks_to_be_left_alone(
    server: FakeServer, ann: Client
) -> None:
    server.fail_next(answer(503, headers={"retry-after": "60"}))
    await ann.sync()
    await ann.profiles.get_ratings("ann")
    assert len(server.requests) == 1
    await asyncio.sleep(61)
    await ann.profiles.get_ratings("ann")
    assert len(server.requests) == 2


async def test_a_periodic_sync_outlives_any_mistake_and_logs_it(
    ann: Client, device: FakeDevice, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    async def fail(request: Request) -> Response:
        asked.append(request.url)
        raise RuntimeError("a mistake")

    device.transports[0].request = fail  # type: ignore[method-assign]
    config = SyncConfig(cache_key="my_key", api_endpoint=PATH, sync_interval=5)
    ann.service.start_periodic_sync(config)
    await asyncio.sleep(11)
    ann.service.stop_periodic_sync(config)
    assert len(asked) == 3
    assert {record.message for record in caplog.records} == {
        "periodic sync of my_key failed unexpectedly"
    }


async def test_nobody_signed_in_has_no_queue(device: FakeDevice) -> None:
    async with connect(backend=device.backend(), background=False) as client:
        with pytest.raises(NotSignedInError):
            await client.service.process_sync_queue()
