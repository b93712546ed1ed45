"""The router in somebody else's app, with their accounts and a collection of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel

from atiha_web.collections import BUILT_IN, Collection
from atiha_web.server import Caller, Database, Problem, ServerError, create_app, router
from tests.server.conftest import BASE_URL


class Note(BaseModel):
    slug: str
    text: str


COLLECTIONS = (*BUILT_IN, Collection("notes", Note, key="slug"))


async def authenticate(request: Request) -> Caller | None:
    """Their way: a header that a gateway sets."""
    name = request.headers.get("x-user")
    if name == "mallory":
        raise Problem(403, "banned", "Go away.")
    return Caller(name) if name else None


POLL_AFTER = 12.5


@pytest.fixture
async def theirs(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    database = Database(database_url, COLLECTIONS)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with database:
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(
        router(
            database,
            authenticate=authenticate,
            collections=COLLECTIONS,
            poll_after=POLL_AFTER,
        )
    )
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client,
    ):
        yield client


async def test_their_users_need_no_account_of_ours(theirs: httpx.AsyncClient) -> None:
    headers = {"X-User": "ada"}
    await theirs.post("/api/users/ada/favorites", json={"contentId": "m1"}, headers=headers)
    reply = await theirs.post(
        "/api/users/ada/sync", json={"protocol": 1, "cursor": 0}, headers=headers
    )
    assert [change["key"] for change in reply.json()["changes"]] == ["m1"]


async def test_their_clients_are_told_when_to_ask_again(theirs: httpx.AsyncClient) -> None:
    asked = {"protocol": 1, "cursor": 0}
    reply = await theirs.post("/api/users/ada/sync", json=asked, headers={"X-User": "ada"})
    assert reply.json()["pollAfter"] == POLL_AFTER


@pytest.mark.parametrize("seconds", [0, 0.5, 901, float("nan")])
def test_a_wish_no_client_would_heed_is_refused(seconds: float) -> None:
    with pytest.raises(ServerError, match="1 to 900 seconds"):
        create_app("postgresql://nowhere", poll_after=seconds)


async def test_a_collection_of_theirs_has_routes_and_sync(theirs: httpx.AsyncClient) -> None:
    headers = {"X-User": "ada"}
    note = {"slug": "first", "text": "Hello"}
    posted = await theirs.post("/api/users/ada/notes", json=note, headers=headers)
    assert posted.status_code == 200, posted.text
    reply = await theirs.get("/api/users/ada/notes", headers=headers)
    assert [row | note for row in reply.json()["notes"]] == reply.json()["notes"]
    deleted = await theirs.delete("/api/users/ada/notes", params={"slug": "first"}, headers=headers)
    assert deleted.status_code == 204


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "not_signed_in"),
        ({"X-User": "bob"}, 403, "not_yours"),
        ({"X-User": "mallory"}, 403, "banned"),
    ],
)
async def test_refusals_are_ours_in_their_app_too(
    theirs: httpx.AsyncClient, headers: dict[str, str], status: int, code: str
) -> None:
    reply = await theirs.get("/api/users/ada/ratings", headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["atiha-protocol"] == "1"


async def test_a_bad_parameter_is_ours_in_their_app_too(theirs: httpx.AsyncClient) -> None:
    reply = await theirs.get("/api/users/ada/ratings?limit=0", headers={"X-User": "ada"})
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid")
