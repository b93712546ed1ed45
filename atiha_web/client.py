"""The front door: ``connect`` and the ``Client`` it gives."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel

from atiha_web.backends.auto import StorageChoice, choose_backend
from atiha_web.backends.base import Backend, StorageChange
from atiha_web.collections import BUILT_IN, Collection, Registry
from atiha_web.errors import (
    ClosedError,
    InvalidDataError,
    NotSignedInError,
    ProblemError,
    SaveError,
    TransportError,
)
from atiha_web.services.account_cache import AccountCache
from atiha_web.services.user_database import AccountApi, Pending, UserDatabase
from atiha_web.services.user_profile import UserProfileService
from atiha_web.sync.calls import UpdateMethod
from atiha_web.sync.engine import Write
from atiha_web.sync.export import exported
from atiha_web.sync.hub import Hub
from atiha_web.sync.journal import SESSION_KEY
from atiha_web.sync.operation import dump_json, is_user_id
from atiha_web.sync.persistence import Persistence
from atiha_web.sync.protocols import Protocol, ProtocolName
from atiha_web.sync.reconciler import Conflict
from atiha_web.sync.recovery import MIRRORED
from atiha_web.sync.replica import Quarantined
from atiha_web.sync.service import SyncService
from atiha_web.sync.status import Status, SyncReport
from atiha_web.sync.synchronizer import Synchronizer

logger = logging.getLogger("atiha_web")

_UNFINISHED_SIGN_OUT = "atiha:sign-out"


class CollectionReader(Mapping[str, BaseModel]):
    """One collection of the signed-in user as a Mapping from key to entry, newest first.

    Raises:
        NotSignedInError: nobody is signed in at the time of reading.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def __getitem__(self, key: str) -> BaseModel:
        entry = self._client.signed_in.engine.entry(self._name, key)
        if entry is None:
            raise KeyError(key)
        return entry

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._client.signed_in.engine.view(self._name)))

    def __len__(self) -> int:
        return len(self._client.signed_in.engine.view(self._name))


