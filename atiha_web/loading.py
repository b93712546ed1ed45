"""What a start leaves for later, done in turns while nobody waits for it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from importlib import import_module

BEFORE_MODELS = (
    "annotated_types",
    "pydantic.types",
    "pydantic.fields",
    "atiha_web.first_model",
)
# Each after all that it imports itself: the longest takes a browser about 20 ms.
LATER = (
    "hashlib",
    "urllib.parse",
    *BEFORE_MODELS,
    *(
        f"atiha_web.{name}"
        for name in (
            "models",
            "sync.hlc",
            "sync.operation",
            "sync.view_store",
            "services.account_cache",
            "sync.outcomes",
            "sync.rest_outcomes",
            "sync.merge",
            "collections",
            "sync.calls",
            "sync.digest",
            "sync.garbage",
            "sync.protocol",
            "sync.resolution",
            "sync.replica",
            "sync.journal",
            "sync.pages",
            "sync.room",
            "sync.turns",
            "sync.base_store",
            "sync.local_store",
            "sync.rest_rows",
            "sync.statements",
            "sync.adoption",
            "sync.clock",
            "sync.events",
            "sync.last_sync",
            "sync.stored_views",
            "sync.acceptance",
            "sync.agreement",
            "sync.local_replica",
            "sync.results",
            "sync.reconciler",
            "sync.waits",
            "sync.base_cycle",
            "sync.tabs",
            "sync.engine",
            "sync.inspection",
            "sync.scheduler",
            "sync.synchronizer",
            "services.user_database",
            "services.user_profile",
            "sync.batches",
            "sync.cycle",
        )
    ),
)


async def import_in_turns(names: Iterable[str]) -> None:
    """Import modules, one in each turn of the event loop; those that are loaded take none."""
    for name in names:
        if name not in sys.modules:
            import_module(name)
            await asyncio.sleep(0)


async def load_in_turns() -> None:
    """Import what a sign-in needs and build its models, one in each turn of the event loop."""
    await import_in_turns(LATER)
    from atiha_web.models import RECORDS  # noqa: PLC0415 - it is loaded by now
    from atiha_web.sync.turns import built_in_turns  # noqa: PLC0415 - the same

    await built_in_turns(RECORDS)
