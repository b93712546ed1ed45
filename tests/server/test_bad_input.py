"""Bad input, on both ends: an error that says what to do, and nothing is changed."""

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest

import atiha_web
from atiha_web import Client, InvalidDataError, OperationTooLargeError, UnknownCollectionError
from atiha_web.backends.httpx import HttpxTransport
from atiha_web.backends.memory import MemoryOrigin, memory_backend
from atiha_web.errors import ProblemError
from atiha_web.sync import hlc
from tests.server.fixtures import PASSWORD, Account

STAMP = hlc.tick(1_750_000_000_000, "0123456789ab")
TABLES = ("users", "tokens", "records", "sync_state")
EMAIL = "ada@example.test"


async def contents(connection: asyncpg.Connection) -> dict[str, list[Any]]:
    return {
        table: sorted(tuple(row) for row in await connection.fetch(f"TABLE {table}"))
        for table in TABLES
    }


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# Collection, key, data, what the error names, and the server's code for such an operation.
RECORDS: dict[str, tuple[str, str, dict[str, Any], str, str]] = {
    "unknown collection": ("films", "m1", {"rating": 5}, "films", "unknown_collection"),
    "rating 0": ("ratings", "m1", {"rating": 0}, "rating", "invalid"),
    "rating 6": ("ratings", "m1", {"rating": 6}, "rating", "invalid"),
    "rating 3.5": ("ratings", "m1", {"rating": 3.5}, "rating", "invalid"),
    "rating as text": ("ratings", "m1", {"rating": "5"}, "rating", "invalid"),
    "rating true": ("ratings", "m1", {"rating": True}, "rating", "invalid"),
    "no rating": ("ratings", "m1", {}, "rating", "invalid"),
    "long review": ("ratings", "m1", {"rating": 5, "review": "x" * 5001}, "review", "invalid"),
    "unknown type": ("favorites", "m1", {"contentType": "song"}, "contentType", "invalid"),
    "negative progress": ("watch_history", "m1", {"progress": -1}, "progress", "invalid"),
    "no number": ("watch_history", "m1", {"progress": math.nan}, "progress", "invalid"),
    "endless": ("favorites", "m1", {"more": {"a": [math.inf]}}, "finite", "invalid"),
    "NUL in a text": ("favorites", "m1", {"title": "a\0b"}, "NUL", "invalid"),
    "NUL in a name": ("favorites", "m1", {"a\0": 1}, "NUL", "invalid"),
    "NUL in the key": ("favorites", "m\0", {}, "NUL", "invalid"),
    "half a pair": ("favorites", "m1", {"title": "\ud83c"}, "surrogate", "malformed_json"),
    "half a pair deep": ("favorites", "m1", {"a": {"b": "\ud83c"}}, "surrogate", "malformed_json"),
    "half a pair as a name": ("favorites", "m1", {"\ud83c": 1}, "surrogate", "malformed_json"),
    "half a pair in the key": ("favorites", "\ud83c", {}, "surrogate", "malformed_json"),
    "no key": ("favorites", "", {}, "key", "invalid"),
    "long key": ("favorites", "x" * 257, {}, "key", "invalid"),
    "bad date": ("favorites", "m1", {"createdAt": "yesterday"}, "createdAt", "invalid"),
    "too deep": ("favorites", "m1", {"more": nested(40)}, "levels deep", "invalid"),
    "too large": ("favorites", "m1", {"more": "é" * 17_000}, "34,", "too_large"),
    "no field": ("profile", "me", {}, "at least one field", "invalid"),
    "no preference": ("profile", "me", {"preferences": {}}, "at least one field", "invalid"),
    "field without name": ("profile", "me", {"": 1}, "field named ''", "invalid"),
    "field like a preference": ("profile", "me", {"preferences.a": 1}, "preferences.a", "invalid"),
    "preferences of text": ("profile", "me", {"preferences": "dark"}, "preferences", "invalid"),
    "profile of another": ("profile", "bob", {"autoplay": True}, "own id", "invalid"),
}
record_cases = pytest.mark.parametrize(
    ("collection", "key", "data", "named", "code"), RECORDS.values(), ids=RECORDS.keys()
)


# -- the client's end ------------------------------------------------------------------------


@pytest.fixture
def origin() -> MemoryOrigin:
    return MemoryOrigin()