class Client:
    """One user's data on this device, kept the same as the server's. Made by ``connect``."""

    def __init__(
        self,
        backend: Backend,
        registry: Registry,
        base_url: str,
        *,
        interval: float,
        token: str | None,
        background: bool,
        protocol: Protocol,
    ) -> None:
        self.registry = registry
        self._backend = backend
        self._base_url = base_url
        self._interval = interval
        self._token = token
        self._background = background
        self._protocol = protocol
        self._current: Synchronizer | None = None
        self._relay: asyncio.Task[None] | None = None
        self._statuses: Hub[Status] = Hub(lambda: self.status)
        self._switching = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._api = AccountApi(
            backend.transport, base_url, self._headers, ours=protocol.name == "sync"
        )
        self._unsubscribe = backend.storage.subscribe(self._on_storage)
        self._unlisten = backend.environment.subscribe(self._on_signal)
        self._persistence = Persistence(backend)
        self._closed = False
        self.service = SyncService(
            backend, registry, base_url, headers=self._headers, current=lambda: self._current
        )
        """Values, operations and periodic syncs by cache key, as in the seed."""
        self.profiles = UserProfileService(lambda: self._current)
        """History, watchlist, favorites and ratings of the signed-in user."""
        self.users = UserDatabase(
            self._api,
            sign_in=self._sign_in,
            sign_out=self._sign_out,
            pending=self._drain,
            current=lambda: self._current,
            cache=AccountCache(backend.storage),
        )
        """Accounts: register, log in, log out, change, delete."""

    # -- reading ---------------------------------------------------------------------------

    @property
    def user_id(self) -> str | None:
        """Who is signed in on this device; ``None`` for nobody."""
        return None if self._current is None else self._current.user_id

    @property
    def status(self) -> Status:
        """How things stand now."""
        persisted = self._persistence.granted
        if self._current is None:
            return Status(online=self._backend.environment.online(), persisted=persisted)
        return replace(self._current.status(), persisted=persisted)

    @property
    def signed_in(self) -> Synchronizer:
        """The signed-in user's synchronizer.

        Raises:
            NotSignedInError: nobody is signed in.
            ClosedError: the client was closed.
        """
        if self._closed:
            raise ClosedError("this client was closed; open a new one with connect()")
        if self._current is None:
            raise NotSignedInError("nobody is signed in: call client.users.login first")
        return self._current

    def __getitem__(self, collection: str) -> CollectionReader:
        """A collection of the signed-in user as a Mapping from key to entry.

        Raises:
            UnknownCollectionError: nobody declared it.
        """
        return CollectionReader(self, self.registry[collection].name)

    async def statuses(self) -> AsyncIterator[Status]:
        """The status now, and again whenever it changes."""
        last: Status | None = None
        async for status in self._statuses.follow():
            if status != last:
                last = status
                yield status

    async def watch(self, collection: str) -> AsyncIterator[Mapping[str, BaseModel]]:
        """A snapshot of a collection now, and again whenever it changes, here or elsewhere.

        Empty while nobody is signed in.

        Raises:
            UnknownCollectionError: nobody declared it.
        """
        name = self.registry[collection].name
        last: tuple[object, int] | None = None
        async for _ in self._statuses.follow():
            current = self._current
            seen = (current, -1 if current is None else current.engine.generation(name))
            if seen != last:
                last = seen
                yield {} if current is None else current.engine.entries(name)

    async def conflicts(self) -> AsyncIterator[Conflict]:
        """Each local write of the signed-in user that lost against a later one, as it is found.

        Raises:
            NotSignedInError: nobody is signed in.
        """
        told = 0
        async for found in self.signed_in.engine.reconciler.conflicts.follow():
            for conflict in found[told:]:
                yield conflict
            told = len(found)

    # -- writing and syncing ---------------------------------------------------------------

    async def put(self, collection: str, key: str, data: Mapping[str, Any]) -> Write:
        """State one record of any declared collection anew; durable locally on return.

        Raises:
            InvalidDataError: bad data; nothing was changed.
            StorageFullError: no room; nothing was changed.
            NotSignedInError: nobody is signed in.
        """
        return await self.signed_in.write(collection, key, dict(data))

    async def delete(self, collection: str, key: str) -> Write:
        """Delete one record of any declared collection; same errors as ``put``."""
        return await self.signed_in.write(collection, key, None)

    async def sync(self) -> SyncReport:
        """Run one cycle now and return what happened; what failed is in the report.

        Raises:
            NotSignedInError: nobody is signed in.
        """
        return await self.signed_in.sync()

    @property
    def quarantined(self) -> list[Quarantined]:
        """What the server refused for good, oldest first, each with the reason in words.

        Raises:
            NotSignedInError: nobody is signed in.
        """
        return self.signed_in.engine.quarantined

    async def retry_quarantined(
        self, operation_id: str, data: Mapping[str, Any] | None = None
    ) -> Write:
        """Send a refused operation again, with other ``data`` where given.

        Raises:
            KeyError: it is not in quarantine.
            InvalidDataError: the data is bad; nothing was changed.
        """
        return await self.signed_in.retry_quarantined(operation_id, data)

    async def drop_quarantined(self, operation_ids: Iterable[str]) -> None:
        """Give refused operations up for good; only a person decides this."""
        await self.signed_in.engine.drop_quarantined(operation_ids)

    def export(self) -> dict[str, Any]:
        """All this device knows of the signed-in user, as JSON: also what never left it.

        ``collections`` holds each collection's rows by name, newest first, ``pending`` and
        ``quarantine`` the operations not on the server, ``problems`` what could not be read.

        Raises:
            NotSignedInError: nobody is signed in.
        """
        local = self.signed_in.engine.local
        return {**exported(local.memory, local.user_id), "problems": list(local.problems)}

    async def close(self) -> None:
        """Stop syncing and release everything; what is pending stays stored. Idempotent."""
        if self._closed:
            return
        self._unsubscribe()
        self._unlisten()
        for task in self._tasks:
            task.cancel()
        await self.service.close()
        async with self._switching:
            await self._stop()
        self._closed = True
        self._statuses.close()
        await self._backend.transport.close()
        self._backend.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # -- who is signed in ------------------------------------------------------------------

    async def open(self, user_id: str | None) -> None:
        """Open the data of ``user_id``, or of the last signed-in user. Makes no request."""
        async with self._switching:
            await self._switch(user_id or await self._stored_user())
        if self._current is None and self._background:
            self._spawn(self._finish_sign_out())

    async def _sign_in(self, user_id: str, token: str | None) -> None:
        async with self._switching:
            previous = await self._stop()
            if previous is not None and previous.user_id != user_id:
                await previous.engine.local.remove_views()
            self._token = token
            await self._backend.storage.write(
                {SESSION_KEY: dump_json({"userId": user_id}), _UNFINISHED_SIGN_OUT: None}
            )
            await self._switch(user_id)

    async def _sign_out(self, pending: Pending) -> None:
        async with self._switching:
            await self._backend.storage.write({SESSION_KEY: None, _UNFINISHED_SIGN_OUT: "1"})
            current = await self._stop()
            if current is not None:
                await current.engine.local.remove_views()
                if pending == "discard":
                    await current.engine.local.erase()
            with suppress(SaveError):
                await self._backend.storage.flush("disk")
            await self._end_session()
            self._token = None

    async def _end_session(self) -> None:
        """End the session on the server; where that fails it is tried again once online."""
        try:
            await self._api.call("DELETE", "/api/sessions/current")
        except TransportError as error:
            # Where the server knows of no session, there is none to end.
            if not isinstance(error, ProblemError) or error.status != 401:
                logger.warning("signed out here; the server will be told later: %s", error)
                return
        await self._backend.storage.write({_UNFINISHED_SIGN_OUT: None})

    async def _drain(self) -> int:
        if self._current is None:
            return 0
        if self._current.status().pending:
            await self._current.sync()
        return self._current.status().pending

    async def _switch(self, user_id: str | None) -> None:
        if user_id is not None:
            synchronizer = Synchronizer(
                self._backend,
                self.registry,
                user_id,
                base_url=self._base_url,
                headers=self._headers,
                interval=self._interval,
                protocol=self._protocol,
            )
            [session] = await self._backend.storage.read([SESSION_KEY])
            if _session_user(session) == user_id:
                synchronizer.engine.local.session = session
            await synchronizer.start(background=self._background)
            self._current = synchronizer
            self._spawn(self._settle_persistence())
            self._relay = asyncio.create_task(self._relay_changes(synchronizer))
        self._statuses.notify()

    async def _settle_persistence(self) -> None:
        await self._persistence.settle()
        self._statuses.notify()

    async def _stop(self) -> Synchronizer | None:
        """Returns what was stopped."""
        current, self._current = self._current, None
        if current is not None:
            await current.stop()
        if self._relay is not None:
            self._relay.cancel()
            self._relay = None
        self._statuses.notify()
        return current

    async def _relay_changes(self, synchronizer: Synchronizer) -> None:
        async for _ in synchronizer.engine.local.changes.follow():
            self._statuses.notify()

    async def _stored_user(self) -> str | None:
        [text] = await self._backend.storage.read([SESSION_KEY])
        return _session_user(text)

    def _on_storage(self, change: StorageChange) -> None:
        if change.key == SESSION_KEY:
            self._spawn(self._follow_session(_session_user(change.value)))

    async def _follow_session(self, user_id: str | None) -> None:
        """Another tab signed somebody in or out."""
        async with self._switching:
            if user_id != self.user_id:
                await self._stop()
                self._token = None
                await self._switch(user_id)

    def _on_signal(self, name: str) -> None:
        self._statuses.notify()
        if name == "online" and self._current is None:
            self._spawn(self._finish_sign_out())

    async def _finish_sign_out(self) -> None:
        async with self._switching:
            [unfinished] = await self._backend.storage.read([_UNFINISHED_SIGN_OUT])
            if unfinished is not None and self._current is None:
                await self._end_session()

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _headers(self) -> dict[str, str]:
        return {} if self._token is None else {"authorization": f"Bearer {self._token}"}


