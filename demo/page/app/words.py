"""What the page says about time and about how safe the visitor's changes are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from atiha_web import Status

Tone = Literal["quiet", "good", "busy", "warn", "bad"]


@dataclass(frozen=True)
class StatusWords:
    """The status bar: a tone for its colour, a headline, and more when it is opened."""

    tone: Tone
    headline: str
    details: str


def status_words(status: Status) -> StatusWords:
    """Say how things stand; the engine's own message, if any, is part of the details."""
    if status.user_id is None:
        return StatusWords(
            "quiet",
            "You are browsing as a guest",
            "Log in to keep lists, ratings and your place in a film.",
        )
    tone, headline, details = _words(status)
    if status.quarantined:
        tone = "bad"
        headline = f"{changes(status.quarantined)} could not be saved"
        details = "The server refused it. Nothing is thrown away unless you say so."
    parts = (status.message, details, *status.problems)
    return StatusWords(tone, headline, " ".join(part for part in parts if part))


LATER = "What waits is sent by itself as soon as it works again."
TROUBLE: dict[str, tuple[Tone, str, str]] = {
    "offline": ("warn", "Offline", "There is no network."),
    "backoff": ("warn", "Atiha does not answer", "The page tries again by itself."),
    "needs_auth": ("bad", "Log in again", "Your session ended; nothing is lost."),
    "blocked": ("bad", "The server refuses this account", "The page asks again every minute."),
    "stalled": ("warn", "Saving takes long", "The page starts over by itself."),
    "storage_full": ("bad", "This device has no room left", "Free some storage and try again."),
    "upgrade_required": ("bad", "Reload for a new version", "This page is too old to sync."),
}


def _words(status: Status) -> tuple[Tone, str, str]:
    waiting = changes(status.pending)
    if trouble := TROUBLE.get(status.state):
        tone, what, details = trouble
        if status.pending:
            return tone, f"{what}: {waiting} kept on this device", f"{details} {LATER}"
        return tone, f"{what}: your lists are on this device", details
    if status.pending:
        return "busy", f"Saving {waiting}", "They are on this device already."
    if status.last_sync is None:
        return "busy", "Looking for changes", ""
    return "good", "Everything is saved", "On this device and on the server."


def changes(count: int) -> str:
    """A number of changes: "1 change", "3 changes"."""
    return f"{count} change{'' if count == 1 else 's'}"


ABOUT = {
    "ratings": "Rating",
    "watchlist": "My list",
    "favorites": "Favorite",
    "watch_history": "Your place in a film",
    "profile": "Profile",
}


def about(collection: str, *, removed: bool) -> str:
    """What a change is about, in the visitor's words."""
    what = ABOUT.get(collection, collection.replace("_", " ").capitalize())
    return f"{what}, removed" if removed else what


def films(count: int) -> str:
    """A number of films: "1 film", "3 films"."""
    return f"{count} film{'' if count == 1 else 's'}"


def ago(then: datetime | None, now: datetime) -> str:
    """How long ago something was, as a visitor says it."""
    if then is None:
        return "not yet"
    seconds = max(0, int((now - then).total_seconds()))
    if seconds < 10:
        return "just now"
    if seconds < 60:
        return f"{seconds} s ago"
    if seconds < 3600:
        return f"{seconds // 60} min ago"
    if seconds < 86_400:
        return f"{seconds // 3600} h ago"
    return f"{then:%d %B %Y}"


def running_time(minutes: int) -> str:
    """A length: "45 min", "1 h 34 min"."""
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{rest} min"
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def clock(seconds: float) -> str:
    """A position in a film: "4:05", "1:02:03"."""
    minutes, secs = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def left(progress: float, duration: float) -> str:
    """What remains of a film."""
    return f"{running_time(max(1, round((duration - progress) / 60)))} left"


def stars(rating: int) -> str:
    """A rating as stars."""
    return "★" * rating
