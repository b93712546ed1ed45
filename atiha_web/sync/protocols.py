"""The protocols a server may be spoken to in, and what each needs: chosen once, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from atiha_web.errors import InvalidDataError

if TYPE_CHECKING:
    from atiha_web.sync.base_cycle import Cycle, Link
    from atiha_web.sync.calls import UpdateMethod
    from atiha_web.sync.resolution import Resolution

ProtocolName = Literal["sync", "rest"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How to speak to the server. ``update_method`` is what updates are sent with over REST."""

    name: ProtocolName = "sync"
    update_method: UpdateMethod = "PATCH"

    def __post_init__(self) -> None:
        if self.name not in ("sync", "rest"):
            raise InvalidDataError(f"{self.name!r} is no protocol: use 'sync' or 'rest'")
        if self.update_method not in ("PATCH", "PUT"):
            raise InvalidDataError(f"{self.update_method!r} updates nothing: use 'PATCH' or 'PUT'")

    @property
    def resolution(self) -> Resolution:
        """How the server takes operations."""
        # Imported on use: until somebody signs in nothing of this is needed, and then half of it.
        from atiha_web.sync.resolution import MERGED, REPLAYED  # noqa: PLC0415

        return MERGED if self.name == "sync" else REPLAYED

    def cycle(self, link: Link) -> Cycle:
        """What keeps the two ends of ``link`` in step."""
        # Imported on use, as above.
        if self.name == "sync":
            from atiha_web.sync.cycle import SyncCycle  # noqa: PLC0415

            return SyncCycle(link)
        from atiha_web.sync.rest_cycle import RestCycle  # noqa: PLC0415

        return RestCycle(link, self.update_method)
