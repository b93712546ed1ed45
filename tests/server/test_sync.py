"""The protocol, over HTTP."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx
import pytest

from atiha_web.server.routes.parameters import wall_clock
from atiha_web.sync import hlc
from atiha_web.sync.digest import row_digest, to_text
from atiha_web.sync.protocol import MAX_BATCH_BYTES, SyncReply
from tests.server.fixtures import Account

WRITER = "0123456789ab"
OTHER_WRITER = "fedcba987654"

Sync = Callable[..., Any]
_numbers = itertools.count(1)


def stamp(ms_ago: int = 10_000, writer: str = WRITER) -> str:
    return hlc.tick(wall_clock() - ms_ago, writer)


def operation(
    key: str = "m1", *, collection: str = "ratings", timestamp: str | None = None, **data: Any
) -> dict[str, Any]:
    """A put of `data`, else of a rating; a delete with `type="delete"`."""
    kind = data.pop("type", "put")
    found = {
        "id": f"{WRITER}-{next(_numbers)}",
        "collection": collection,
        "key": key,
        "type": kind,
        "timestamp": timestamp or stamp(),
    }
    return found if kind == "delete" else {**found, "data": data or {"rating": 5}}


@pytest.fixture
def sync(api: httpx.AsyncClient, user: Account) -> Sync:
    """A function that makes one round trip, with the epoch it learnt, and returns the reply."""
    known: dict[str, str] = {}

    async def call(*operations: object, cursor: int = 0, **more: Any) -> SyncReply:
        body = {"protocol": 1, "cursor": cursor, "operations": operations, **known, **more}
        reply = await api.post(f"/api/users/{user.id}/sync", json=body, headers=user.headers)
        assert reply.status_code == 200, reply.text
        assert reply.headers["atiha-protocol"] == "1"
        answer = SyncReply.model_validate_json(reply.content)
        known["epoch"] = answer.epoch
        return answer

    return call


async def raw(api: httpx.AsyncClient, user: Account, body: bytes) -> httpx.Response:
    headers = {**user.headers, "Content-Type": "application/json"}
    return await api.post(f"/api/users/{user.id}/sync", content=body, headers=headers)


async def test_an_operation_is_applied_and_numbered(sync: Sync) -> None:
    sent = operation(contentType="movie", title="", rating=4)
    reply = await sync(sent)
    [result] = reply.results
    assert (result.id, result.status, result.version) == (sent["id"], "applied", 1)
    assert result.record is None
    assert reply.cursor == 1


async def test_what_this_push_wrote_is_not_echoed(sync: Sync) -> None:
    assert (await sync(operation())).changes == []


async def test_another_device_pulls_what_was_pushed(sync: Sync) -> None:
    sent = operation("m1", rating=4, review="Fine")
    await sync(sent, operation("m2", type="delete"))
    [first, second] = (await sync()).changes
    assert (first.key, first.version, first.timestamp) == ("m1", 1, sent["timestamp"])
    assert first.data == {"contentType": "movie", "title": "", "rating": 4, "review": "Fine"}
    assert (second.key, second.deleted, second.data) == ("m2", True, None)


async def test_the_same_operation_twice_has_no_effect(sync: Sync) -> None:
    sent = operation()
    first, second = await sync(sent), await sync(sent)
    assert first.results == second.results
    assert first.cursor == second.cursor == 1
    assert first.digest == second.digest


async def test_an_older_operation_is_superseded_and_learns_by_what(sync: Sync) -> None:
    newer = operation(rating=5, timestamp=stamp(1_000))
    await sync(newer)
    reply = await sync(operation(rating=1, timestamp=stamp(2_000)))
    [result] = reply.results
    assert (result.status, result.version, reply.cursor) == ("superseded", 1, 1)
    assert result.record is not None
    assert (result.record.timestamp, result.record.data["rating"]) == (newer["timestamp"], 5)


async def test_operations_on_one_record_become_one_row(sync: Sync) -> None:
    batch = [operation(rating=n, timestamp=stamp(5_000 - n)) for n in (1, 3, 2)]
    reply = await sync(*batch)
    assert [result.version for result in reply.results] == [1, 1, 1]
    assert reply.cursor == 1
    [change] = (await sync()).changes
    assert change.data["rating"] == 3


async def test_watching_merges_what_two_devices_did(sync: Sync) -> None:
    session = stamp(9_000)
    viewing = {"collection": "watch_history", "session": session}
    await sync(operation(**viewing, progress=95, completed=True, timestamp=stamp(2_000)))
    reply = await sync(operation(**viewing, progress=97, timestamp=stamp(1_000, OTHER_WRITER)))
    [result] = reply.results
    assert result.status == "applied"
    assert result.record.data["completed"] is True
    assert result.record.data["progress"] == 97


async def test_a_delete_leaves_a_tombstone_that_an_older_write_does_not_raise(sync: Sync) -> None:
    await sync(operation(timestamp=stamp(3_000)))
    await sync(operation(type="delete", timestamp=stamp(1_000)))
    [result] = (await sync(operation(rating=1, timestamp=stamp(2_000)))).results
    assert result.status == "superseded"
    assert result.record.deleted


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (operation(rating=6), "invalid"),
        (operation(rating="5"), "invalid"),
        (operation(rating=5, title="a\u0000b"), "invalid"),
        (operation("a\u0000b"), "invalid"),
        (operation(""), "invalid"),
        (operation("k" * 257), "invalid"),
        (operation(timestamp="yesterday"), "invalid"),
        (operation(collection="nonsense", a=1), "unknown_collection"),
        (operation(rating=5, extra="x" * 33_000), "too_large"),
        ({**operation(), "schema": 99}, "newer_schema"),
        ({**operation(), "type": "explode"}, "invalid"),
        ({"id": f"{WRITER}-7"}, "invalid"),
        ("nonsense", "invalid"),
        (None, "invalid"),
        ([[]], "invalid"),
    ],
)
async def test_a_bad_operation_is_refused_and_blocks_no_other(
    sync: Sync, bad: object, code: str
) -> None:
    reply = await sync(operation("good 1"), bad, operation("good 2"))
    first, refused, last = reply.results
    assert (first.status, last.status) == ("applied", "applied")
    assert (refused.status, refused.code) == ("rejected", code)
    assert refused.message
    assert refused.id == (bad["id"] if isinstance(bad, dict) else "")


async def test_a_batch_of_bad_operations_only_is_answered_too(sync: Sync) -> None:
    reply = await sync(operation(rating=6), cursor=0)
    assert [result.status for result in reply.results] == ["rejected"]
    assert reply.cursor == 0


async def test_a_timestamp_from_the_future_is_sent_back(sync: Sync) -> None:
    reply = await sync(operation(timestamp=stamp(-62_000)), operation("m2"))
    assert [result.status for result in reply.results] == ["clock", "applied"]
    assert [change.key for change in (await sync()).changes] == ["m2"]
    assert abs(reply.server_time - wall_clock()) < 10_000


async def test_a_clock_a_minute_ahead_is_near_enough(sync: Sync) -> None:
    [result] = (await sync(operation(timestamp=stamp(-55_000)))).results
    assert result.status == "applied"


async def test_paging_reaches_every_row_once(sync: Sync) -> None:
    await sync(*(operation(f"m{number}") for number in range(7)))
    seen, cursor, more = [], 0, True
    while more:
        reply = await sync(cursor=cursor, limit=3)
        assert len(reply.changes) <= 3
        seen += [change.key for change in reply.changes]
        cursor, more = reply.cursor, reply.more
    assert seen == [f"m{number}" for number in range(7)]
    assert cursor == 7


async def test_a_push_that_leaves_more_to_pull_keeps_the_cursor_behind(sync: Sync) -> None:
    await sync(*(operation(f"m{number}") for number in range(3)))
    reply = await sync(operation("new"), limit=2)
    assert ([change.key for change in reply.changes], reply.more) == (["m0", "m1"], True)
    assert (reply.cursor, reply.digest) == (2, None)
    rest = await sync(cursor=reply.cursor, limit=2)
    assert [change.key for change in rest.changes] == ["m2", "new"]


async def test_the_digest_covers_live_rows(sync: Sync) -> None:
    await sync(operation("m1"), operation("m2"), operation("m3"))
    reply = await sync(
        operation("m1", rating=1, timestamp=stamp(0)),
        operation("m2", type="delete", timestamp=stamp(0)),
    )
    expected = row_digest("ratings", "m3", 3) ^ row_digest("ratings", "m1", 4)
    assert reply.digest == to_text(expected)
    assert (await sync(cursor=reply.cursor)).digest == to_text(expected)


@pytest.mark.parametrize(
    "position",
    [
        {"epoch": "another", "cursor": 1},
        {"epoch": "another"},
        {"epoch": None, "cursor": 1},
        {"cursor": 3},
        {"cursor": 2**63},
    ],
)
async def test_a_cursor_that_means_nothing_is_reset_and_operations_count(
    sync: Sync, position: dict[str, Any]
) -> None:
    await sync(operation("m1"), operation("m2"))
    reply = await sync(operation("m3"), **position)
    assert (reply.reset, reply.cursor, reply.changes) == (True, 0, [])
    assert [result.status for result in reply.results] == ["applied"]
    again = await sync(cursor=reply.cursor)
    assert not again.reset
    assert [change.key for change in again.changes] == ["m1", "m2", "m3"]


async def test_the_own_epoch_is_no_reset(sync: Sync) -> None:
    first = await sync(operation())
    assert not (await sync(cursor=first.cursor)).reset


async def test_an_idle_poll_is_small(api: httpx.AsyncClient, user: Account, sync: Sync) -> None:
    first = await sync(operation())
    body = {"protocol": 1, "epoch": first.epoch, "cursor": first.cursor}
    reply = await raw(api, user, json.dumps(body).encode())
    assert len(reply.content) <= 300
    assert json.loads(reply.content).keys() == {
        *("protocol", "epoch", "cursor", "serverTime", "digest")
    }


async def test_another_protocol_is_refused(api: httpx.AsyncClient, user: Account) -> None:
    reply = await raw(api, user, b'{"protocol": 2, "cursor": {"new": "shape"}}')
    assert (reply.status_code, reply.json()["code"]) == (426, "unsupported_protocol")
    assert reply.headers["atiha-protocol"] == "1"


async def test_501_operations_are_too_many(api: httpx.AsyncClient, user: Account) -> None:
    body = {"protocol": 1, "cursor": 0, "operations": [None] * 501}
    reply = await raw(api, user, json.dumps(body).encode())
    assert (reply.status_code, reply.json()["code"]) == (413, "too_large")


async def test_500_operations_are_not(sync: Sync) -> None:
    reply = await sync(*(operation(f"m{number}") for number in range(500)))
    assert {result.status for result in reply.results} == {"applied"}
    assert reply.cursor == 500


async def test_a_larger_body_is_refused(api: httpx.AsyncClient, user: Account) -> None:
    reply = await raw(api, user, b'{"x": "' + b"x" * (MAX_BATCH_BYTES + 5_000) + b'"}')
    assert (reply.status_code, reply.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"protocol": 1, "cursor": NaN}', 422),
        (b'{"protocol": 1, "cursor": 0, "operations": [{"id": "\\ud800"}]}', 400),
        pytest.param(b"[" * 100_000, 400, id="a hundred thousand brackets"),
        (b"[]", 422),
        (b'{"protocol": 1}', 422),
        (b'{"protocol": 1, "cursor": -1}', 422),
        (b'{"protocol": 1, "cursor": 0, "operations": {}}', 422),
        (b'{"protocol": 1, "cursor": 0, "limit": 0}', 422),
        (b'{"protocol": 1, "cursor": 0, "limit": 100000}', 422),
        (b'{"protocol": 1, "cursor": 0, "epoch": "a\\u0000b"}', 200),
    ],
)
async def test_what_is_no_request_is_a_problem(
    api: httpx.AsyncClient, user: Account, body: bytes, status: int
) -> None:
    reply = await raw(api, user, body)
    assert reply.status_code == status, reply.text


@pytest.mark.parametrize("number", ["1e999", "NaN", "Infinity"])
async def test_numbers_that_are_none_are_never_stored(
    api: httpx.AsyncClient, user: Account, sync: Sync, number: str
) -> None:
    sent = json.dumps(operation(rating=5, extra="NUMBER")).replace('"NUMBER"', number)
    body = f'{{"protocol": 1, "cursor": 0, "operations": [{sent}]}}'
    reply = await raw(api, user, body.encode())
    assert reply.status_code in {200, 400}
    assert (await sync()).changes == []


async def test_awkward_data_comes_back_the_same(sync: Sync) -> None:
    data: dict[str, Any] = {
        "rating": 5,
        "extra": {"é🎬": [None, True, 0.1, 5e-324, 2**70 + 1, "\\u0000", {}]},
    }
    sent = operation("clé 🎬/?&#", **data)
    await sync(sent)
    [change] = (await sync()).changes
    assert change.key == sent["key"]
    assert change.data["extra"] == data["extra"]
    assert (await sync(sent)).cursor == 1


async def test_rows_are_where_the_design_says(
    sync: Sync, connection: asyncpg.Connection, user: Account
) -> None:
    sent = operation(rating=4)
    await sync(sent)
    found = await connection.fetchrow("SELECT * FROM records")
    assert found is not None
    assert {**found, "data": json.loads(found["data"])} == {
        "user_id": user.id,
        "collection": "ratings",
        "key": "m1",
        "schema": 1,
        "version": 1,
        "timestamp": sent["timestamp"],
        "deleted": False,
        "data": {"contentType": "movie", "title": "", "rating": 4},
    }


async def test_restoring_a_backup_resets_clients(
    sync: Sync, connection: asyncpg.Connection
) -> None:
    first = await sync(operation())
    await connection.execute("UPDATE sync_state SET epoch = 'restored'")
    assert (await sync(cursor=first.cursor)).reset


async def test_a_profile_is_one_record_whose_fields_are_merged_one_by_one(
    sync: Sync, user: Account, connection: asyncpg.Connection
) -> None:
    where: dict[str, Any] = {"key": user.id, "collection": "profile"}
    await sync(operation(**where, displayName="Ada", timestamp=stamp(1_000)))
    [result] = (await sync(operation(**where, language="fr", timestamp=stamp(2_000)))).results
    assert result.status == "applied"
    assert result.record.data["displayName"] == "Ada"
    shown = await connection.fetchrow("SELECT user_id, display_name, language FROM profile")
    assert tuple(shown or ()) == (user.id, "Ada", "fr")


async def test_nobody_has_the_profile_of_another(sync: Sync) -> None:
    [result] = (await sync(operation("bob", collection="profile", language="fr"))).results
    assert (result.status, result.code) == ("rejected", "invalid")
