"""Fixtures of the server's tests: the API in this process, and accounts to talk to it with."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from atiha_web.server import create_app
from tests.server.fixtures import (
    PASSWORD,
    Account,
    api_url,
    database_url,
    postgres,
    sign_up,
    template,
)

__all__ = ["api_url", "database_url", "postgres", "sign_up", "template"]

BASE_URL = "https://atiha.test"

SignUp = Callable[..., Awaitable[Account]]


@asynccontextmanager
async def asked_directly(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app that runs in this process until the block ends."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client,
    ):
        yield client


@pytest.fixture
def app(database_url: str) -> FastAPI:
    return create_app(database_url)


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps no cookies from one request to the next."""
    async with asked_directly(app) as client:
        yield client


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A plain connection to the test's database."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def user(api: httpx.AsyncClient) -> Account:
    return await register(api, "ada@example.test")


@pytest.fixture
async def other(api: httpx.AsyncClient) -> Account:
    return await register(api, "bob@example.test")


async def register(api: httpx.AsyncClient, email: str) -> Account:
    body = {"email": email, "password": PASSWORD, "name": "Ada", "session": "token"}
    reply = await api.post("/api/users", json=body)
    assert reply.status_code == 201, reply.text
    return Account(reply.json()["user"]["id"], email, reply.json()["token"])
