"""The page backend in Chromium, with the built wheel: its contracts and what is its own."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_pyodide import run_in_pyodide

from atiha_web.testing.contracts import (
    ENVIRONMENT_CHECKS,
    QUOTA_CHECKS,
    STORAGE_CHECKS,
    TRANSPORT_CHECKS,
)
from atiha_web.testing.server import ContractServer

HARNESS = Path(__file__).with_name("page_harness.py")


def names(checks: Iterable[Any]) -> list[str]:
    return [check.__name__ for check in checks]


@pytest.fixture(autouse=True)
def harness(selenium: Any) -> None:
    """Let code in Pyodide import `page_harness`."""
    source = json.dumps(HARNESS.read_text("utf-8"))
    selenium.run_js(f"pyodide.FS.writeFile('page_harness.py', {source})")


@pytest.fixture(scope="module")
def contract_server() -> Iterator[ContractServer]:
    """A server that answers as the checks of transports expect."""
    with ContractServer() as server:
        yield server


@pytest.mark.parametrize("name", names(STORAGE_CHECKS))
@run_in_pyodide(packages=["atiha-web"])
async def test_storage(selenium: Any, name: str) -> None:
    from atiha_web.testing.contracts import STORAGE_CHECKS
    from page_harness import PageOrigin

    with PageOrigin() as origin:
        (check,) = [check for check in STORAGE_CHECKS if check.__name__ == name]
        await check(origin)


@pytest.mark.parametrize("name", names(QUOTA_CHECKS))
@run_in_pyodide(packages=["atiha-web"])
async def test_storage_with_a_quota(selenium: Any, name: str) -> None:
    from atiha_web.testing.contracts import QUOTA_CHECKS
    from page_harness import PageOrigin

    with PageOrigin() as origin:
        (check,) = [check for check in QUOTA_CHECKS if check.__name__ == name]
        await check(origin)


@pytest.mark.parametrize("name", names(ENVIRONMENT_CHECKS))
@run_in_pyodide(packages=["atiha-web"])
async def test_environment(selenium: Any, name: str) -> None:
    from atiha_web.testing.contracts import ENVIRONMENT_CHECKS
    from page_harness import PageWorld

    with PageWorld() as world:
        (check,) = [check for check in ENVIRONMENT_CHECKS if check.__name__ == name]
        await check(world)


@run_in_pyodide(packages=["atiha-web"])
async def check_transport(selenium: Any, name: str, url: str, dead_url: str) -> None:
    from atiha_web.testing.contracts import TRANSPORT_CHECKS
    from page_harness import PageNetwork

    with PageNetwork(url, dead_url) as network:
        (check,) = [check for check in TRANSPORT_CHECKS if check.__name__ == name]
        await check(network)


@pytest.mark.parametrize("name", names(TRANSPORT_CHECKS))
def test_transport(selenium: Any, name: str, contract_server: ContractServer) -> None:
    check_transport(selenium, name, contract_server.url, contract_server.dead_url)
