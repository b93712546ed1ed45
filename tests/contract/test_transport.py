"""The contract of transports on every adapter that runs without a browser."""

from dataclasses import dataclass
from operator import attrgetter

import pytest

from atiha_web.backends.base import Transport
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
