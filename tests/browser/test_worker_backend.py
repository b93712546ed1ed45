"""The worker backend in Chromium, with the built wheel: the contracts, from a plain worker."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from atiha_web.testing.contracts import (
    ENVIRONMENT_CHECKS,
    QUOTA_CHECKS,
    STORAGE_CHECKS,
    TRANSPORT_CHECKS,
)
from atiha_web.testing.server import ContractServer
from tests.browser.kernels import SeleniumKernel, kernel, kernel_pages  # noqa: F401 - fixtures


def names(checks: Iterable[Any]) -> list[str]:
    return [check.__name__ for check in checks]


@pytest.fixture(scope="module")
def contract_server() -> Iterator[ContractServer]:
    """A server that answers as the checks of transports expect."""
    with ContractServer() as server:
        yield server


def check(kernel: SeleniumKernel, *arguments: str) -> None:  # noqa: F811 - the fixture's value
    kernel.run(f"import worker_harness\nawait worker_harness.run(*{arguments!r})")


@pytest.mark.parametrize("name", names(STORAGE_CHECKS))
def test_storage(kernel: SeleniumKernel, name: str) -> None:  # noqa: F811 - as above
    check(kernel, "storage", name)


@pytest.mark.parametrize("name", names(QUOTA_CHECKS))
def test_storage_with_a_quota(kernel: SeleniumKernel, name: str) -> None:  # noqa: F811 - as above
    check(kernel, "quota", name)


@pytest.mark.parametrize("name", names(ENVIRONMENT_CHECKS))
def test_environment(kernel: SeleniumKernel, name: str) -> None:  # noqa: F811 - as above
    check(kernel, "environment", name)


@pytest.mark.parametrize("name", names(TRANSPORT_CHECKS))
def test_transport(
    kernel: SeleniumKernel,  # noqa: F811 - as above
    name: str,
    contract_server: ContractServer,
) -> None:
    check(kernel, "transport", name, contract_server.url, contract_server.dead_url)


USAGE = """
from atiha_web.backends.worker import worker_backend
backend = await worker_backend()
before = await backend.usage()
await backend.storage.write({"été": "12345"})
after = await backend.usage()
backend.close()
assert (after.used - before.used, after.quota) == (8, 5_242_880), (before, after)
"""


def test_usage_is_that_of_the_page(kernel: SeleniumKernel) -> None:  # noqa: F811 - as above
    kernel.run(USAGE)


@pytest.fixture
def nobody_serves(selenium: Any) -> Iterator[None]:
    """The page that a module's tests share, while it serves no kernel."""
    selenium.run_js("globalThis.atihaServer?.leave()")
    yield
    selenium.run_js("globalThis.atihaServer?.join()")


@pytest.mark.usefixtures("nobody_serves")
def test_a_worker_without_a_page_is_told_what_to_do(selenium: Any) -> None:
    told = selenium.run_webworker(
        """
        import pyodide_js
        await pyodide_js.loadPackage("atiha-web")
        from atiha_web.backends.auto import choose_backend, is_in_page, is_in_worker
        from atiha_web.errors import PlatformError
        assert is_in_worker() and not is_in_page()
        try:
            await choose_backend()
        except PlatformError as error:
            told = str(error)
        told
        """
    )
    assert 'add <script src="/atiha/serve.js"></script>' in told
