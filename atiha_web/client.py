"""The client that ``connect`` gives: reading, following and writing one user's data."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from atiha_web.backends.base import Backend
from atiha_web.errors import (
    ClosedError,
    NotSignedInError,
)
from atiha_web.session import Session
from atiha_web.sync.names import GUEST
from atiha_web.sync.status import Status, SyncReport

# What not everybody uses is imported on use: it would make up most of a start.
if TYPE_CHECKING:
    from types import TracebackType

    from pydantic import BaseModel

    from atiha_web.collections import Registry
    from atiha_web.progress import OnProgress
    from atiha_web.services.user_database import UserDatabase
    from atiha_web.services.user_profile import UserProfileService
    from atiha_web.sync.engine import Write
    from atiha_web.sync.reconciler import Conflict
    from atiha_web.sync.replica import Quarantined
    from atiha_web.sync.service import SyncService
    from atiha_web.sync.synchronizer import Synchronizer


class CollectionReader(Mapping[str, "BaseModel"]):
    """One collection of the signed-in user, or the guest, by key, newest first.

    Raises:
        NotSignedInError: nobody is signed in at the time of reading.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def __getitem__(self, key: str) -> BaseModel:
        entry = self._client.opened.engine.entry(self._name, key)
        if entry is None:
            raise KeyError(key)
        return entry

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._client.opened.engine.view(self._name)))

    def __len__(self) -> int:
        return len(self._client.opened.engine.view(self._name))


