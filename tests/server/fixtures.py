"""A real PostgreSQL and a running API for any test; import the fixtures' names in a conftest.

- `postgres`: an embedded server for the whole session.
- `database_url`: an empty, migrated database of the test's own, cloned from a template.
- `api_url`: the API on a real port over `database_url`, in a thread of its own.
- `sign_up`: registers an account at an API; returns its id and token.
"""

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import asyncpg
import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from atiha_web.collections import BUILT_IN
from atiha_web.server import EmbeddedPostgres, create_app
from atiha_web.server.schema import upgrade

T = TypeVar("T")

PASSWORD = "correct horse battery"
TEMPLATE = "atiha_template"
# What survives a power cut does not matter here, and syncing to disk is most of the time.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_numbers = itertools.count(1)


class Account(NamedTuple):
    """A registered user."""

    id: str
    email: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """What signs a request."""
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of our own, below a path with a space and an accent."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("base de données") / "postgres", FAST) as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """The name of a migrated database to clone."""
    _execute(postgres.database_url("postgres"), f"CREATE DATABASE {TEMPLATE}")
    run(upgrade(postgres.database_url(TEMPLATE), BUILT_IN))
    return TEMPLATE


@contextmanager
def cloned(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """The URL of a database like the template, until the block ends."""
    name = f"test_{next(_numbers)}"
    maintenance = postgres.database_url("postgres")
    _execute(maintenance, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield postgres.database_url(name)
    _execute(maintenance, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """A database of the test's own."""
    with cloned(postgres, template) as url:
        yield url


@pytest.fixture
def api_url(database_url: str) -> Iterator[str]:
    """The API, answering on a free port."""
    with running(create_app(database_url)) as url:
        yield url


@pytest.fixture
def sign_up() -> Callable[[str], Account]:
    """A function that registers a new account at the API with the given URL."""

    def register(url: str) -> Account:
        email = f"user{next(_numbers)}@example.test"
        body = {"email": email, "password": PASSWORD, "name": "Ada", "session": "token"}
        reply = httpx.post(f"{url}/api/users", json=body, timeout=30)
        reply.raise_for_status()
        return Account(reply.json()["user"]["id"], email, reply.json()["token"])

    return register


@contextmanager
def running(app: FastAPI, port: int = 0) -> Iterator[str]:
    """Serve an app in a thread until the block ends; its URL. Port 0 is any that is free."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, lifespan="on", log_level="warning", access_log=False
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        server.decided.wait()
        assert server.started, "the API did not start; its log says why"
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.decided = threading.Event()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.decided.set()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own, whatever loop the test has."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def _execute(url: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    run(execute())
