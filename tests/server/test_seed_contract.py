"""The original document's three tests, natively: engine, HTTP and PostgreSQL are the real ones."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

import atiha_web
from atiha_web import Client, SyncConfig
from atiha_web.backends.httpx import HttpxTransport
from atiha_web.backends.memory import MemoryEnvironment, MemoryOrigin, memory_backend
from tests.server.fixtures import Account


@pytest.fixture
def account(api_url: str, sign_up: Callable[[str], Account]) -> Account:
    return sign_up(api_url)


@pytest.fixture
def origin() -> MemoryOrigin:
    return MemoryOrigin()


@pytest.fixture
async def client(api_url: str, account: Account, origin: MemoryOrigin) -> AsyncIterator[Client]:
    backend = memory_backend(HttpxTransport(), origin)
    async with atiha_web.connect(
        api_url, user_id=account.id, token=account.token, backend=backend
    ) as client:
        yield client


def stored(origin: MemoryOrigin, key: str) -> Any:
    return json.loads(origin.items.get(key, "null"))


async def rows(api_url: str, account: Account, path: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=api_url, headers=account.headers) as http:
        reply = await http.get(f"/api/users/{account.id}/{path}")
    [found] = reply.raise_for_status().json().values()
    return list(found)


async def until(client: Client, condition: Callable[[atiha_web.Status], bool]) -> None:
    async with asyncio.timeout(10):
        async for status in client.statuses():
            if condition(status):
                return


async def test_basic_synchronisation(
    api_url: str, account: Account, origin: MemoryOrigin, client: Client
) -> None:
    write = await client.profiles.add_to_watch_history(account.id, "42", "movie", "Test Movie")
    [cached] = stored(origin, f"atiha_watch_history_{account.id}")
    assert cached["contentId"] == "42"

    await write.saved("server")
    [row] = await rows(api_url, account, "watch-history")
    assert row["contentId"] == "42"
    assert row["id"] == cached["id"]


async def test_offline_mode(
    api_url: str, account: Account, origin: MemoryOrigin, client: Client
) -> None:
    await until(client, lambda status: status.last_sync is not None)
    environment = client._backend.environment
    assert isinstance(environment, MemoryEnvironment)
    environment.set_online(False)

    await client.profiles.add_to_watch_history(account.id, "42", "movie", "Test Movie")
    [queued] = stored(origin, "atiha_sync_queue")
    assert queued["endpoint"] == f"/api/users/{account.id}/watch-history"
    assert queued["userId"] == account.id
    assert client.status.state == "offline"

    environment.set_online(True)
    await until(client, lambda status: status.pending == 0)
    assert stored(origin, "atiha_sync_queue") == []
    assert len(await rows(api_url, account, "watch-history")) == 1


async def test_periodic_synchronisation(
    account: Account, origin: MemoryOrigin, client: Client
) -> None:
    config = SyncConfig.model_validate(
        {
            "cacheKey": "test_sync",
            "apiEndpoint": f"/api/users/{account.id}/watch-history",
            "syncInterval": 50,
        }
    )
    heard = asyncio.Queue[str | None]()
    spy = memory_backend(HttpxTransport(), origin)
    spy.storage.subscribe(lambda change: heard.put_nowait(change.key))
    client.service.start_periodic_sync(config)

    async with asyncio.timeout(10):
        for _ in range(2):
            while await heard.get() != "atiha_last_sync":
                pass
    assert "test_sync" in stored(origin, "atiha_last_sync")
    assert stored(origin, "atiha_test_sync") == []
    client.service.stop_periodic_sync(config)
