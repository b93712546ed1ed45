"""The profile service: what a person does, and what they see at once."""

import json
from collections.abc import Awaitable, Callable

import pytest

from atiha_web import Client, InvalidDataError
from atiha_web.testing.fake_server import FakeDevice, FakeServer

ANN = "user-1"
OpenClient = Callable[..., Awaitable[Client]]


async def test_a_rating_replaces_the_earlier_one(client: Client) -> None:
    await client.profiles.add_rating(ANN, "m1", 2)
    await client.profiles.add_rating(ANN, "m1", 5, "Grew on me")
    [rating] = await client.profiles.get_ratings(ANN)
    assert (rating.rating, rating.review) == (5, "Grew on me")


@pytest.mark.parametrize("stars", [0, 6, -1, 2.5, "5", True])
async def test_a_rating_is_one_to_five_and_nothing_changes_otherwise(
    client: Client, stars: int
) -> None:
    with pytest.raises(InvalidDataError, match="rating"):
        await client.profiles.add_rating(ANN, "m1", stars)
    assert (client.status.pending, len(client["ratings"])) == (0, 0)


async def test_a_favorite_is_there_once(client: Client) -> None:
    first = await client.profiles.add_favorite(ANN, "m1")
    second = await client.profiles.add_favorite(ANN, "m1")
    assert (first.operation is not None, second.operation) == (True, None)
    assert len(await client.profiles.get_favorites(ANN)) == 1
    assert await client.profiles.is_favorite(ANN, "m1")


async def test_removing_what_is_not_there_changes_nothing(client: Client) -> None:
    write = await client.profiles.remove_favorite(ANN, "m1")
    await write.saved()
    assert (write.operation, write.record, client.status.pending) == (None, None, 0)


async def test_a_removed_entry_is_gone_at_once(client: Client) -> None:
    await client.profiles.add_to_watchlist(ANN, "m1", "movie", "Nosferatu")
    await client.profiles.remove_from_watchlist(ANN, "m1")
    assert await client.profiles.get_watchlist(ANN) == []


async def test_the_history_is_newest_first_and_limited(client: Client) -> None:
    for number in range(5):
        await client.profiles.add_to_watch_history(ANN, f"m{number}", "movie", "A film")
    found = await client.profiles.get_watch_history(ANN, 2)
    assert [entry.content_id for entry in found] == ["m4", "m3"]


async def test_an_entry_keeps_its_id_through_its_sync(client: Client, api: FakeServer) -> None:
    write = await client.profiles.add_rating(ANN, "m1", 5)
    await client.sync()
    assert write.record is not None
    [row] = await api.rows_of(ANN, "ratings")
    assert (row["id"], row["userId"]) == (getattr(write.record, "id", None), ANN)


async def test_the_seeds_keys_hold_the_entry_as_soon_as_the_call_returns(
    client: Client, phone: FakeDevice
) -> None:
    await client.profiles.add_rating(ANN, "m1", 5)
    [row] = json.loads(phone.origin.items[f"atiha_ratings_{ANN}"])
    [queued] = json.loads(phone.origin.items["atiha_sync_queue"])
    assert (row["contentId"], row["rating"]) == ("m1", 5)
    assert (queued["userId"], queued["type"]) == (ANN, "create")
    assert queued["endpoint"] == f"/api/users/{ANN}/ratings"


async def test_reads_ask_an_unreachable_server_only_once(
    api: FakeServer, phone: FakeDevice, client: Client, open_client: OpenClient
) -> None:
    await client.close()
    phone.set_online(online=False)
    again = await open_client()
    before = len(api.requests)
    await again.profiles.get_ratings(ANN)
    await again.profiles.get_watchlist(ANN)
    assert len(api.requests) - before <= 1
