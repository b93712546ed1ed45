"""Register, sign in, sign out."""

import asyncpg
import httpx
import pytest

from atiha_web.server.auth import COOKIE
from tests.server.fixtures import PASSWORD, Account

CREDENTIALS = {"email": "ada@example.test", "password": PASSWORD}
ORIGIN = {"Origin": "https://atiha.test"}


async def test_registering_signs_in_with_a_cookie_that_scripts_cannot_read(
    api: httpx.AsyncClient,
) -> None:
    reply = await api.post("/api/users", json={**CREDENTIALS, "name": "Ada"}, headers=ORIGIN)
    cookie = reply.headers["set-cookie"]
    assert reply.status_code == 201
    assert cookie.startswith(f"{COOKIE}=")
    assert all(part in cookie for part in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"))
    assert "token" not in reply.json()
    mine = await api.get(f"/api/users/{reply.json()['user']['id']}")
    assert mine.json() == reply.json()["user"]


async def test_a_token_session_sets_no_cookie(api: httpx.AsyncClient, user: Account) -> None:
    reply = await api.post("/api/sessions", json={**CREDENTIALS, "session": "token"})
    assert reply.status_code == 200
    assert "set-cookie" not in reply.headers
    headers = {"Authorization": f"Bearer {reply.json()['token']}"}
    assert (await api.get(f"/api/users/{user.id}", headers=headers)).status_code == 200


async def test_addresses_are_the_same_whatever_their_case(
    api: httpx.AsyncClient, user: Account
) -> None:
    body = {"email": " ADA@Example.TEST ", "password": PASSWORD}
    assert (await api.post("/api/sessions", json=body)).json()["user"]["id"] == user.id
    taken = await api.post("/api/users", json=body)
    assert (taken.status_code, taken.json()["code"]) == (409, "email_taken")


@pytest.mark.parametrize("password", ["short77", "x" * 129])
async def test_passwords_have_8_to_128_characters(api: httpx.AsyncClient, password: str) -> None:
    reply = await api.post("/api/users", json={**CREDENTIALS, "password": password})
    assert (reply.status_code, reply.json()["code"]) == (422, "weak_password")
    assert password not in reply.text


@pytest.mark.parametrize("email", ["", "ada", "a b@c.d", "a@b\u0000.c", "@", "x" * 255 + "@b.c"])
async def test_what_is_no_address_is_refused(api: httpx.AsyncClient, email: str) -> None:
    reply = await api.post("/api/users", json={**CREDENTIALS, "email": email})
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid")


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(
    api: httpx.AsyncClient, user: Account
) -> None:
    wrong = await api.post("/api/sessions", json={**CREDENTIALS, "password": "something else"})
    unknown = await api.post("/api/sessions", json={**CREDENTIALS, "email": "eve@example.test"})
    assert wrong.status_code == 401
    assert wrong.json() == unknown.json()


async def test_failures_slow_down_their_account_only(
    api: httpx.AsyncClient, user: Account, other: Account
) -> None:
    wrong = {**CREDENTIALS, "password": "something else"}
    statuses = [(await api.post("/api/sessions", json=wrong)).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    right = await api.post("/api/sessions", json=CREDENTIALS)
    assert right.status_code == 429
    assert 0 < int(right.headers["retry-after"]) <= 300
    body = {"email": other.email, "password": PASSWORD}
    assert (await api.post("/api/sessions", json=body)).status_code == 200


async def test_a_signed_out_token_is_worth_nothing(api: httpx.AsyncClient, user: Account) -> None:
    first = await api.delete("/api/sessions/current", headers=user.headers)
    again = await api.delete("/api/sessions/current", headers=user.headers)
    assert (first.status_code, again.status_code) == (204, 401)


async def test_an_expired_token_is_worth_nothing(
    api: httpx.AsyncClient, user: Account, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE tokens SET expires_at = now() - interval '1 second'")
    assert (await api.get(f"/api/users/{user.id}", headers=user.headers)).status_code == 401


async def test_neither_passwords_nor_tokens_are_stored(
    api: httpx.AsyncClient, user: Account, connection: asyncpg.Connection
) -> None:
    stored = str(await connection.fetch("SELECT * FROM users, tokens"))
    assert "$argon2id$" in stored
    assert PASSWORD not in stored
    assert user.token not in stored


async def test_one_finds_oneself_by_address_and_nobody_else(
    api: httpx.AsyncClient, user: Account, other: Account
) -> None:
    mine = await api.get("/api/users", params={"email": "Ada@example.test"}, headers=user.headers)
    assert [found["id"] for found in mine.json()["users"]] == [user.id]
    for address in (other.email, "nobody@example.test"):
        reply = await api.get("/api/users", params={"email": address}, headers=user.headers)
        assert reply.status_code == 403


async def test_an_administrator_sees_all_accounts(
    api: httpx.AsyncClient, user: Account, other: Account, connection: asyncpg.Connection
) -> None:
    assert (await api.get("/api/users", headers=user.headers)).status_code == 403
    await connection.execute("UPDATE users SET role = 'admin' WHERE id = $1", user.id)
    first = await api.get("/api/users", params={"limit": 1}, headers=user.headers)
    [earlier] = [found["id"] for found in first.json()["users"]]
    rest = await api.get("/api/users", params={"after": earlier}, headers=user.headers)
    assert {earlier, *(found["id"] for found in rest.json()["users"])} == {user.id, other.id}
    one = await api.get(f"/api/users/{other.id}", headers=user.headers)
    assert one.json()["email"] == other.email
    assert (await api.get("/api/users/nobody", headers=user.headers)).status_code == 404
