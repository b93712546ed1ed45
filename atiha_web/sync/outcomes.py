"""What a reply, or the lack of one, means for the cycle: one table, decided without I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from atiha_web.backends.base import Response

HEADER = "atiha-protocol"
"""Every reply of our server carries it, so that a proxy's page is never taken for an answer."""

FAST_TRIES = 3
"""The seed's "3 attempts": fast tries within a cycle, never a reason to lose a change."""

BACKOFF_FIRST = 1.0
BACKOFF_LAST = 60.0
BLOCKED_RETRY = 60.0
RETRY_AFTER_LAST = 15 * 60.0


class Kind(Enum):
    """What to do about a reply."""

    OK = "ok"
    TRANSIENT = "transient"
    BUSY = "busy"
    NEEDS_AUTH = "needs_auth"
    BLOCKED = "blocked"
    BAD_BATCH = "bad_batch"
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    UPGRADE = "upgrade_required"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A reply, classified. ``retry_after`` is in seconds, ``message`` in words for people.

    ``ours`` tells whether our server said it, and not something on the way.
    """

    kind: Kind
    message: str = ""
    code: str = ""
    retry_after: float | None = None
    ours: bool = False


_OURS: Mapping[int, tuple[Kind, str]] = {
    400: (Kind.BAD_BATCH, "the server cannot read an operation"),
    401: (Kind.NEEDS_AUTH, "sign in again to go on syncing"),
    403: (Kind.BLOCKED, "the server refuses this account's changes"),
    404: (Kind.BLOCKED, "the server does not know this account"),
    413: (Kind.TOO_LARGE, "the batch is too large for the server"),
    422: (Kind.BAD_BATCH, "the server refuses an operation"),
    426: (Kind.UPGRADE, "this page is too old for the server: reload it"),
    429: (Kind.BUSY, "the server asks to slow down"),
    503: (Kind.BUSY, "the server is busy"),
}

_FOREIGN: Mapping[int, tuple[Kind, str]] = {
    413: (Kind.TOO_LARGE, "something on the way refuses batches of this size"),
    429: (Kind.BUSY, "something on the way asks to slow down"),
    503: (Kind.BUSY, "the server is not available"),
}


def classify(response: Response, now: datetime) -> Outcome:
    """What ``response`` means. ``now`` reads a Retry-After given as a date.

    Without our header every status but 413, 429 and 503 is transient: it may be a proxy, a
    captive portal or a server that is being replaced.
    """
    ours = HEADER in response.headers
    if ours and response.status == 200:
        return Outcome(Kind.OK, ours=True)
    kind, words = (_OURS if ours else _FOREIGN).get(
        response.status, (Kind.TRANSIENT, _transient_words(response, ours=ours))
    )
    code, detail = problem(response) if ours else ("", "")
    retry_after = wait_asked(response, now) if kind is Kind.BUSY else None
    return Outcome(kind, detail or words, code, retry_after, ours)


def problem(response: Response) -> tuple[str, str]:
    """The ``code`` and ``detail`` of a problem document (RFC 9457); empty texts without one."""
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return "", ""
    try:
        document = json.loads(response.body)
        return str(document.get("code", "")), str(document.get("detail", ""))
    except (ValueError, AttributeError):
        return "", ""


def backoff(failures: int, jitter: float) -> float:
    """Seconds to wait after ``failures`` failed cycles in a row; ``jitter`` in [0, 1).

    Full jitter, after Brooker, "Exponential Backoff and Jitter" (2015), from 1 to 60 s.
    """
    ceiling = min(BACKOFF_LAST, BACKOFF_FIRST * 2.0 ** min(failures, 16))
    return max(BACKOFF_FIRST, ceiling * jitter)


def _transient_words(response: Response, *, ours: bool) -> str:
    if ours:
        return f"the server failed (status {response.status}); trying again"
    return f"something else than the server answered (status {response.status}); trying again"


def wait_asked(response: Response, now: datetime) -> float | None:
    """The seconds a reply asks to wait, at most 15 min; ``now`` reads a date."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value) if value.isdigit() else _seconds_until(value, now)
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_LAST)


def _seconds_until(date: str, now: datetime) -> float:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - servers rarely name a date

    moment = parsedate_to_datetime(date)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - now).total_seconds()
