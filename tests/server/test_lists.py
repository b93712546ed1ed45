"""The REST routes of the collections."""

from typing import Any

import httpx
import pytest

from atiha_web.server.routes.parameters import wall_clock
from atiha_web.sync import hlc
from atiha_web.sync.operation import record_id
from tests.server.fixtures import Account

ENTRIES: dict[str, tuple[str, dict[str, Any]]] = {
    "watch-history": ("history", {"progress": 12.5, "duration": 600, "completed": False}),
    "watchlist": ("watchlist", {}),
    "favorites": ("favorites", {}),
    "ratings": ("ratings", {"rating": 5, "review": "Très beau"}),
}


def address(user: Account, name: str = "ratings") -> str:
    return f"/api/users/{user.id}/{name}"


@pytest.mark.parametrize("name", ENTRIES)
async def test_what_is_posted_is_read_back_as_prisma_gives_it(
    api: httpx.AsyncClient, user: Account, name: str
) -> None:
    rows_name, extra = ENTRIES[name]
    entry = {"contentId": "m1", "contentType": "series", "title": "Nosferatu", **extra}
    posted = await api.post(address(user, name), json=entry, headers=user.headers)
    assert posted.status_code == 200, posted.text
    reply = (await api.get(address(user, name), headers=user.headers)).json()
    assert reply == {rows_name: [posted.json()]}
    [row] = reply[rows_name]
    assert row | entry == row
    assert row["id"] == record_id(user.id, name.replace("-", "_"), "m1")
    assert row["userId"] == user.id
    assert row["createdAt"] == row["updatedAt"]
    assert row["updatedAt"].endswith("Z")


async def test_posting_again_replaces_and_keeps_when_it_was_created(
    api: httpx.AsyncClient, user: Account
) -> None:
    for rating in (1, 2):
        body = {"contentId": "m1", "rating": rating}
        await api.post(address(user), json=body, headers=user.headers)
    [row] = (await api.get(address(user), headers=user.headers)).json()["ratings"]
    assert row["rating"] == 2
    assert row["createdAt"] < row["updatedAt"] or row["createdAt"] == row["updatedAt"]


async def test_the_newest_comes_first_and_limit_limits(
    api: httpx.AsyncClient, user: Account
) -> None:
    for key in ("m1", "m2", "m3"):
        await api.post(address(user, "favorites"), json={"contentId": key}, headers=user.headers)
    reply = await api.get(address(user, "favorites"), params={"limit": 2}, headers=user.headers)
    assert [row["contentId"] for row in reply.json()["favorites"]] == ["m3", "m2"]


async def test_what_is_deleted_is_gone_and_deleting_again_is_harmless(
    api: httpx.AsyncClient, user: Account
) -> None:
    await api.post(address(user), json={"contentId": "a/b é", "rating": 3}, headers=user.headers)
    for _ in range(2):
        deleted = await api.delete(
            address(user), params={"contentId": "a/b é"}, headers=user.headers
        )
        assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await api.get(address(user), headers=user.headers)).json() == {"ratings": []}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"rating": 5}, "contentId"),
        ({"contentId": "m1", "rating": 0}, "rating"),
        ({"contentId": "m1", "rating": 6}, "rating"),
        ({"contentId": "m1", "rating": 4.5}, "rating"),
        ({"contentId": "m1"}, "rating"),
        ({"contentId": "", "rating": 5}, "key"),
        ({"contentId": 7, "rating": 5}, "key"),
        ({"contentId": "m\u0000", "rating": 5}, "NUL"),
        ({"contentId": "m1", "rating": 5, "review": "\u0000"}, "NUL"),
        ({"contentId": "m1", "rating": 5, "contentType": "opera"}, "contentType"),
        ({"contentId": "m1", "rating": 5, "extra": "x" * 40_000}, "bytes"),
    ],
)
async def test_what_does_not_fit_is_refused_with_the_reason(
    api: httpx.AsyncClient, user: Account, body: dict[str, Any], word: str
) -> None:
    reply = await api.post(address(user), json=body, headers=user.headers)
    assert reply.status_code == 422
    assert word in reply.json()["detail"]
    assert (await api.get(address(user), headers=user.headers)).json() == {"ratings": []}


async def test_deleting_needs_to_know_what(api: httpx.AsyncClient, user: Account) -> None:
    for params in ({}, {"contentId": ""}, {"contentId": "\u0000"}):
        reply = await api.delete(address(user), params=params, headers=user.headers)
        assert reply.status_code == 422


async def test_devices_see_what_the_rest_routes_wrote(
    api: httpx.AsyncClient, user: Account
) -> None:
    await api.post(address(user), json={"contentId": "m1", "rating": 3}, headers=user.headers)
    await api.delete(address(user), params={"contentId": "m1"}, headers=user.headers)
    reply = await api.post(
        address(user, "sync"), json={"protocol": 1, "cursor": 0}, headers=user.headers
    )
    [change] = reply.json()["changes"]
    assert (change["key"], change["version"], change["deleted"]) == ("m1", 2, True)


async def test_a_rest_write_is_newer_than_a_device_whose_clock_is_ahead(
    api: httpx.AsyncClient, user: Account
) -> None:
    ahead = hlc.tick(wall_clock() + 50_000, "0123456789ab")
    sent = {
        "id": "0123456789ab-1",
        "collection": "ratings",
        "key": "m1",
        "type": "put",
        "timestamp": ahead,
        "data": {"rating": 1},
    }
    body = {"protocol": 1, "cursor": 0, "operations": [sent]}
    await api.post(address(user, "sync"), json=body, headers=user.headers)
    reply = await api.post(
        address(user), json={"contentId": "m1", "rating": 5}, headers=user.headers
    )
    assert reply.json()["rating"] == 5


async def test_watching_on_keeps_the_viewing(api: httpx.AsyncClient, user: Account) -> None:
    sessions = set()
    for progress in (10, 20):
        body = {"contentId": "m1", "progress": progress}
        reply = await api.post(address(user, "watch-history"), json=body, headers=user.headers)
        sessions.add(reply.json()["session"])
    assert len(sessions) == 1
