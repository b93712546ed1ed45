"""Where the checks of transports send their requests."""

import socket
from collections.abc import Iterator

import pytest

from atiha_web.testing.server import ContractServer


@pytest.fixture(scope="session")
def contract_url() -> Iterator[str]:
    """The origin of a server that answers as the checks expect."""
    with ContractServer() as server:
        yield server.url


@pytest.fixture(scope="session")
def dead_url() -> Iterator[str]:
    """A URL that refuses connections: its port is taken and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"
