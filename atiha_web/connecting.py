"""``connect``: the front door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from atiha_web.backends.auto import StorageChoice, choose_backend
from atiha_web.backends.base import Backend
from atiha_web.client import Client
from atiha_web.errors import InvalidDataError
from atiha_web.session import Session
from atiha_web.sync.names import is_user_id
from atiha_web.sync.protocols import Protocol, ProtocolName
from atiha_web.sync.recovery import MIRRORED

if TYPE_CHECKING:
    from atiha_web.collections import Collection, Registry
    from atiha_web.sync.calls import UpdateMethod
    from atiha_web.sync.reconciler import Conflict

ChooseBackend = Callable[..., Awaitable[Backend]]
"""As ``choose_backend``."""


class Connecting:
    """What ``connect`` returns: await it, or use it in ``async with``."""

    def __init__(self, work: Callable[[ChooseBackend], Coroutine[Any, Any, Client]]) -> None:
        self._work = work
        self._client: Client | None = None

    def on(self, choose: ChooseBackend) -> Coroutine[Any, Any, Client]:
        """Connect on the backend that ``choose`` gives, where the caller gave none."""
        return self._work(choose)

    def __await__(self) -> Generator[Any, None, Client]:
        return self._work(choose_backend).__await__()

    async def __aenter__(self) -> Client:
        self._client = await self
        return self._client

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()


def connect(  # noqa: PLR0913 - the front door; all but the first are keywords
    base_url: str = "",
    *,
    user_id: str | None = None,
    token: str | None = None,
    collections: Iterable[Collection] = (),
    interval: float = 30.0,
    background: bool = True,
    guest: bool = False,
    protocol: ProtocolName = "sync",
    update_method: UpdateMethod = "PATCH",
    on_conflict: Callable[[Conflict], object] | None = None,
    storage: StorageChoice | None = None,
    bridge_url: str | None = None,
    backend: Backend | None = None,
) -> Connecting:
    """Open the local data of the last signed-in user and sync it with the server at ``base_url``.

    Use it as ``async with connect(…) as client`` or ``client = await connect(…)``. Makes no
    request of its own and works offline.

    Args:
        base_url: scheme, host and port of the server; empty for the page's own.
        user_id: whose data to open; the last signed-in user's unless given.
        token: a bearer token for that user, where the platform keeps no cookies.
        collections: the app's own, beside the built-in ones.
        interval: seconds between two syncs in the background.
        background: whether to sync by itself; else only ``sync()`` does.
        guest: whether to keep data for nobody in particular while nobody is signed in, under the
            user id ``GUEST``. It never leaves the device before somebody signs in; then it is
            theirs, and what their account has that is newer wins.
        protocol: ``"sync"`` for this package's server; ``"rest"`` for any other one, to which each
            operation is sent as a request of its own.
        update_method: what updates are sent with over REST, ``"PATCH"`` or ``"PUT"``.
        on_conflict: called with each local write that lost against a later one, as it is found;
            ``client.conflicts()`` gives the same to iterate over.
        storage: ``"memory"`` to keep nothing beyond this page or process. On CPython a folder, as
            a ``Path`` or as text with a slash in it; each server has its own folder inside. By
            default ``window.localStorage`` in a page, the user-data folder on CPython.
        bridge_url: where the page's origin serves ``bridge.js``, unless the page loaded it.
        backend: storage, transport and environment of your own, instead of the platform's.

    Raises:
        InvalidDataError: a bad ``base_url``, ``user_id``, ``interval``, protocol or collection.
        StorageUnavailableError: local storage cannot be used here.
        PlatformError: this platform is not supported, or lacks something.
    """
    declared = tuple(collections)

    @cache
    def registry() -> Registry:
        # Imported on use: until somebody signs in, nobody asks for it.
        from atiha_web.collections import BUILT_IN, Registry  # noqa: PLC0415

        return Registry([*BUILT_IN, *declared])

    async def opened(choose: ChooseBackend) -> Client:
        _check(base_url, user_id, interval)
        if declared:
            registry()  # What is wrong with them is said now.
        used = backend or await choose(
            storage=storage, base_url=base_url, bridge_url=bridge_url, mirror=MIRRORED
        )
        server = base_url.rstrip("/")
        session = Session(
            used,
            registry,
            server,
            interval=interval,
            token=token,
            background=background,
            guest=guest,
            protocol=Protocol(protocol, update_method),
        )
        session.on_conflict = on_conflict
        client = Client(used, registry, server, session)
        await session.open(user_id)
        return client

    return Connecting(opened)


def _check(base_url: str, user_id: str | None, interval: float) -> None:
    if base_url and not base_url.startswith(("http://", "https://")):
        raise InvalidDataError(f"{base_url!r} is no server: http://… or https://… is expected")
    if user_id is not None and not is_user_id(user_id):
        raise InvalidDataError(f"{user_id!r} is no user id: 1 to 64 of letters, digits, _ and -")
    if not interval > 0:
        raise InvalidDataError(f"an interval is a number of seconds above 0, not {interval!r}")
