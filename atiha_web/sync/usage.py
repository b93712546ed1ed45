"""How much of local storage's quota is taken, for whom the platform tells."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from atiha_web.backends.base import Backend, Usage
from atiha_web.errors import AtihaError

SECONDS = 5.0
"""At least between two measurements, each of which looks at every entry of the origin."""


class StorageUsage:
    """What was measured last; ``None`` before, and where storage has no quota."""

    def __init__(self, backend: Backend) -> None:
        self.last: Usage | None = None
        self._measure = backend.usage
        self._due = 0.0

    @property
    def is_due(self) -> bool:
        """Whether there is something to measure, and enough time went by."""
        return self._measure is not None and asyncio.get_running_loop().time() >= self._due

    async def settle(self) -> None:
        """Measure now; whoever writes next learns what is wrong with storage."""
        if self._measure is None:
            return
        self._due = asyncio.get_running_loop().time() + SECONDS
        with suppress(AtihaError):
            self.last = await self._measure()
