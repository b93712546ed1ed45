"""Limits that worlds this small would never reach, made as small as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from atiha_web.sync import (
    base_store,
    batches,
    cycle,
    local_store,
    pages,
    reconciler,
    stored_views,
)

LIMITS: list[tuple[Any, str, int]] = [
    (cycle, "CHANGES_PER_TURN", 2),
    (reconciler, "CHANGES_PER_TURN", 2),
    (base_store, "PAGES_READ_PER_TURN", 2),
    (base_store, "PAGES_WRITTEN_PER_TURN", 2),
    (local_store, "ENTRIES_PER_TURN", 2),
    (pages, "PAGE_UNITS", 200),
    (batches, "MAX_BATCH_OPERATIONS", 2),
    (stored_views, "MAX_ENTRIES", 3),
]
"""Where each limit is, and what it is in worlds that are ``tight``."""


@contextmanager
def tuned(*, tight: bool) -> Iterator[None]:
    """Run the block with small limits, or with those that ship."""
    before = [getattr(owner, name) for owner, name, _ in LIMITS]
    try:
        for owner, name, value in LIMITS if tight else []:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(LIMITS, before, strict=True):
            setattr(owner, name, value)