@pytest.fixture
async def client(origin: MemoryOrigin) -> AsyncIterator[Client]:
    backend = memory_backend(HttpxTransport(), origin)
    made = atiha_web.connect("http://127.0.0.1:9", user_id="ada", backend=backend, background=False)
    async with made as client:
        await client.put("favorites", "kept", {"title": "Kept"})
        yield client


@record_cases
async def test_a_write_of_bad_data_raises_and_changes_nothing(
    client: Client,
    origin: MemoryOrigin,
    collection: str,
    key: str,
    data: dict[str, Any],
    named: str,
    code: str,
) -> None:
    before, status = dict(origin.items), client.status
    expected = {
        "unknown_collection": UnknownCollectionError,
        "too_large": OperationTooLargeError,
    }.get(code, InvalidDataError)
    with pytest.raises(expected, match=named.replace(".", r"\.")):
        await client.put(collection, "ada" if key == "me" else key, data)
    assert origin.items == before
    assert client.status == status
    assert list(client["favorites"]) == ["kept"]


# -- the server's end ------------------------------------------------------------------------


def wire(collection: str, key: str, data: dict[str, Any]) -> bytes:
    operation = {
        "id": "0123456789ab-1",
        "collection": collection,
        "key": key,
        "type": "put",
        "timestamp": STAMP,
        "data": data,
    }
    return json.dumps({"protocol": 1, "cursor": 0, "operations": [operation]}).encode()


def signed(user: Account) -> dict[str, str]:
    return {**user.headers, "Content-Type": "application/json"}


@record_cases
async def test_an_operation_of_bad_data_is_refused_and_changes_nothing(
    api: httpx.AsyncClient,
    user: Account,
    connection: asyncpg.Connection,
    collection: str,
    key: str,
    data: dict[str, Any],
    named: str,
    code: str,
) -> None:
    before = await contents(connection)
    body = wire(collection, user.id if key == "me" else key, data)
    reply = await api.post(f"/api/users/{user.id}/sync", content=body, headers=signed(user))
    if code == "malformed_json":
        assert (reply.status_code, reply.json()["code"]) == (400, code)
    else:
        [result] = reply.json()["results"]
        assert (result["status"], result["code"]) == ("rejected", code)
        assert named in result["message"]
    assert await contents(connection) == before


@record_cases
async def test_a_row_of_bad_data_is_refused_and_changes_nothing(
    api: httpx.AsyncClient,
    user: Account,
    connection: asyncpg.Connection,
    collection: str,
    key: str,
    data: dict[str, Any],
    named: str,
    code: str,
) -> None:
    if collection == "profile":
        method, path, body = "PATCH", f"/api/users/{user.id}", data
    else:
        path = f"/api/users/{user.id}/{collection.replace('_', '-')}"
        method, body = "POST", {**data, "contentId": key}
    before = await contents(connection)
    content = json.dumps(body).encode()
    reply = await api.request(method, path, content=content, headers=signed(user))
    if collection == "profile" and key == "bob":
        # The address says whose profile it is, so there is nothing to get wrong.
        assert reply.status_code == 200
        return
    expected = {"unknown_collection": {404}, "too_large": {413}}.get(code, {400, 422})
    assert reply.status_code in expected, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"]
    assert await contents(connection) == before


