"""The page's contracts, the seed's tests and the offline drain in browsers other than Chromium."""

from collections.abc import Iterable
from typing import Any

import pytest

from atiha_web.testing.contracts import (
    ENVIRONMENT_CHECKS,
    QUOTA_CHECKS,
    STORAGE_CHECKS,
    TRANSPORT_CHECKS,
)
from tests.engines.engines import PATIENCE, Engine

# The first test of a browser waits for all that the page does in it.
pytestmark = pytest.mark.timeout(PATIENCE + 60)

SCENARIOS = [
    "basic_synchronisation",
    "offline_mode",
    "periodic_synchronisation",
    "offline_drain",
    "a_page_that_goes_is_told",
]


def names(checks: Iterable[Any]) -> list[str]:
    return [check.__name__ for check in checks]


def passed(report: dict[str, Any], name: str) -> None:
    """Fail with what went wrong in the page."""
    if report["checks"][name] is not None:
        pytest.fail(report["checks"][name], pytrace=False)


@pytest.mark.parametrize("name", names(STORAGE_CHECKS))
def test_storage(report: dict[str, Any], name: str) -> None:
    passed(report, f"storage-{name}")


@pytest.mark.parametrize("name", names(QUOTA_CHECKS))
def test_storage_with_a_quota(report: dict[str, Any], name: str) -> None:
    passed(report, f"quota-{name}")


@pytest.mark.parametrize("name", names(ENVIRONMENT_CHECKS))
def test_environment(report: dict[str, Any], name: str) -> None:
    passed(report, f"environment-{name}")


@pytest.mark.parametrize("name", names(TRANSPORT_CHECKS))
def test_transport(report: dict[str, Any], name: str) -> None:
    passed(report, f"transport-{name}")


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(report: dict[str, Any], name: str) -> None:
    passed(report, f"scenario-{name}")


def test_an_emulated_cut_is_told_and_drained(engine: Engine, report: dict[str, Any]) -> None:
    if engine.name == "WebKit":
        assert "scenario-emulated_offline_drain" not in report["checks"]
    else:
        passed(report, "scenario-emulated_offline_drain")
