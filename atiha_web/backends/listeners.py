"""Who wants to hear of something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from atiha_web.backends.base import Unsubscribe

T = TypeVar("T")


class Listeners(Generic[T]):
    """Functions to call with each piece of news, in the order they were added."""

    def __init__(self) -> None:
        self._entries: dict[object, Callable[[T], None]] = {}

    def __bool__(self) -> bool:
        """Whether there is anyone."""
        return bool(self._entries)

    def add(self, listener: Callable[[T], None]) -> Unsubscribe:
        """Call ``listener`` from now on; the returned function ends that and is idempotent."""
        entry = object()
        self._entries[entry] = listener

        def remove() -> None:
            self._entries.pop(entry, None)

        return remove

    def tell(self, news: T) -> None:
        """Call everyone; who is removed meanwhile hears nothing more."""
        for entry, listener in list(self._entries.items()):
            if entry in self._entries:
                listener(news)

    def clear(self) -> None:
        """Forget everyone."""
        self._entries.clear()