WELL = {"email": "eve@example.test", "password": PASSWORD}
REQUESTS: dict[str, tuple[str, str, bytes, int, str]] = {
    "sync: no JSON": ("POST", "/sync", b'{"protocol": 1, ', 400, "malformed_json"),
    "sync: no object": ("POST", "/sync", b"[]", 422, "invalid"),
    "sync: no UTF-8": ("POST", "/sync", b'"\xff"', 400, "malformed_json"),
    "sync: later protocol": ("POST", "/sync", b'{"protocol": 2}', 426, "unsupported_protocol"),
    "sync: no protocol": ("POST", "/sync", b'{"cursor": 0}', 422, "invalid"),
    "sync: bad cursor": ("POST", "/sync", b'{"protocol": 1, "cursor": -1}', 422, "invalid"),
    "sync: no number": ("POST", "/sync", b'{"protocol": 1, "cursor": NaN}', 422, "invalid"),
    "rating: no JSON": ("POST", "/ratings", b"rating=5", 400, "malformed_json"),
    "rating: no object": ("POST", "/ratings", b"5", 422, "invalid"),
    "rating: too large": ("POST", "/ratings", b'"' + b"x" * 70_000 + b'"', 413, "too_large"),
    "account: no JSON": ("PATCH", "", b"{", 400, "malformed_json"),
    "account: no object": ("PATCH", "", b"[]", 422, "invalid"),
    "deletion: no JSON": ("DELETE", "", b"", 400, "malformed_json"),
    "deletion: no password": ("DELETE", "", b"{}", 422, "invalid"),
    "no such list": ("GET", "/films", b"", 404, "not_found"),
    "no such method": ("PUT", "/ratings", b"{}", 405, "method_not_allowed"),
}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"), REQUESTS.values(), ids=REQUESTS.keys()
)
async def test_a_bad_request_is_a_problem_and_changes_nothing(
    api: httpx.AsyncClient,
    user: Account,
    connection: asyncpg.Connection,
    method: str,
    path: str,
    body: bytes,
    status: int,
    code: str,
) -> None:
    before = await contents(connection)
    reply = await api.request(
        method, f"/api/users/{user.id}{path}", content=body, headers=signed(user)
    )
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"]
    assert await contents(connection) == before


@pytest.mark.parametrize(
    "position",
    [{"cursor": 99}, {"cursor": 0, "epoch": "0000000000000000"}, {"cursor": 2**80}],
    ids=["ahead", "another epoch", "beyond every number"],
)
async def test_a_foreign_cursor_is_told_to_begin_anew_and_changes_nothing(
    api: httpx.AsyncClient, user: Account, connection: asyncpg.Connection, position: dict[str, Any]
) -> None:
    before = await contents(connection)
    body = {"protocol": 1, **position}
    reply = await api.post(f"/api/users/{user.id}/sync", json=body, headers=user.headers)
    assert reply.status_code == 200
    assert reply.json()["reset"] is True
    assert "changes" not in reply.json()
    assert await contents(connection) == before


# -- accounts, on both ends ------------------------------------------------------------------

Ask = Callable[[Client], Awaitable[object]]
ACCOUNTS: dict[str, tuple[Ask, int, str, str]] = {
    "taken address": (
        lambda client: client.users.register_user(email=EMAIL, password=PASSWORD, name="Eve"),
        409,
        "email_taken",
        "sign in",
    ),
    "weak password": (
        lambda client: client.users.register_user(email="e@b.test", password="1234567", name=""),
        422,
        "weak_password",
        "8 to 128",
    ),
    "no address": (
        lambda client: client.users.register_user(email="eve", password=PASSWORD, name=""),
        422,
        "invalid",
        "email",
    ),
    "half a pair": (
        lambda client: client.users.register_user(
            email="e@b.test", password=PASSWORD, name="\ud83c"
        ),
        400,
        "malformed_json",
        "JSON",
    ),
    "unknown user": (
        lambda client: client.users.login(email="nobody@example.test", password=PASSWORD),
        401,
        "wrong_credentials",
        "wrong",
    ),
    "nobody": (lambda client: client.users.get_user("nobody"), 401, "not_signed_in", "Sign in"),
    "no id": (lambda client: client.users.get_user("a b/c"), 404, "not_found", "address"),
}


@pytest.mark.parametrize(("ask", "status", "code", "hint"), ACCOUNTS.values(), ids=ACCOUNTS.keys())
async def test_what_accounts_cannot_do_is_told_and_changes_nothing(
    api_url: str,
    sign_up: Callable[[str], Account],
    database_url: str,
    origin: MemoryOrigin,
    ask: Ask,
    status: int,
    code: str,
    hint: str,
) -> None:
    connection = await asyncpg.connect(database_url)
    backend = memory_backend(HttpxTransport(), origin)
    async with atiha_web.connect(api_url, backend=backend) as client:
        await client.users.register_user(email=EMAIL, password=PASSWORD, name="Ada")
        await client.users.logout()
        device, server = dict(origin.items), await contents(connection)
        with pytest.raises(ProblemError, match=hint) as raised:
            await ask(client)
        assert (raised.value.status, raised.value.code) == (status, code)
        assert origin.items == device
        assert await contents(connection) == server
        assert client.user_id is None
    await connection.close()
