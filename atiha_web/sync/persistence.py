"""Asking the browser, once, not to throw this site's data away when it runs out of room."""

from __future__ import annotations

from contextlib import suppress

from atiha_web.backends.base import Backend
from atiha_web.errors import StorageError

ASKED_KEY = "atiha::asked-to-persist"


class Persistence:
    """What the browser promises; some ask the person, so it is asked only once per device."""

    def __init__(self, backend: Backend) -> None:
        self.granted: bool | None = None
        """Its answer; ``None`` before it is known, and where nothing throws data away."""
        self._backend = backend

    async def settle(self) -> None:
        """Learn the answer; ask if this device never did. Call it once there is data to keep."""
        persist, storage = self._backend.persist, self._backend.storage
        if persist is None or self.granted is not None:
            return
        [asked] = await storage.read([ASKED_KEY])
        if asked is None:
            with suppress(StorageError):
                await storage.write({ASKED_KEY: "1"})
        self.granted = await persist(asked is None)
