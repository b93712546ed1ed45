"""Bad input that reaches the server: a problem that says what to do, and nothing is changed.

So all of it asks one server.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from atiha_web.server import EmbeddedPostgres, create_app
from atiha_web.sync import hlc
from tests.server.bad_input import BadRecord, contents, record_cases
from tests.server.conftest import asked_directly, register
from tests.server.fixtures import Account, cloned

pytestmark = pytest.mark.asyncio(loop_scope="module")

STAMP = hlc.tick(1_750_000_000_000, "0123456789ab")


@pytest.fixture(scope="module")
def database_url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    with cloned(postgres, template) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with asked_directly(create_app(database_url)) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def user(api: httpx.AsyncClient) -> Account:
    return await register(api, "ada@example.test")


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
    case: BadRecord,
) -> None:
    collection, key, data, named, code = case
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
    case: BadRecord,
) -> None:
    collection, key, data, _, code = case
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
