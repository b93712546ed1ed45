"""``protocol="rest"`` over real HTTP, against a server that does not know us."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import atiha_web
from atiha_web import Client, SyncConfig
from atiha_web.backends.base import Response
from atiha_web.backends.httpx import HttpxTransport
from atiha_web.backends.memory import MemoryOrigin, memory_backend
from atiha_web.testing.fake_server import Fault, captive_portal, lost_reply
from tests.plain_rest import PlainRest, serve

RATINGS = "/api/users/ann/ratings"
HISTORY = "/api/users/ann/watch-history"


@pytest.fixture
def rest() -> PlainRest:
    return PlainRest()


@pytest.fixture
def url(rest: PlainRest) -> Iterator[str]:
    with serve(rest) as url:
        yield url


@pytest.fixture
def origin() -> MemoryOrigin:
    return MemoryOrigin()


@pytest.fixture
async def client(url: str, origin: MemoryOrigin) -> AsyncIterator[Client]:
    async with open_client(url, origin) as client:
        yield client


def open_client(url: str, origin: MemoryOrigin) -> Any:
    backend = memory_backend(HttpxTransport(), origin)
    return atiha_web.connect(
        url, user_id="ann", token="t", protocol="rest", background=False, backend=backend
    )


def refused(status: int) -> Fault:
    body = b'{"error": "refused"}'
    return Fault(acts=0, reply=Response(status, {"content-type": "application/json"}, body))


def stored(origin: MemoryOrigin, key: str) -> Any:
    return json.loads(origin.items.get(key, "null"))


async def test_writes_become_posts_and_deletes_in_their_order(
    rest: PlainRest, client: Client
) -> None:
    await client.profiles.add_rating("ann", "m1", 3)
    await client.profiles.add_rating("ann", "m1", 4, "Better.")
    await client.profiles.remove_rating("ann", "m1")
    await client.profiles.add_to_watch_history("ann", "m2", "movie", "Test", progress=12.5)
    report = await client.sync()
    assert (report.ok, report.sent) == (True, 4)
    assert rest.effects == [
        ("POST", RATINGS, "m1"),
        ("POST", RATINGS, "m1"),
        ("DELETE", RATINGS, "m1"),
        ("POST", HISTORY, "m2"),
    ]
    [row] = rest.rows_at(HISTORY)
    assert (row["contentId"], row["progress"], row["title"]) == ("m2", 12.5, "Test")


async def test_rows_of_the_server_are_read_and_shown(
    rest: PlainRest, client: Client, origin: MemoryOrigin
) -> None:
    rest.tables[RATINGS] = {
        "m1": {
            "id": "cuid1",
            "userId": "ann",
            "contentId": "m1",
            "rating": 4,
            "review": None,
            "mood": "happy",
            "createdAt": "2025-01-05T12:00:00.000Z",
            "updatedAt": "2025-01-06T12:00:00.000Z",
        }
    }
    assert (await client.sync()).received == 2  # the rating, and the user's own resource
    rating = client["ratings"]["m1"]
    assert isinstance(rating, atiha_web.Rating)
    assert rating.rating == 4
    assert rating.updated_at is not None
    assert rating.updated_at.isoformat() == "2025-01-06T12:00:00+00:00"
    assert rating.created_at is not None
    assert rating.created_at.isoformat() == "2025-01-05T12:00:00+00:00"
    [row] = stored(origin, "atiha_ratings_ann")
    assert row["mood"] == "happy"


async def test_a_lost_reply_takes_effect_once_under_one_key_and_the_same_bytes(
    rest: PlainRest, client: Client
) -> None:
    rest.fail_next(lost_reply())
    await client.profiles.add_rating("ann", "m1", 4)
    assert (await client.sync()).ok
    first, second = [each for each in rest.requests if each.method == "POST"]
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body
    assert rest.effects == [("POST", RATINGS, "m1")]


async def test_a_captive_portal_is_no_server(rest: PlainRest, client: Client) -> None:
    rest.next_fault = lambda _: captive_portal()
    await client.profiles.add_rating("ann", "m1", 4)
    assert not (await client.sync()).ok
    assert client.status.pending == 1
    rest.next_fault = lambda _: Fault()
    assert (await client.sync()).ok
    assert [row["rating"] for row in rest.rows_at(RATINGS)] == [4]


async def test_a_reply_led_elsewhere_by_a_redirect_is_no_success(
    rest: PlainRest, client: Client
) -> None:
    other = PlainRest()
    with serve(other) as portal:
        led = Response(307, {"location": f"{portal}/api/free"}, b"")
        rest.next_fault = lambda _: Fault(acts=0, reply=led)
        await client.profiles.add_rating("ann", "m1", 4)
        report = await client.sync()
    assert not report.ok
    assert "another server" in report.message
    assert client.status.pending == 1


async def test_a_post_that_a_redirect_turned_into_a_get_is_no_success(
    rest: PlainRest, client: Client
) -> None:
    led = Response(302, {"location": RATINGS + "?page=1"}, b"")
    rest.next_fault = lambda request: (
        Fault(acts=0, reply=led) if request.method == "POST" else Fault()
    )
    await client.profiles.add_rating("ann", "m1", 4)
    assert not (await client.sync()).ok
    assert client.status.pending == 1


async def test_401_in_the_middle_keeps_everything_and_goes_on_later(
    rest: PlainRest, client: Client
) -> None:
    for key in ("m1", "m2", "m3"):
        await client.profiles.add_rating("ann", key, 4)
    rest.fail_next(Fault(), refused(401))
    await client.sync()
    assert client.status.state == "needs_auth"
    assert client.status.pending == 2
    await client.sync()
    assert [row["contentId"] for row in rest.rows_at(RATINGS)] == ["m1", "m2", "m3"]


@pytest.mark.parametrize("status", [404, 410])
async def test_a_deletion_of_what_is_gone_is_done(
    rest: PlainRest, client: Client, status: int
) -> None:
    await client.profiles.add_favorite("ann", "m1")
    await client.sync()
    rest.fail_next(refused(status))
    await client.profiles.remove_favorite("ann", "m1")
    await client.sync()
    assert client.status.pending == client.status.quarantined == 0


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422])
async def test_a_refused_operation_goes_to_quarantine_and_the_next_goes_on(
    rest: PlainRest, client: Client, status: int
) -> None:
    rest.fail_next(refused(status))
    await client.profiles.add_rating("ann", "m1", 4)
    await client.profiles.add_rating("ann", "m2", 5)
    report = await client.sync()
    assert (report.sent, report.rejected) == (1, 1)
    [entry] = client.signed_in.engine.quarantined
    assert (entry.operation.key, entry.code) == ("m1", f"http_{status}")
    assert [row["contentId"] for row in rest.rows_at(RATINGS)] == ["m2"]


@pytest.mark.parametrize("status", [408, 425, 500, 502])
async def test_what_may_pass_is_tried_three_times_in_a_cycle(
    rest: PlainRest, client: Client, status: int
) -> None:
    rest.fail_next(refused(status), refused(status))
    await client.profiles.add_rating("ann", "m1", 4)
    assert (await client.sync()).ok
    assert rest.sent() == [("POST", RATINGS)] * 3


async def test_a_patch_carries_what_changes(rest: PlainRest, client: Client) -> None:
    await client.profiles.add_rating("ann", "m1", 4, "Fine.", title="The General")
    await client.sync()
    update = client.service.create_operation("update", RATINGS, {"contentId": "m1", "rating": 2})
    await client.service.add_to_queue(update)
    rating = client["ratings"]["m1"]
    assert isinstance(rating, atiha_web.Rating)
    assert (rating.rating, rating.review, rating.title) == (2, "Fine.", "The General")
    await client.sync()
    [request] = [each for each in rest.requests if each.method == "PATCH"]
    assert json.loads(request.body or b"") == {"contentId": "m1", "rating": 2}
    [row] = rest.rows_at(RATINGS)
    assert (row["rating"], row["review"]) == (2, "Fine.")


async def test_a_put_carries_the_whole(rest: PlainRest, url: str) -> None:
    async with atiha_web.connect(
        url,
        user_id="ann",
        protocol="rest",
        update_method="PUT",
        background=False,
        backend=memory_backend(HttpxTransport()),
    ) as client:
        await client.profiles.add_rating("ann", "m1", 4, "Fine.")
        await client.sync()
        change = {"contentId": "m1", "rating": 2}
        await client.service.add_to_queue(
            client.service.create_operation("update", RATINGS, change)
        )
        await client.sync()
    [row] = rest.rows_at(RATINGS)
    assert (row["rating"], row["review"]) == (2, "Fine.")
    assert rest.sent("PUT") == [("PUT", RATINGS)]


async def test_the_profile_is_patched_at_the_users_own_resource(
    rest: PlainRest, client: Client
) -> None:
    rest.people["ann"] = {
        "id": "ann",
        "language": "fr",
        "passwordHash": "secret",
        "preferences": {"theme": "dark"},
        "updatedAt": "2025-01-06T12:00:00.000Z",
    }
    await client.sync()
    await client.profiles.update_user_profile("ann", preferences={"volume": 3})
    profile = await client.profiles.get_user_profile("ann")
    assert profile.language == "fr"
    await client.sync()
    assert rest.people["ann"]["preferences"] == {"theme": "dark", "volume": 3}
    assert "secret" not in json.dumps(client._backend.storage.origin.items)  # type: ignore[attr-defined]


async def test_any_endpoint_may_be_queued_and_survives_the_page(
    rest: PlainRest, url: str, origin: MemoryOrigin
) -> None:
    async with open_client(url, origin) as client:
        config = SyncConfig(cache_key="my_key", api_endpoint="/api/free/notes")
        operation = client.service.create_operation("create", config.api_endpoint, {"id": 7})
        await client.service.save(config, [1, 2], operation)
        assert stored(origin, "atiha_my_key") == [1, 2]
        [item] = stored(origin, "atiha_sync_queue")
    assert (item["type"], item["endpoint"], item["data"], item["userId"]) == (
        "create",
        "/api/free/notes",
        {"id": 7},
        "ann",
    )
    async with open_client(url, origin) as client:
        await client.service.process_sync_queue()
        assert rest.effects == [("POST", "/api/free/notes", "7")]
        assert stored(origin, "atiha_sync_queue") == []


async def test_the_last_sync_of_each_list_is_noted(client: Client, origin: MemoryOrigin) -> None:
    await client.sync()
    assert "ratings_ann" in stored(origin, "atiha_last_sync")
