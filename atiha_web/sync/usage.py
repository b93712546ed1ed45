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

    def claim(self) -> bool:
        """Whether to measure now: there is something to, and enough time went by.

        Who is told so measures; nobody else is told meanwhile.
        """
        now = asyncio.get_running_loop().time()
        if self._measure is None or now < self._due:
            return False
        self._due = now + SECONDS
        return True

    async def settle(self) -> None:
        """Measure now; whoever writes next learns what is wrong with storage."""
        if self._measure is not None:
            with suppress(AtihaError):
                self.last = await self._measure()
