"""Fixtures of everything that needs a whole client: a server in memory, and devices."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from atiha_web import Client, connect
from atiha_web.testing.fake_server import FakeDevice, FakeServer

OpenClient = Callable[..., Awaitable[Client]]


@pytest.fixture
def api() -> FakeServer:
    """A server that lets only in who signed in."""
    return FakeServer(anyone=False)


@pytest.fixture
def phone(api: FakeServer) -> FakeDevice:
    return FakeDevice(api, random=random.Random(1))


@pytest.fixture
async def open_client(phone: FakeDevice) -> AsyncIterator[OpenClient]:
    """Opens clients on ``phone``, or on another device; nothing runs in the background."""
    opened: list[Client] = []

    async def open_(on: FakeDevice = phone, **more: Any) -> Client:
        client = await connect(backend=on.backend(), **{"background": False, **more})
        opened.append(client)
        return client

    yield open_
    for client in opened:
        await client.close()


@pytest.fixture
async def client(open_client: OpenClient) -> Client:
    """A client of Ann, signed in."""
    made = await open_client()
    await made.users.register_user(email="ann@example.org", password="long enough", name="Ann")
    return made
