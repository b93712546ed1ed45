"""Refusals: one shape for all, and never a crash on what somebody sends."""

import json

import httpx
import pytest
from fastapi import FastAPI

from tests.server.conftest import BASE_URL
from tests.server.fixtures import Account

JSON = {"Content-Type": "application/json"}


def check(reply: httpx.Response, status: int, code: str) -> None:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["atiha-protocol"] == "1"
    assert reply.headers["cache-control"] == "no-store"
    document = reply.json()
    assert document.keys() == {"type", "title", "status", "code", "detail"}
    assert (document["status"], document["code"]) == (status, code)
    assert document["detail"]


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/nothing", "/api/users/", "/api/users/a/nothing"]
)
async def test_an_unknown_address_is_a_problem(api: httpx.AsyncClient, path: str) -> None:
    check(await api.get(path), 404, "not_found")


async def test_an_unknown_method_is_a_problem(api: httpx.AsyncClient) -> None:
    reply = await api.put("/api/users")
    check(reply, 405, "method_not_allowed")
    assert "POST" in reply.headers["allow"]


@pytest.mark.parametrize("user_id", ["a%00b", "a b", "x" * 65, "é", "..%2fadmin"])
async def test_what_is_no_user_id_is_a_problem(
    api: httpx.AsyncClient, user: Account, user_id: str
) -> None:
    reply = await api.get(f"/api/users/{user_id}/ratings", headers=user.headers)
    assert reply.status_code in {404, 422}
    check(reply, reply.status_code, {404: "not_found", 422: "invalid"}[reply.status_code])


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "limit=99999999999999999999"])
async def test_a_bad_parameter_is_a_problem(
    api: httpx.AsyncClient, user: Account, query: str
) -> None:
    reply = await api.get(f"/api/users/{user.id}/ratings?{query}", headers=user.headers)
    check(reply, 422, "invalid")
    assert "limit" in reply.json()["detail"]


@pytest.mark.parametrize("path", ["/api/users", "/api/sessions", "/api/users/{id}/ratings"])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"\xff", 400, "malformed_json"),
        (b'{"email": "\\ud800"}', 400, "malformed_json"),
        (b"[" * 60_000, 400, "malformed_json"),
        (b"[]", 422, "invalid"),
        (b"null", 422, "invalid"),
        (b"{}", 422, "invalid"),
        (b'{"email": {}, "contentId": []}', 422, "invalid"),
        (b'{"x": "' + b"x" * 70_000 + b'"}', 413, "too_large"),
    ],
    ids=range(10),
)
async def test_a_bad_body_is_a_problem(
    api: httpx.AsyncClient, user: Account, path: str, body: bytes, status: int, code: str
) -> None:
    headers = {**user.headers, **JSON}
    check(await api.post(path.format(id=user.id), content=body, headers=headers), status, code)


async def test_what_is_not_said_to_be_json_is_not_read(
    api: httpx.AsyncClient, user: Account
) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {**user.headers, "Content-Type": kind}
        reply = await api.post(
            f"/api/users/{user.id}/ratings", content=b'{"contentId": "m1"}', headers=headers
        )
        check(reply, 415, "not_json")


async def test_who_is_not_signed_in_is_told_how(api: httpx.AsyncClient) -> None:
    reply = await api.get("/api/users/ada/ratings")
    check(reply, 401, "not_signed_in")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert "/api/sessions" in reply.json()["detail"]


async def test_what_was_sent_is_never_repeated(api: httpx.AsyncClient) -> None:
    secret = "hunter2-hunter2"
    body = {"email": {"secret": secret}, "password": [secret], "name": 5}
    assert secret not in (await api.post("/api/users", json=body)).text


async def test_a_bug_is_a_problem_without_its_secrets(app: FastAPI) -> None:
    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("the secret detail")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        reply = await client.get("/bug")
    check(reply, 500, "internal_error")
    assert "secret" not in reply.text


async def test_replies_of_the_api_are_not_cached_and_tell_the_protocol(
    api: httpx.AsyncClient, user: Account
) -> None:
    reply = await api.get(f"/api/users/{user.id}", headers=user.headers)
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["atiha-protocol"] == "1"


def test_the_openapi_holds_together(app: FastAPI) -> None:
    text = json.dumps(app.openapi())
    schemas = app.openapi()["components"]["schemas"]
    wanted = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert wanted <= schemas.keys()
    assert "$defs" not in text


def test_the_openapi_says_refusals_as_they_are_sent(app: FastAPI) -> None:
    refusals = [
        (method, path, status, [*reply.get("content", {})])
        for path, methods in app.openapi()["paths"].items()
        for method, route in methods.items()
        for status, reply in route["responses"].items()
        if int(status) >= 400
    ]
    assert refusals
    assert [each for each in refusals if each[-1] != ["application/problem+json"]] == []
