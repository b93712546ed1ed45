"""Where the checks of transports send their requests."""

from collections.abc import Iterator

import pytest

from atiha_web.testing.server import ContractServer


@pytest.fixture(scope="session")
def contract_server() -> Iterator[ContractServer]:
    """A server that answers as the checks expect."""
    with ContractServer() as server:
        yield server
