"""The paths that a server asked to leave alone for a while, whoever here would ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class Waits:
    """Until when each path is left alone. One for each server and user."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, path: str, seconds: float | None) -> None:
        """A reply asked not to come before so many ``seconds``; ``None``: it did not ask."""
        if seconds is not None:
            self._until[path] = asyncio.get_running_loop().time() + seconds

    def left(self, paths: Iterable[str]) -> dict[str, float]:
        """Those of ``paths`` that are to be left alone, and for how many more seconds."""
        now = asyncio.get_running_loop().time()
        found = {path: self._until.get(path, 0.0) - now for path in paths}
        return {path: seconds for path, seconds in found.items() if seconds > 0}
