"""The whole contract between the engine and a platform. Each adapter implements these.

Methods are ``async def``; awaiting one that answers at once costs no turn of the event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

Level = Literal["local", "disk", "server"]
"""What a write survives: ``local`` the death of the page, ``disk`` of the browser or process,
``server`` of the device."""

Unsubscribe = Callable[[], None]

SIGNALS = ("online", "offline", "visible", "hidden")
"""What an ``Environment`` tells its listeners."""


@dataclass(frozen=True, slots=True)
class StorageChange:
    """Another document changed ``key``; ``value`` is the new text, ``None`` where it was removed.

    ``key`` is ``None`` when everything was cleared at once.
    """

    key: str | None
    value: str | None


class Storage(Protocol):
    """Text by key, shared by every engine of this origin (or folder)."""

    async def read(self, keys: Sequence[str]) -> list[str | None]:
        """The values of ``keys`` in their order; ``None`` for each that is not there."""
        ...

    async def write(self, changes: Mapping[str, str | None]) -> None:
        """Set each key to its text, or remove it (``None``), in the mapping's order.

        On return every later ``read`` here sees it, and another document sees it at the latest
        when it is told of the change: browsers keep a copy per process. Idempotent. After an
        error the changes before the failing one hold, and those from it on do not: the old values
        stay.

        Raises:
            StorageFullError: no room for one of them.
            StorageUnavailableError: storage cannot be used.
        """
        ...

    async def keys(self, prefix: str) -> list[str]:
        """The keys that begin with ``prefix``, sorted."""
        ...

    async def flush(self, level: Level) -> None:
        """Return once everything written before survives what ``level`` names.

        Raises:
            SaveError: this storage cannot promise that level.
        """
        ...

    def subscribe(self, listener: Callable[[StorageChange], None]) -> Unsubscribe:
        """Tell ``listener`` what other documents change, in the order they did; never our own."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; ``url`` is absolute or relative to the page, ``timeout`` in seconds."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP reply of any status; header names are lower-case, ``url`` is the final one."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""


class Transport(Protocol):
    """HTTP, with cookies where the platform keeps them."""

    keeps_cookies: bool
    """Whether a session cookie set by the server is sent again by itself (a browser)."""

    async def request(self, request: Request) -> Response:
        """Send and await the whole reply, whatever its status. Never repeats a request.

        Raises:
            NetworkError: the server could not be reached or the connection broke.
            RequestTimeoutError: no whole reply within the request's timeout.
        """
        ...

    async def close(self) -> None:
        """Release connections. Idempotent."""
        ...


class Environment(Protocol):
    """The world around the engine: connectivity, visibility and locks."""

    def online(self) -> bool:
        """A hint; only ``False`` means anything."""
        ...

    def subscribe(self, listener: Callable[[str], None]) -> Unsubscribe:
        """Call ``listener`` with each of ``SIGNALS`` as it happens."""
        ...

    def lock(self, name: str, timeout: float) -> AbstractAsyncContextManager[bool]:
        """Hold the lock ``name`` among all engines of this origin (or folder) for the block.

        Yields whether it was had within ``timeout`` seconds; the block runs either way.
        """
        ...


class Usage(NamedTuple):
    """How many UTF-16 units of local storage are taken, by anybody on the origin, and its quota."""

    used: int
    quota: int


@dataclass(frozen=True)
class Backend:
    """One platform, chosen once and handed to everything that needs it."""

    storage: Storage
    transport: Transport
    environment: Environment
    now_ms: Callable[[], int]
    """Wall-clock time in ms since 1970, UTC; may be wrong and may jump. Timers are asyncio's."""
    random: Callable[[], float]
    """A number in [0, 1), for jitter."""
    random_hex: Callable[[int], str]
    """That many random lower-case hex digits, for writers."""
    close: Callable[[], None]
    """Removes every listener and proxy the backend added. Idempotent."""
    is_mirrored: bool = False
    """Whether what storage lost may come back at a later start, from a copy beside it."""
    storage_problems: Callable[[], tuple[str, ...]] = tuple
    """What people should know of storage now, in words: why ``disk`` cannot be promised."""
    persist: Callable[[bool], Awaitable[bool]] | None = None
    """Whether the browser promises to keep the site's data; asks it to, where ``True`` is given.

    ``None`` where nothing throws data away unasked.
    """
    usage: Callable[[], Awaitable[Usage]] | None = None
    """How full storage is; takes some ms where there is much. ``None`` where there is no quota."""
    send_last: Callable[[Request], None] | None = None
    """Sends a request of at most 64 KiB that outlives the page; nobody learns of the reply.

    ``None`` where a request cannot outlive its sender.
    """