class _Connecting:
    """What ``connect`` returns: await it, or use it in ``async with``."""

    def __init__(self, work: Any) -> None:
        self._work = work
        self._client: Client | None = None

    def __await__(self) -> Generator[Any, None, Client]:
        return self._work.__await__()  # type: ignore[no-any-return]

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
    protocol: ProtocolName = "sync",
    update_method: UpdateMethod = "PATCH",
    storage: StorageChoice | None = None,
    bridge_url: str | None = None,
    backend: Backend | None = None,
) -> _Connecting:
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
        protocol: ``"sync"`` for this package's server; ``"rest"`` for any other one, to which each
            operation is sent as a request of its own.
        update_method: what updates are sent with over REST, ``"PATCH"`` or ``"PUT"``.
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

    async def chosen() -> Client:
        _check(base_url, user_id, interval)
        client = Client(
            backend
            or await choose_backend(
                storage=storage, base_url=base_url, bridge_url=bridge_url, mirror=MIRRORED
            ),
            Registry([*BUILT_IN, *collections]),
            base_url.rstrip("/"),
            interval=interval,
            token=token,
            background=background,
            protocol=Protocol(protocol, update_method),
        )
        await client.open(user_id)
        return client

    return _Connecting(chosen())


def _check(base_url: str, user_id: str | None, interval: float) -> None:
    if base_url and not base_url.startswith(("http://", "https://")):
        raise InvalidDataError(f"{base_url!r} is no server: http://… or https://… is expected")
    if user_id is not None and not is_user_id(user_id):
        raise InvalidDataError(f"{user_id!r} is no user id: 1 to 64 of letters, digits, _ and -")
    if not interval > 0:
        raise InvalidDataError(f"an interval is a number of seconds above 0, not {interval!r}")


def _session_user(text: str | None) -> str | None:
    try:
        user_id = json.loads(text or "null")["userId"]
    except (ValueError, TypeError, KeyError):
        return None
    return user_id if is_user_id(user_id) else None
