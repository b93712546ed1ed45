"""Writing the seed's views: they give way where there is no room, and never stop anything."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress

from atiha_web.backends.base import Storage
from atiha_web.errors import StorageError

logger = logging.getLogger("atiha_web")


async def write_views(storage: Storage, changes: Mapping[str, str | None]) -> None:
    """Write views; one that cannot be written is removed, never an error."""
    if not changes:
        return
    with suppress(StorageError):
        await storage.write(changes)
        return
    for key, text in changes.items():
        try:
            await storage.write({key: text})
        except StorageError:
            logger.warning("no room for %s; it is left out", key)
            with suppress(StorageError):
                await storage.write({key: None})
