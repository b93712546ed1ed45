"""What a start leaves for later, done in turns while nobody waits for it."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module

from pydantic import BaseModel

# Each after all that it imports itself: the longest takes a browser about 20 ms.
LATER = (
    "hashlib",
    "urllib.parse",
    "annotated_types",
    "pydantic.types",
    "pydantic.fields",
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


class _First(BaseModel):
    """Built by the import: the first of all models takes a browser 50 ms, which no turn may."""

    text: str = ""


async def load_in_turns() -> None:
    """Import what a sign-in needs and build its models, one in each turn of the event loop."""
    for name in LATER:
        if name not in sys.modules:
            import_module(name)
            await asyncio.sleep(0)
    from atiha_web.models import RECORDS  # noqa: PLC0415 - it is loaded by now
    from atiha_web.sync.turns import built_in_turns  # noqa: PLC0415 - the same

    await built_in_turns(RECORDS)
