"""How full local storage is, as the status tells it."""

import asyncio
from dataclasses import replace

import pytest

from atiha_web import Client, StorageUnavailableError, connect
from atiha_web.backends.base import Usage
from atiha_web.sync.usage import StorageUsage
from atiha_web.testing.fake_server import FakeDevice, FakeServer

QUOTA = 1000


class Meter:
    """Counts how often it is asked; each time one unit more is taken."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self) -> Usage:
        self.asked += 1
        return Usage(self.asked, QUOTA)


async def opened(meter: object) -> Client:
    backend = replace(FakeDevice(FakeServer()).backend(), usage=meter)  # type: ignore[arg-type]
    return await connect(backend=backend, user_id="ann", background=False)


async def until_told(client: Client) -> Usage:
    async for status in client.statuses():
        if status.usage is not None:
            return status.usage
    raise AssertionError("the client was closed")


async def test_the_status_tells_it_from_the_start() -> None:
    client = await opened(Meter())
    async with client, asyncio.timeout(5):
        assert await until_told(client) == Usage(1, QUOTA)


async def test_a_burst_of_writes_is_not_slowed_by_measuring() -> None:
    meter = Meter()
    client = await opened(meter)
    async with client, asyncio.timeout(5):
        await until_told(client)
        for index in range(50):
            await client.profiles.add_favorite("ann", f"film-{index}")
            await asyncio.sleep(0)
    assert meter.asked == 1


async def test_of_two_who_ask_in_one_turn_one_measures() -> None:
    usage = StorageUsage(replace(FakeDevice(FakeServer()).backend(), usage=Meter()))
    assert [usage.claim(), usage.claim()] == [True, False]


async def test_nothing_is_measured_as_a_client_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atiha_web.sync.usage.SECONDS", 0)
    meter = Meter()
    client = await opened(meter)
    async with asyncio.timeout(5):
        await until_told(client)
    meter.asked = 0
    await client.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert meter.asked == 0


async def test_storage_that_cannot_be_measured_disturbs_nobody() -> None:
    async def refuse() -> Usage:
        raise StorageUnavailableError("cookies are blocked")

    client = await opened(refuse)
    async with client:
        await client.profiles.add_favorite("ann", "the-general")
        await asyncio.sleep(0)
        assert (client.status.usage, client.status.pending) == (None, 1)


async def test_where_there_is_no_quota_there_is_no_figure() -> None:
    client = await opened(None)
    async with client:
        await client.profiles.add_favorite("ann", "the-general")
        assert client.status.usage is None
