"""The page's contracts, the seed's tests and the offline drain in browsers other than Chromium."""

from collections.abc import Iterable
from typing import Any

import pytest

from atiha_web.sync.cycle import PARTING_BYTES
from atiha_web.testing.contracts import (
    ENVIRONMENT_CHECKS,
    QUOTA_CHECKS,
    STORAGE_CHECKS,
    TRANSPORT_CHECKS,
)
from tests.engines.engines import PATIENCE
from tests.engines.webkit import Seen

# The first test of a browser waits for all that the page does in it.
pytestmark = pytest.mark.timeout(PATIENCE + 60)

ROOM_UNITS = 2_400_000
"""What the engine may use of localStorage, in UTF-16 units."""
SCENARIOS = [
    "basic_synchronisation",
    "offline_mode",
    "periodic_synchronisation",
    "offline_drain",
    "a_page_that_goes_is_told",
    "blocking_calls",
    "blocking_calls_in_a_worker",
    "a_worker_shares_the_storage_of_the_page",
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


@pytest.mark.parametrize("engine", ["firefox"], indirect=True, scope="session")
def test_a_cut_by_the_driver_is_told_and_drained(report: dict[str, Any]) -> None:
    # No driver of WebKit can cut its network off; there, the server is stopped.
    passed(report, "scenario-emulated_offline_drain")


def test_every_check_of_the_page_is_looked_at(report: dict[str, Any]) -> None:
    looked_at = [
        *(f"storage-{name}" for name in names(STORAGE_CHECKS)),
        *(f"quota-{name}" for name in names(QUOTA_CHECKS)),
        *(f"environment-{name}" for name in names(ENVIRONMENT_CHECKS)),
        *(f"transport-{name}" for name in names(TRANSPORT_CHECKS)),
        *(f"scenario-{name}" for name in [*SCENARIOS, "emulated_offline_drain"]),
    ]
    assert set(report["checks"]) <= set(looked_at)


def test_the_demo_starts(seen: Seen) -> None:
    assert seen.demo


def test_writes_are_kept_on_the_disk(report: dict[str, Any]) -> None:
    assert report["measured"]["problems"] == []


def test_what_is_sent_as_a_page_goes_arrives(report: dict[str, Any]) -> None:
    assert report["measured"]["outlives_its_page"]
    assert report["measured"]["keepalive_bytes"] >= PARTING_BYTES


def test_storage_has_the_room_that_is_counted_on(report: dict[str, Any]) -> None:
    assert report["measured"]["quota_漢"] >= ROOM_UNITS
