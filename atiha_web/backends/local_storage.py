"""What is the same for ``localStorage`` in the page itself and from afar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from atiha_web.backends.base import Level, StorageChange, Unsubscribe
from atiha_web.backends.listeners import Listeners
from atiha_web.errors import SaveError, StorageError, StorageFullError, StorageUnavailableError

CHANGES_PER_CALL = 5_000
"""Browsers bound the number of arguments of one call; none below 65,535."""
QUOTA_UNITS = 5 * 1024 * 1024
"""What an origin may store, keys included: the same in all browsers, and none tells."""
FULL = ("QuotaExceededError", "NS_ERROR_DOM_QUOTA_REACHED")
"""What browsers call the error of a full storage."""


class LocalStorageBase:
    """The part of ``Storage`` that needs no access to the stored entries."""

    def __init__(self) -> None:
        self._listeners = Listeners[StorageChange]()

    async def flush(self, level: Level) -> None:
        """Promises ``local`` only: a browser writes localStorage to the disk seconds later."""
        if level != "local":
            raise SaveError(
                f"localStorage alone cannot promise {level!r}: a killed browser may lose the last "
                "seconds; wait for 'local', or for the server's acknowledgement"
            )

    def subscribe(self, listener: Callable[[StorageChange], None]) -> Unsubscribe:
        """See ``Storage.subscribe``."""
        return self._listeners.add(listener)

    def deliver(self, change: StorageChange) -> None:
        """Tell the listeners of a change that somebody else made."""
        self._listeners.tell(change)


def flat_batches(changes: Mapping[str, str | None]) -> Iterator[tuple[str | None, ...]]:
    """The changes as ``(key, value, key, value, …)``, each batch short enough for one call."""
    pairs = tuple(chain.from_iterable(changes.items()))
    for first in range(0, len(pairs), 2 * CHANGES_PER_CALL):
        yield pairs[first : first + 2 * CHANGES_PER_CALL]


def storage_error(name: str, message: str) -> StorageError:
    """The error for what localStorage raised."""
    if name in FULL:
        return StorageFullError(
            "this browser's storage for this site is full; sync, then remove what is not needed"
        )
    return StorageUnavailableError(
        "this browser does not let the site keep data; allow cookies and site data for it and "
        f"reload the page ({name}: {message})"
    )
