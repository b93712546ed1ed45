"""Whether local storage has room, and what is given up first where it has none."""

from __future__ import annotations

from collections.abc import Iterable

from atiha_web.backends.base import Storage
from atiha_web.errors import StorageFullError
from atiha_web.sync.names import QUEUE_KEY, Names

ROOM_UNITS = 256 * 1024
"""What must be free before anything given up is written back."""

_PROBE = "probe"


class Room:
    """The room left for one user's data.

    No platform tells how much is free, so it is measured: a key of that size is written and removed
    again. That costs as much as writing four pages of base, and is done at most once for each
    ``measure_again``, and only while room is short.
    """

    def __init__(self, storage: Storage, names: Names, collections: Iterable[str]) -> None:
        self.is_short = False
        """Whether nothing but journal and quarantine may be written, until there is room."""
        self.gives_up_queue = True
        """Whether the view of the queue may go."""
        self.wanted = 0
        """The units that what is kept in memory only would take, where that is known."""
        self._storage = storage
        # Among the pages: one that a crash leaves behind is swept with theirs.
        self._probe = names.pages + _PROBE
        self._views = [names.view(name) for name in collections]
        self._may_measure = True

    async def give_up_views(self) -> bool:
        """Remove the stored views; tells whether there were any. From now on room is short."""
        self.is_short = True
        views = [*self._views, self._probe, *([QUEUE_KEY] if self.gives_up_queue else [])]
        texts = await self._storage.read(views)
        stored = [key for key, text in zip(views, texts, strict=True) if text is not None]
        if stored:
            await self._storage.write(dict.fromkeys(stored))
        return bool(stored)

    def measure_again(self) -> None:
        """Something was removed, or time went by: there may be room by now."""
        self._may_measure = True

    async def is_there(self) -> bool:
        """Whether there is room to write back what was given up."""
        if not self._may_measure:
            return False
        self._may_measure = False
        try:
            await self._storage.write({self._probe: "0" * max(ROOM_UNITS, self.wanted)})
        except StorageFullError:
            return False
        finally:
            await self._storage.write({self._probe: None})
        return True
