"""How synchronisation stands, in one immutable value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from atiha_web.backends.base import Usage

SyncState = Literal[
    "idle",
    "syncing",
    "offline",
    "backoff",
    "needs_auth",
    "blocked",
    "stalled",
    "storage_full",
    "upgrade_required",
]


@dataclass(frozen=True, slots=True)
class Status:
    """The state of one user's synchronisation.

    Attributes:
        state: what the engine is doing; see the README for each word.
        user_id: who is signed in; ``None`` for nobody.
        online: the browser's hint; only ``False`` means anything.
        pending: operations not yet acknowledged by the server.
        in_flight: those of them in the request under way.
        quarantined: operations refused for good, waiting for the user.
        last_sync: when the last cycle succeeded, UTC; ``None`` before the first.
        message: what is wrong, in words for people; empty when nothing is.
        clock_offset_ms: how far the server's clock is ahead of ours, in ms.
        problems: what is wrong with storage, in words: what could not be read, why a level of
            durability cannot be promised.
        persisted: whether the browser promises not to throw this site's data away when it runs out
            of room; ``None`` where nothing does so, or before it answered.
        partial: whether local storage lacks some of the cached data for want of room. What this
            page has read stays readable until it is closed; the next start pulls the rest again.
        usage: how much of local storage's quota is taken, ``used`` of ``quota`` UTF-16 units, as
            measured at most 5 s before the last change; ``None`` where there is no quota.
    """

    state: SyncState = "idle"
    user_id: str | None = None
    online: bool = True
    pending: int = 0
    in_flight: int = 0
    quarantined: int = 0
    last_sync: datetime | None = None
    message: str = ""
    clock_offset_ms: int = 0
    problems: tuple[str, ...] = ()
    persisted: bool | None = None
    partial: bool = False
    usage: Usage | None = None

    def _repr_html_(self) -> str:
        """What notebooks show."""
        from atiha_web.display import status_html  # noqa: PLC0415 - nobody else needs it

        return status_html(self)


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one cycle did: operations acknowledged, rows received, operations refused.

    ``ok`` tells whether client and server agree now; ``message`` says why not. ``poll_after`` is
    how long the server would like to be left alone, in seconds; ``None`` if it does not say.
    """

    ok: bool
    sent: int = 0
    received: int = 0
    rejected: int = 0
    requests: int = 0
    message: str = ""
    poll_after: float | None = None
