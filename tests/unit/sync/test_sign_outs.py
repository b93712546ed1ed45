"""A session that could not be ended on the server at its sign-out is ended later."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from atiha_web import Client, connect
from atiha_web.backends.base import Request
from atiha_web.testing.fake_server import FakeDevice, FakeServer, answer

PASSWORD = "correct horse battery"


@pytest.fixture
def server() -> FakeServer:
    return FakeServer(anyone=False)


@pytest.fixture
async def client(device: FakeDevice) -> AsyncIterator[Client]:
    async with connect(backend=device.backend()) as client:
        await register(client, "ann")
        yield client


@pytest.fixture
async def token(server: FakeServer, device: FakeDevice, client: Client) -> str:
    """What opened the session of ``client``, which signed out while there was no server."""
    await client.sync()
    authorization = server.requests[-1].headers["authorization"]
    device.break_network()
    await client.users.logout(pending="keep")
    assert await opens(server, authorization)
    return authorization


async def register(client: Client, name: str) -> None:
    await client.users.register_user(email=f"{name}@example.org", password=PASSWORD, name=name)


async def opens(server: FakeServer, authorization: str) -> bool:
    """Whether the server still takes a token."""
    request = Request("GET", "/api/users/user-1", {"authorization": authorization})
    return (await server.answer(request)).status == 200


async def test_it_is_ended_though_nothing_tells_that_the_network_is_back(
    server: FakeServer, device: FakeDevice, token: str
) -> None:
    await asyncio.sleep(120)
    device.break_network(broken=False)
    await asyncio.sleep(60)
    assert not await opens(server, token)


async def test_it_is_ended_at_once_when_the_network_is_told_to_be_back(
    server: FakeServer, device: FakeDevice, token: str
) -> None:
    await asyncio.sleep(120)
    device.set_online(online=True)
    await asyncio.sleep(0.1)
    assert not await opens(server, token)


async def test_it_is_ended_though_somebody_else_signed_in(
    server: FakeServer, device: FakeDevice, client: Client, token: str
) -> None:
    device.break_network(broken=False)
    await register(client, "bob")
    await asyncio.sleep(60)
    assert not await opens(server, token)
    assert (await client.sync()).ok


@pytest.mark.parametrize("status", [401, 404, 405])
async def test_a_server_that_knows_of_no_session_is_asked_once(
    server: FakeServer, device: FakeDevice, token: str, status: int
) -> None:
    device.break_network(broken=False)
    server.fail_next(answer(status))
    before = len(server.requests)
    await asyncio.sleep(600)
    assert len(server.requests) == before + 1


async def test_a_server_that_is_being_replaced_is_asked_again(
    server: FakeServer, device: FakeDevice, token: str
) -> None:
    device.break_network(broken=False)
    server.fail_next(answer(503), answer(502, ours=False))
    await asyncio.sleep(180)
    assert not await opens(server, token)
