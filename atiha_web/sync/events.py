"""What happened lately, for people who look into why something is as it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

KEPT = 200

EventKind = Literal["state", "sync", "signal", "conflict", "refused", "problem"]
"""``state``: synchronisation runs or fails in another way; ``sync``: a cycle moved something;
``signal``: what the platform said; ``conflict``: a local write lost; ``refused``: one went to
quarantine; ``problem``: storage could not be read, or is full."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: when (UTC, this device's corrected clock), and what, in words.

    It names collections and keys, and never what a record says.
    """

    at: datetime
    kind: EventKind
    message: str
