"""``atiha_last_sync``: when each cache key was last in step with the server."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from atiha_web.backends.base import Storage
from atiha_web.sync.names import LAST_SYNC_KEY
from atiha_web.sync.operation import dump_json
from atiha_web.sync.view_store import write_views


class LastSync:
    """An object from cache key to ISO 8601 time. A view: tabs may overwrite each other's."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def read(self) -> dict[str, str]:
        """All times; empty where the stored text is not what we write."""
        [text] = await self._storage.read([LAST_SYNC_KEY])
        try:
            times = json.loads(text or "{}")
        except ValueError:
            return {}
        if not isinstance(times, dict):
            return {}
        return {key: value for key, value in times.items() if isinstance(value, str)}

    async def newest(self, keys: Iterable[str]) -> datetime | None:
        """The newest time of ``keys``."""
        times = await self.read()
        try:
            return max(
                (datetime.fromisoformat(times[key]) for key in keys if key in times), default=None
            )
        except (ValueError, TypeError):
            return None

    async def record(self, keys: Iterable[str], time: str) -> None:
        """These keys were in step at ``time``."""
        times = {**await self.read(), **dict.fromkeys(keys, time)}
        await write_views(self._storage, {LAST_SYNC_KEY: dump_json(times)})

    async def forget(self, keys: Iterable[str]) -> None:
        """Take these keys out."""
        gone = set(keys)
        times = {key: time for key, time in (await self.read()).items() if key not in gone}
        await write_views(self._storage, {LAST_SYNC_KEY: dump_json(times) if times else None})
