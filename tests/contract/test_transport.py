"""The contract of transports on every adapter that runs without a browser."""

import json
from dataclasses import dataclass
from operator import attrgetter

import pytest

from atiha_web.backends.base import Request, Transport
from atiha_web.backends.httpx import HttpxTransport
from atiha_web.testing.contracts import TRANSPORT_CHECKS, Check
from atiha_web.testing.server import ContractServer


@dataclass(frozen=True)
class HttpxNetwork:
    """A real server, asked through httpx."""

    url: str
    dead_url: str

    async def open(self) -> Transport:
        return HttpxTransport()


@pytest.mark.parametrize("check", TRANSPORT_CHECKS, ids=attrgetter("__name__"))
async def test_httpx(check: Check[HttpxNetwork], contract_server: ContractServer) -> None:
    await check(HttpxNetwork(contract_server.url, contract_server.dead_url))


async def test_httpx_sends_no_cookie_by_itself(contract_server: ContractServer) -> None:
    transport = HttpxTransport()
    await transport.request(Request("POST", f"{contract_server.url}/cookie"))
    reply = await transport.request(Request("GET", f"{contract_server.url}/describe"))
    await transport.close()
    assert not transport.keeps_cookies
    assert "cookie" not in json.loads(reply.body)["headers"]
