"""What the page says about time and about how safe changes are."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from atiha_web import Status
from demo.page.app import words

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def status(**values: Any) -> Status:
    """The status of a member who synced."""
    return Status(**{"user_id": "ada", "last_sync": NOW, **values})


@pytest.mark.parametrize(
    ("values", "tone", "headline"),
    [
        ({}, "good", "Everything is saved"),
        ({"user_id": None}, "quiet", "You are browsing as a guest"),
        ({"pending": 1}, "busy", "Saving 1 change"),
        ({"last_sync": None}, "busy", "Looking for changes"),
        ({"state": "syncing"}, "good", "Everything is saved"),
        ({"state": "offline"}, "warn", "Offline: your lists are on this device"),
        (
            {"state": "offline", "pending": 3},
            "warn",
            "Offline: 3 changes kept on this device",
        ),
        (
            {"state": "needs_auth", "pending": 1},
            "bad",
            "Log in again: 1 change kept on this device",
        ),
        ({"quarantined": 2}, "bad", "2 changes could not be saved"),
    ],
)
def test_headlines(values: dict[str, Any], tone: str, headline: str) -> None:
    said = words.status_words(status(**values))
    assert (said.tone, said.headline) == (tone, headline)


def test_the_engines_own_message_leads_the_details() -> None:
    said = words.status_words(status(state="backoff", message="the server is away (503)"))
    assert said.details.startswith("the server is away (503)")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "just now"), (42, "42 s ago"), (600, "10 min ago"), (7200, "2 h ago")],
)
def test_how_long_ago(seconds: int, said: str) -> None:
    assert words.ago(NOW - timedelta(seconds=seconds), NOW) == said


def test_never_and_long_ago() -> None:
    assert words.ago(None, NOW) == "not yet"
    assert words.ago(NOW - timedelta(days=2), NOW) == "27 February 2026"


@pytest.mark.parametrize(("minutes", "said"), [(6, "6 min"), (60, "1 h"), (94, "1 h 34 min")])
def test_running_times(minutes: int, said: str) -> None:
    assert words.running_time(minutes) == said


@pytest.mark.parametrize(("seconds", "said"), [(5.9, "0:05"), (3723, "1:02:03")])
def test_positions(seconds: float, said: str) -> None:
    assert words.clock(seconds) == said


def test_a_film_that_is_nearly_over_has_a_minute_left() -> None:
    assert words.left(3599, 3600) == "1 min left"
