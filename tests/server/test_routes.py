"""Who may use which route: every route of the OpenAPI has a rule here, or a test fails."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from atiha_web.server import create_app
from tests.server.fixtures import Account

ENTRY = {"contentId": "m1", "rating": 5}
POLL = {"protocol": 1, "cursor": 0}
KEY = {"contentId": "m1"}
LISTS = ("watch-history", "watchlist", "favorites", "ratings")

# Whom each route lets in, and with which status it refuses the others.
EVERYBODY, OWNER, SIGNED_IN, ADMIN = "everybody", "owner", "signed in", "admin"
RULES: dict[tuple[str, str], str] = {
    ("GET", "/healthz"): EVERYBODY,
    ("GET", "/readyz"): EVERYBODY,
    ("POST", "/api/users"): EVERYBODY,
    ("POST", "/api/sessions"): EVERYBODY,
    ("DELETE", "/api/sessions/current"): SIGNED_IN,
    ("GET", "/api/users"): ADMIN,
    ("GET", "/api/users/{user_id}"): OWNER,
    ("PATCH", "/api/users/{user_id}"): OWNER,
    ("DELETE", "/api/users/{user_id}"): OWNER,
    ("GET", "/api/users/{user_id}/export"): OWNER,
    ("POST", "/api/users/{user_id}/sync"): OWNER,
    **{
        (method, f"/api/users/{{user_id}}/{name}"): OWNER
        for name in LISTS
        for method in ("GET", "POST", "DELETE")
    },
}
EXPECTED: dict[str, dict[str, int | None]] = {
    EVERYBODY: {"nobody": None, "owner": None, "other": None},
    SIGNED_IN: {"nobody": 401, "owner": None, "other": None},
    OWNER: {"nobody": 401, "owner": None, "other": 403},
    ADMIN: {"nobody": 401, "owner": 403, "other": 403},
}


def routes(app: FastAPI) -> set[tuple[str, str]]:
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def test_every_route_has_a_rule() -> None:
    assert routes(create_app("postgresql://nowhere")) == set(RULES)


@pytest.mark.parametrize(("method", "path"), sorted(RULES))
async def test_a_route_lets_in_whom_its_rule_names(
    api: httpx.AsyncClient, user: Account, other: Account, method: str, path: str
) -> None:
    callers: dict[str, dict[str, str]] = {
        "other": other.headers,
        "nobody": {},
        "owner": user.headers,
    }
    for who, headers in callers.items():
        reply = await api.request(
            method,
            path.replace("{user_id}", user.id),
            headers=headers,
            params=KEY if method == "DELETE" else None,
            json=None if method == "GET" else POLL if path.endswith("/sync") else ENTRY,
        )
        refusal = EXPECTED[RULES[method, path]][who]
        if refusal is None:
            assert reply.status_code in {200, 204, 422}, (who, reply.text)
        else:
            assert reply.status_code == refusal, (who, reply.text)
        assert reply.headers["atiha-protocol"] == "1"


async def test_a_refusal_tells_nothing_about_whom_it_protects(
    api: httpx.AsyncClient, user: Account, other: Account
) -> None:
    for path in ("", "/ratings", "/sync"):
        method = "POST" if path == "/sync" else "GET"
        real = await api.request(method, f"/api/users/{other.id}{path}", headers=user.headers)
        made_up = await api.request(method, f"/api/users/nobody{path}", headers=user.headers)
        assert real.status_code == made_up.status_code == 403
        assert real.json() == made_up.json()


async def test_what_others_send_leaves_no_trace(
    api: httpx.AsyncClient, user: Account, other: Account
) -> None:
    address = f"/api/users/{user.id}/ratings"
    await api.post(address, json=ENTRY, headers=user.headers)
    await api.post(address, json={**ENTRY, "rating": 1}, headers=other.headers)
    await api.delete(address, params=KEY, headers=other.headers)
    [row] = (await api.get(address, headers=user.headers)).json()["ratings"]
    assert row["rating"] == 5
