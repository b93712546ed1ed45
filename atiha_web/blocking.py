"""The same client without ``await``, for scripts and callbacks: ``blocking.connect(…)``.

Every method here runs the asynchronous one of the same name to its end; background work goes on
between calls. How long a call may block:

- Reading and writing: as long as local storage takes. Nothing waits for the network, except the
  very first read of a collection on a device.
- ``sync``, ``users`` and the like: as long as the server takes to answer, at most 10 s for each
  try and 3 tries for each request. On a page (not in a worker) browsers allow no timeout for
  requests that block, and the page stands still meanwhile.
- ``Write.saved("server")``: until the server has the write, unless given a timeout.

On CPython a thread runs an event loop; any thread may call, inside a running loop too. On a page
calls run to their end by hand, without waiting for anything the browser would have to do meanwhile.
In a worker the browser must let Python wait (JSPI); where it does not, ``connect`` says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping
from functools import cached_property, wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast

from pydantic import BaseModel

from atiha_web import client as asynchronous
from atiha_web import connecting
from atiha_web.backends.auto import choose_runner
from atiha_web.backends.base import Level
from atiha_web.backends.runners import Runner
from atiha_web.collections import Registry
from atiha_web.errors import SaveError
from atiha_web.services.user_database import UserDatabase as AsyncUserDatabase
from atiha_web.services.user_profile import UserProfileService as AsyncUserProfileService
from atiha_web.sync import engine
from atiha_web.sync.operation import Operation
from atiha_web.sync.replica import Quarantined
from atiha_web.sync.service import SyncService as AsyncSyncService
from atiha_web.sync.status import Status

__all__ = [
    "Client",
    "CollectionReader",
    "SyncService",
    "UserDatabase",
    "UserProfileService",
    "Write",
    "connect",
]

P = ParamSpec("P")
R = TypeVar("R")
Inner = TypeVar("Inner")

_END = object()


class _Blocking(Generic[Inner]):
    """What its methods run, and what runs them; ``client`` is the one it belongs to."""

    def __init__(self, inner: Inner, runner: Runner, client: asynchronous.Client) -> None:
        self._inner = inner
        self._runner = runner
        self._client = client

    def _read(self, read: Callable[[], R]) -> R:
        async def reading() -> R:
            return read()

        return self._runner.run(reading())


def _runs(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Any, P], R]:
    """A method that runs an asynchronous one to its end."""

    @wraps(method)
    def call(self: _Blocking[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._runner.run(method(self._inner, *args, **kwargs))

    return call


def _writes(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, engine.Write]],
) -> Callable[Concatenate[Any, P], Write]:
    """As ``_runs``, of a method that writes."""

    @wraps(method)
    def call(self: _Blocking[Any], /, *args: P.args, **kwargs: P.kwargs) -> Write:
        write = self._runner.run(method(self._inner, *args, **kwargs))
        return Write(write, self._runner, self._client)

    return call


def _may_write(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, engine.Write | None]],
) -> Callable[Concatenate[Any, P], Write | None]:
    """As ``_writes``, of a method that may have nothing to write."""

    @wraps(method)
    def call(self: _Blocking[Any], /, *args: P.args, **kwargs: P.kwargs) -> Write | None:
        write = self._runner.run(method(self._inner, *args, **kwargs))
        return None if write is None else Write(write, self._runner, self._client)

    return call


def _is_read(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """A method that answers at once, run where nothing else changes the data meanwhile."""

    @wraps(method)
    def call(self: _Blocking[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._read(lambda: method(self._inner, *args, **kwargs))

    return call


def _follows(
    method: Callable[Concatenate[Any, P], AsyncIterator[R]],
) -> Callable[Concatenate[Any, P], Iterator[R]]:
    """An iterator whose every step blocks until there is news."""

    @wraps(method)
    def call(self: _Blocking[Any], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        source = cast("AsyncGenerator[R, None]", method(self._inner, *args, **kwargs))
        try:
            while (news := self._runner.run(_next(source))) is not _END:
                yield cast("R", news)
        finally:
            self._runner.run(source.aclose())

    return call


async def _next(source: AsyncGenerator[R, None]) -> R | object:
    return await anext(source, _END)


class Write(_Blocking[engine.Write]):
    """A write that was accepted: it is in local storage and will reach the server."""

    @property
    def operation(self) -> Operation | None:
        """What is sent; ``None`` where nothing had to change."""
        return self._inner.operation

    @property
    def record(self) -> BaseModel | None:
        """The entry as it read after this write, ``None`` after a removal."""
        return self._inner.record

    def saved(self, level: Level = "server", *, timeout: float | None = None) -> None:
        """Return once the write survives what ``level`` names: ``local``, ``disk``, ``server``.

        Where no call can wait, ``server`` syncs instead of waiting for the background to do so.

        Args:
            level: what it shall survive.
            timeout: how long to wait, in seconds; for ever unless given.

        Raises:
            SaveError: this platform cannot promise that level, or it took longer; the write is
                kept and sent later.
            OperationRejectedError: the server refused the write; it is in quarantine.
            ClosedError: the client was closed first; the write is kept and sent later.
            PlatformError: it did not reach that level, and this call cannot wait for it here.
        """
        self._runner.run(self._saved(level, timeout))

    async def _saved(self, level: Level, timeout: float | None) -> None:  # noqa: ASYNC109 - as above
        if level == "server" and not self._runner.can_wait() and self._client.status.pending:
            await self._client.sync()
        try:
            async with asyncio.timeout(timeout):
                await self._inner.saved(level)
        except TimeoutError as error:
            raise SaveError(
                f"not {level!r} within {timeout:g} s; the write is kept and sent later"
            ) from error


class UserProfileService(_Blocking[AsyncUserProfileService]):
    """The asynchronous ``UserProfileService``, each call run to its end."""

    add_to_watch_history = _writes(AsyncUserProfileService.add_to_watch_history)
    get_watch_history = _runs(AsyncUserProfileService.get_watch_history)
    remove_from_watch_history = _writes(AsyncUserProfileService.remove_from_watch_history)
    add_to_watchlist = _writes(AsyncUserProfileService.add_to_watchlist)
    remove_from_watchlist = _writes(AsyncUserProfileService.remove_from_watchlist)
    get_watchlist = _runs(AsyncUserProfileService.get_watchlist)
    add_favorite = _writes(AsyncUserProfileService.add_favorite)
    remove_favorite = _writes(AsyncUserProfileService.remove_favorite)
    get_favorites = _runs(AsyncUserProfileService.get_favorites)
    is_favorite = _runs(AsyncUserProfileService.is_favorite)
    add_rating = _writes(AsyncUserProfileService.add_rating)
    remove_rating = _writes(AsyncUserProfileService.remove_rating)
    get_ratings = _runs(AsyncUserProfileService.get_ratings)
    get_user_profile = _runs(AsyncUserProfileService.get_user_profile)
    update_user_profile = _writes(AsyncUserProfileService.update_user_profile)


class UserDatabase(_Blocking[AsyncUserDatabase]):
    """The asynchronous ``UserDatabase``, each call run to its end."""

    register_user = _runs(AsyncUserDatabase.register_user)
    login = _runs(AsyncUserDatabase.login)
    logout = _runs(AsyncUserDatabase.logout)
    get_user = _runs(AsyncUserDatabase.get_user)
    find_user_by_email = _runs(AsyncUserDatabase.find_user_by_email)
    list_users = _runs(AsyncUserDatabase.list_users)
    update_user = _runs(AsyncUserDatabase.update_user)
    change_password = _runs(AsyncUserDatabase.change_password)
    delete_user = _runs(AsyncUserDatabase.delete_user)
    export = _runs(AsyncUserDatabase.export)


class SyncService(_Blocking[AsyncSyncService]):
    """The asynchronous ``SyncService``, each call run to its end."""

    create_operation = _is_read(AsyncSyncService.create_operation)
    add_to_queue = _writes(AsyncSyncService.add_to_queue)
    save = _may_write(AsyncSyncService.save)
    load = _runs(AsyncSyncService.load)
    process_sync_queue = _runs(AsyncSyncService.process_sync_queue)
    start_periodic_sync = _is_read(AsyncSyncService.start_periodic_sync)
    stop_periodic_sync = _is_read(AsyncSyncService.stop_periodic_sync)
    close = _runs(AsyncSyncService.close)


class CollectionReader(Mapping[str, BaseModel]):
    """One collection of the signed-in user, or the guest, by key, newest first.

    Raises:
        NotSignedInError: nobody is signed in at the time of reading.
    """

    def __init__(
        self, inner: asynchronous.CollectionReader, read: Callable[[Callable[[], Any]], Any]
    ) -> None:
        self._inner = inner
        self._read = read

    def __getitem__(self, key: str) -> BaseModel:
        return cast("BaseModel", self._read(lambda: self._inner[key]))

    def __iter__(self) -> Iterator[str]:
        return cast("Iterator[str]", self._read(lambda: iter(list(self._inner))))

    def __len__(self) -> int:
        return cast("int", self._read(lambda: len(self._inner)))


class Client(_Blocking[asynchronous.Client]):
    """One user's data on this device, kept the same as the server's. Made by ``connect``."""

    def __init__(self, inner: asynchronous.Client, runner: Runner) -> None:
        super().__init__(inner, runner, inner)
        self._closed = False

    @property
    def registry(self) -> Registry:
        """The declared collections."""
        return self._inner.registry

    @cached_property
    def service(self) -> SyncService:
        """Values, operations and periodic syncs by cache key, as in the seed."""
        return SyncService(self._inner.service, self._runner, self._inner)

    @cached_property
    def profiles(self) -> UserProfileService:
        """History, watchlist, favorites and ratings of the signed-in user."""
        return UserProfileService(self._inner.profiles, self._runner, self._inner)

    @cached_property
    def users(self) -> UserDatabase:
        """Accounts: register, log in, log out, change, delete."""
        return UserDatabase(self._inner.users, self._runner, self._inner)

    def __repr__(self) -> str:
        return "<Client, closed>" if self._closed else self._read(self._inner.__repr__)

    def _repr_html_(self) -> str:
        return self._read(self._inner._repr_html_)

    @property
    def user_id(self) -> str | None:
        """Who is signed in on this device; ``None`` for nobody."""
        return self._read(lambda: self._inner.user_id)

    @property
    def guest_id(self) -> str | None:
        """``GUEST`` while nobody is signed in and the app keeps a guest's data, else ``None``."""
        return self._read(lambda: self._inner.guest_id)

    @property
    def status(self) -> Status:
        """How things stand now."""
        return self._read(lambda: self._inner.status)

    @property
    def quarantined(self) -> list[Quarantined]:
        """What the server refused for good, oldest first, each with the reason in words.

        Raises:
            NotSignedInError: nobody is signed in.
        """
        return self._read(lambda: self._inner.quarantined)

    def __getitem__(self, collection: str) -> CollectionReader:
        """A collection of the signed-in user as a Mapping from key to entry.

        Raises:
            UnknownCollectionError: nobody declared it.
        """
        return CollectionReader(self._inner[collection], self._read)

    statuses = _follows(asynchronous.Client.statuses)
    watch = _follows(asynchronous.Client.watch)
    conflicts = _follows(asynchronous.Client.conflicts)
    put = _writes(asynchronous.Client.put)
    delete = _writes(asynchronous.Client.delete)
    sync = _runs(asynchronous.Client.sync)
    stored = _runs(asynchronous.Client.stored)
    retry_quarantined = _writes(asynchronous.Client.retry_quarantined)
    drop_quarantined = _runs(asynchronous.Client.drop_quarantined)
    inspect = _is_read(asynchronous.Client.inspect)
    export = _is_read(asynchronous.Client.export)

    def close(self) -> None:
        """Stop syncing and release everything; what is pending stays stored. Idempotent."""
        if not self._closed:
            self._runner.run(self._inner.close())
            self._closed = True
            self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _connects(connect: Callable[P, connecting.Connecting]) -> Callable[P, Client]:
    """A function that opens a blocking client as ``connect`` opens an asynchronous one."""

    @wraps(connect)
    def call(*args: P.args, **kwargs: P.kwargs) -> Client:
        runner = choose_runner()
        try:
            inner = runner.run(connect(*args, **kwargs).on(runner.choose_backend))
        except BaseException:
            runner.close()
            raise
        runner.on_exit = inner.close
        return Client(inner, runner)

    return call


connect = _connects(connecting.connect)
