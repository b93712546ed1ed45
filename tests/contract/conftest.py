"""Where the checks of transports send their requests."""

from collections.abc import Iterator

import pytest

from atiha_web.testing.contracts import environment, expect
from atiha_web.testing.server import ContractServer


@pytest.fixture(scope="session")
def contract_server() -> Iterator[ContractServer]:
    """A server that answers as the checks expect."""
    with ContractServer() as server:
        yield server


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never comes is given up soon."""
    for module in (expect, environment):
        monkeypatch.setattr(module, "PATIENCE", 0.2)
