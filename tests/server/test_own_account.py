"""One's own account: change it, export it, delete it."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from atiha_web.server.auth import COOKIE
from atiha_web.sync import hlc
from tests.server.fixtures import PASSWORD, Account

NEW_PASSWORD = "staple battery horse"
STAMP = hlc.tick(1_750_000_000_000, "0123456789ab")
TABLES = ("users", "tokens", "records", "sync_state")


async def change(api: httpx.AsyncClient, user: Account, **changes: Any) -> httpx.Response:
    return await api.patch(f"/api/users/{user.id}", json=changes, headers=user.headers)


async def read(api: httpx.AsyncClient, user: Account) -> dict[str, Any]:
    reply = await api.get(f"/api/users/{user.id}", headers=user.headers)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def delete(api: httpx.AsyncClient, user: Account, password: str) -> httpx.Response:
    return await api.request(
        "DELETE", f"/api/users/{user.id}", json={"password": password}, headers=user.headers
    )


async def sign_in(api: httpx.AsyncClient, email: str, password: str) -> int:
    body = {"email": email, "password": password, "session": "token"}
    return (await api.post("/api/sessions", json=body)).status_code


async def contents(connection: asyncpg.Connection) -> dict[str, list[Any]]:
    """All rows of all tables."""
    return {
        table: sorted(tuple(row) for row in await connection.fetch(f"TABLE {table}"))
        for table in TABLES
    }


# -- changing --------------------------------------------------------------------------------


async def test_name_and_address_change_and_the_address_is_normalised(
    api: httpx.AsyncClient, user: Account
) -> None:
    reply = await change(api, user, name="Ada L.", email=" Countess@Example.TEST ")
    assert reply.status_code == 200, reply.text
    account = await read(api, user)
    assert account == reply.json()
    assert (account["name"], account["email"]) == ("Ada L.", "countess@example.test")
    assert account["updatedAt"] > account["createdAt"]
    assert await sign_in(api, "countess@example.test", PASSWORD) == 200
    assert await sign_in(api, user.email, PASSWORD) == 401


async def test_profile_fields_change_one_by_one_and_reach_every_device(
    api: httpx.AsyncClient, user: Account
) -> None:
    await change(api, user, displayName="Ada", preferences={"theme": "dark"})
    await change(api, user, autoplay=False, preferences={"size": 3})
    account = await read(api, user)
    assert account["displayName"] == "Ada"
    assert account["autoplay"] is False
    assert account["preferences"] == {"theme": "dark", "size": 3}
    assert account["email"] == user.email
    poll = {"protocol": 1, "cursor": 0}
    address = f"/api/users/{user.id}/sync"
    [row] = (await api.post(address, json=poll, headers=user.headers)).json()["changes"]
    assert (row["collection"], row["key"]) == ("profile", user.id)
    assert "createdAt" not in row["data"]
    stamps = row["data"]["fields"]
    assert stamps["displayName"] == stamps["preferences.theme"] < stamps["autoplay"]


async def test_null_clears_a_field_of_the_profile(api: httpx.AsyncClient, user: Account) -> None:
    await change(api, user, displayName="Ada", language="fr")
    await change(api, user, displayName=None)
    account = await read(api, user)
    assert (account.get("displayName"), account["language"]) == (None, "fr")


async def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(
    api: httpx.AsyncClient, user: Account
) -> None:
    body = {"email": user.email, "password": PASSWORD, "session": "token"}
    token = (await api.post("/api/sessions", json=body)).json()["token"]
    elsewhere = Account(user.id, user.email, token)
    reply = await change(api, user, password=NEW_PASSWORD, currentPassword=PASSWORD)
    assert reply.status_code == 200, reply.text
    assert await sign_in(api, user.email, PASSWORD) == 401
    assert await sign_in(api, user.email, NEW_PASSWORD) == 200
    assert (await read(api, user))["id"] == user.id
    ended = await api.get(f"/api/users/{user.id}", headers=elsewhere.headers)
    assert (ended.status_code, ended.json()["code"]) == (401, "not_signed_in")


async def test_guessing_the_current_password_is_slowed_down(
    api: httpx.AsyncClient, user: Account
) -> None:
    wrong = {"password": NEW_PASSWORD, "currentPassword": "something else"}
    statuses = [(await change(api, user, **wrong)).status_code for _ in range(11)]
    assert statuses == [403] * 10 + [429]
    refused = await delete(api, user, PASSWORD)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_attempts")
    assert 0 < int(refused.headers["retry-after"]) <= 300


@pytest.mark.parametrize(
    ("changes", "status", "code", "hint"),
    [
        ({}, 422, "invalid", "at least one field"),
        ({"currentPassword": PASSWORD}, 422, "invalid", "at least one field"),
        ({"preferences": {}}, 422, "invalid", "at least one field"),
        ({"email": "bob@example.test"}, 409, "email_taken", "There is an account"),
        ({"email": " BOB@example.TEST", "displayName": "B"}, 409, "email_taken", "an account"),
        ({"email": "no address"}, 422, "invalid", "email"),
        ({"email": None}, 422, "invalid", "email"),
        ({"name": "x" * 201}, 422, "invalid", "name"),
        ({"name": "a\u0000b"}, 422, "invalid", "NUL"),
        ({"password": NEW_PASSWORD}, 422, "invalid", "currentPassword"),
        ({"password": "short", "currentPassword": PASSWORD}, 422, "weak_password", "8 to 128"),
        (
            {"password": NEW_PASSWORD, "currentPassword": "wrong", "name": "New"},
            403,
            "wrong_password",
            "current password",
        ),
        ({"role": "admin"}, 422, "invalid", "role"),
        ({"id": "other"}, 422, "invalid", "'id'"),
        ({"surname": "L."}, 422, "invalid", "surname"),
        ({"name": "New", "maturityLimit": 99}, 422, "invalid", "maturityLimit"),
        ({"autoplay": "perhaps"}, 422, "invalid", "autoplay"),
        ({"displayName": "x" * 201, "email": "new@example.test"}, 422, "invalid", "displayName"),
    ],
)
async def test_what_cannot_be_changed_is_told_and_changes_nothing(
    api: httpx.AsyncClient,
    user: Account,
    other: Account,
    connection: asyncpg.Connection,
    changes: dict[str, Any],
    status: int,
    code: str,
    hint: str,
) -> None:
    before = await contents(connection)
    reply = await change(api, user, **changes)
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert hint in reply.json()["detail"]
    assert PASSWORD not in reply.text
    assert await contents(connection) == before


# -- exporting -------------------------------------------------------------------------------


async def test_an_export_holds_the_account_and_every_live_row_once(
    api: httpx.AsyncClient,
    user: Account,
    other: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("atiha_web.server.export.PAGE_ROWS", 3)
    for number in range(7):
        body = {"contentId": f"m{number}", "rating": 5}
        await api.post(f"/api/users/{user.id}/ratings", json=body, headers=user.headers)
    await api.post(f"/api/users/{user.id}/favorites", json={"contentId": "f"}, headers=user.headers)
    await api.request("DELETE", f"/api/users/{user.id}/ratings?contentId=m3", headers=user.headers)
    await change(api, user, displayName="Ada")
    await api.post(
        f"/api/users/{other.id}/ratings",
        json={"contentId": "b", "rating": 1},
        headers=other.headers,
    )
    reply = await api.get(f"/api/users/{user.id}/export", headers=user.headers)
    assert reply.headers["content-type"] == "application/json"
    found = reply.json()
    assert found["account"]["email"] == user.email
    assert "password" not in reply.text
    assert sorted(found["collections"]) == ["favorites", "profile", "ratings"]
    ratings = found["collections"]["ratings"]
    assert [row["contentId"] for row in ratings] == ["m0", "m1", "m2", "m4", "m5", "m6"]
    assert all(row["userId"] == user.id and row["createdAt"] for row in ratings)
    [profile] = found["collections"]["profile"]
    assert profile["displayName"] == "Ada"


async def test_an_export_of_nothing_is_whole(api: httpx.AsyncClient, user: Account) -> None:
    reply = await api.get(f"/api/users/{user.id}/export", headers=user.headers)
    assert reply.json()["collections"] == {}


async def test_rows_of_a_collection_that_nobody_declares_any_more_are_exported_as_stored(
    api: httpx.AsyncClient, user: Account, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "INSERT INTO records (user_id, collection, key, version, timestamp, deleted, data) "
        "VALUES ($1, 'diary', 'd1', 1, $2, false, '{\"text\": \"Hello\"}')",
        user.id,
        STAMP,
    )
    reply = await api.get(f"/api/users/{user.id}/export", headers=user.headers)
    entry = {"key": "d1", "timestamp": STAMP, "schema": 1, "data": {"text": "Hello"}}
    assert reply.json()["collections"] == {"diary": [entry]}


# -- deleting --------------------------------------------------------------------------------


async def test_deleting_an_account_removes_all_of_theirs_and_nothing_of_others(
    api: httpx.AsyncClient, user: Account, other: Account, connection: asyncpg.Connection
) -> None:
    for account in (user, other):
        address = f"/api/users/{account.id}/ratings"
        await api.post(address, json={"contentId": "m", "rating": 5}, headers=account.headers)
    reply = await delete(api, user, PASSWORD)
    assert reply.status_code == 204, reply.text
    assert f'{COOKIE}="";' in reply.headers["set-cookie"]
    left = await contents(connection)
    assert user.id not in str(left)
    assert [len(left[table]) for table in TABLES] == [1, 1, 1, 1]
    assert await sign_in(api, user.email, PASSWORD) == 401


async def test_deleting_needs_the_password(
    api: httpx.AsyncClient, user: Account, connection: asyncpg.Connection
) -> None:
    before = await contents(connection)
    wrong = await delete(api, user, "something else")
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_password")
    missing = await api.request("DELETE", f"/api/users/{user.id}", json={}, headers=user.headers)
    assert (missing.status_code, missing.json()["code"]) == (422, "invalid")
    assert await contents(connection) == before


async def test_the_devices_of_a_deleted_user_are_signed_out(
    api: httpx.AsyncClient, user: Account
) -> None:
    await delete(api, user, PASSWORD)
    poll = {"protocol": 1, "cursor": 0}
    reply = await api.post(f"/api/users/{user.id}/sync", json=poll, headers=user.headers)
    assert (reply.status_code, reply.json()["code"]) == (401, "not_signed_in")


async def test_a_write_that_waits_for_the_deletion_brings_nothing_back(
    api: httpx.AsyncClient, user: Account, connection: asyncpg.Connection
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT 1 FROM sync_state WHERE user_id = $1 FOR UPDATE", user.id)
    body = {"contentId": "m", "rating": 5}
    address = f"/api/users/{user.id}/ratings"
    write = asyncio.create_task(api.post(address, json=body, headers=user.headers))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while not await connection.fetchval(waiting):
        await connection.execute("SELECT pg_stat_clear_snapshot()")
    await connection.execute("DELETE FROM users WHERE id = $1", user.id)
    await connection.execute("DELETE FROM sync_state WHERE user_id = $1", user.id)
    await transaction.commit()
    reply = await write
    assert (reply.status_code, reply.json()["code"]) == (404, "no_account")
    assert user.id not in str(await contents(connection))


async def test_a_deletion_that_waits_too_long_changes_nothing(
    api: httpx.AsyncClient, user: Account, connection: asyncpg.Connection
) -> None:
    before = await contents(connection)
    async with connection.transaction():
        await connection.execute("SELECT 1 FROM sync_state WHERE user_id = $1 FOR UPDATE", user.id)
        reply = await delete(api, user, PASSWORD)
    assert (reply.status_code, reply.json()["code"]) == (503, "busy")
    assert await contents(connection) == before