class Client:
    """One user's data on this device, kept the same as the server's. Made by ``connect``."""

    def __init__(
        self,
        backend: Backend,
        registry: Callable[[], Registry],
        base_url: str,
        session: Session,
    ) -> None:
        self._registry = registry
        self._base_url = base_url
        self._backend = backend
        self._session = session
        self._closed = False

    @property
    def registry(self) -> Registry:
        """The declared collections."""
        return self._registry()

    @cached_property
    def service(self) -> SyncService:
        """Values, operations and periodic syncs by cache key, as in the seed."""
        from atiha_web.sync.service import SyncService  # noqa: PLC0415 - see above

        session = self._session
        return SyncService(
            self._backend,
            self.registry,
            self._base_url,
            headers=session.headers,
            current=lambda: session.signed_in,
        )

    @cached_property
    def profiles(self) -> UserProfileService:
        """History, watchlist, favorites and ratings of the signed-in user."""
        from atiha_web.services.user_profile import UserProfileService  # noqa: PLC0415 - see above

        return UserProfileService(lambda: self._session.current)

    @cached_property
    def users(self) -> UserDatabase:
        """Accounts: register, log in, log out, change, delete."""
        from atiha_web.services.account_cache import AccountCache  # noqa: PLC0415 - see above
        from atiha_web.services.user_database import UserDatabase  # noqa: PLC0415 - see above

        session = self._session
        return UserDatabase(
            session.api,
            sign_in=session.sign_in,
            sign_out=session.sign_out,
            pending=session.drain,
            current=lambda: session.signed_in,
            cache=AccountCache(self._backend.storage),
        )

    # -- how it looks ----------------------------------------------------------------------

    def __repr__(self) -> str:
        status = self.status
        return (
            f"<Client of {status.user_id or 'nobody'}: {status.state}, {status.pending} pending, "
            f"{status.quarantined} quarantined>"
        )

    def _repr_html_(self) -> str:
        return self.status._repr_html_()

    def _ipython_display_(self) -> None:
        """What notebooks show: it changes with the client."""
        from atiha_web.display import show  # noqa: PLC0415 - nobody else needs it

        show(self)

    # -- reading ---------------------------------------------------------------------------

    @property
    def user_id(self) -> str | None:
        """Who is signed in on this device; ``None`` for nobody."""
        return None if self._session.signed_in is None else self._session.signed_in.user_id

    @property
    def guest_id(self) -> str | None:
        """``GUEST`` while nobody is signed in and the app keeps a guest's data, else ``None``."""
        current = self._session.current
        return GUEST if current is not None and current.user_id == GUEST else None

    @property
    def status(self) -> Status:
        """How things stand now."""
        return self._session.status()

    @property
    def signed_in(self) -> Synchronizer:
        """The signed-in user's synchronizer.

        Raises:
            NotSignedInError: nobody is signed in.
            ClosedError: the client was closed.
        """
        return self._found(self._session.signed_in)

    @property
    def opened(self) -> Synchronizer:
        """The signed-in user's synchronizer, or the guest's, which sends nothing.

        Raises:
            NotSignedInError: nobody is signed in, and the app keeps no guest's data.
            ClosedError: the client was closed.
        """
        return self._found(self._session.current)

    def _found(self, synchronizer: Synchronizer | None) -> Synchronizer:
        if self._closed:
            raise ClosedError("this client was closed; open a new one with connect()")
        if synchronizer is None:
            raise NotSignedInError("nobody is signed in: call client.users.login first")
        return synchronizer

    def __getitem__(self, collection: str) -> CollectionReader:
        """A collection of the signed-in user as a Mapping from key to entry.

        Raises:
            UnknownCollectionError: nobody declared it.
        """
        return CollectionReader(self, self.registry[collection].name)

    async def statuses(self) -> AsyncIterator[Status]:
        """The status now, and again whenever it changes."""
        last: Status | None = None
        async for status in self._session.statuses.follow():
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
        async for _ in self._session.statuses.follow():
            current = self._session.current
            seen = (current, -1 if current is None else current.engine.generation(name))
            if seen != last:
                last = seen
                yield {} if current is None else current.engine.entries(name)

    async def conflicts(self) -> AsyncIterator[Conflict]:
        """Each local write of the signed-in user that lost against a later one, as it is found.

        Raises:
            NotSignedInError: nobody is signed in.
        """
        async for conflict in self.signed_in.engine.reconciler.conflicts.follow():
            yield conflict

    # -- writing and syncing ---------------------------------------------------------------

    async def put(self, collection: str, key: str, data: Mapping[str, Any]) -> Write:
        """State one record of any declared collection anew; durable locally on return.

        Raises:
            InvalidDataError: bad data; nothing was changed.
            StorageFullError: no room; nothing was changed.
            NotSignedInError: nobody is signed in.
        """
        return await self.opened.write(collection, key, dict(data))

    async def delete(self, collection: str, key: str) -> Write:
        """Delete one record of any declared collection; same errors as ``put``."""
        return await self.opened.write(collection, key, None)

    async def sync(self, progress: bool | OnProgress = False) -> SyncReport:
        """Run one cycle now and return what happened; what failed is in the report.

        Args:
            progress: is told of every step, for who has a long queue; ``True`` draws a bar, that of
                tqdm where it is installed.

        Raises:
            NotSignedInError: nobody is signed in.
        """
        if progress is False:
            return await self.signed_in.sync()
        from atiha_web.progress import followed, shown_bar  # noqa: PLC0415 - see above

        with shown_bar() if progress is True else nullcontext(progress) as tell:
            return await followed(self.signed_in, tell)

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
        from atiha_web.sync.export import exported  # noqa: PLC0415 - see above

        local = self.opened.engine.local
        return {**exported(local.memory, local.user_id), "problems": list(local.problems)}

    async def stored(self, prefix: str = "atiha") -> dict[str, str]:
        """The entries of local storage whose keys begin with ``prefix``, as they stand there.

        For looking at: how the engine's own (``atiha:…``) are written may change.

        Raises:
            StorageUnavailableError: storage cannot be used.
        """
        storage = self._backend.storage
        keys = await storage.keys(prefix)
        texts = await storage.read(keys)
        # Another tab may have removed one in between.
        return {key: text for key, text in zip(keys, texts, strict=True) if text is not None}

    def inspect(self) -> dict[str, Any]:
        """How things stand in every detail, as JSON, for a report of a problem.

        Beside the ``status``: ``lag`` (for how many seconds the longest-waiting operation waits),
        ``lastAcknowledged``, ``base`` (epoch, cursor, number of rows), ``live`` (records by
        collection), ``pending`` and ``quarantine`` without what they state, and the last 200
        ``events``. It names collections and keys, and never what a record says.

        Raises:
            NotSignedInError: nobody is signed in.
        """
        return self.opened.inspect()

    async def close(self) -> None:
        """Stop syncing and release everything; what is pending stays stored. Idempotent."""
        if self._closed:
            return
        if "service" in vars(self):
            await self.service.close()
        await self._session.close()
        self._closed = True
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
