"""The engine of one signed-in user: reads, writes, and what became of them. No network here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from atiha_web.backends.base import Backend, Level
from atiha_web.collections import Registry
from atiha_web.errors import ClosedError, InvalidDataError, OperationRejectedError, SaveError
from atiha_web.sync.local_replica import LocalReplica
from atiha_web.sync.merge import State
from atiha_web.sync.names import GUEST
from atiha_web.sync.operation import Call, Operation, OperationType
from atiha_web.sync.reconciler import Reconciler
from atiha_web.sync.replica import Quarantined
from atiha_web.sync.resolution import MERGED, Resolution
from atiha_web.sync.statements import state_call, state_record
from atiha_web.sync.tabs import TabFollower


@dataclass(frozen=True)
class Write:
    """A write that was accepted: it is in local storage and will reach the server.

    ``operation`` is ``None`` where nothing had to change.
    """

    operation: Operation | None
    _read: Callable[[], BaseModel | None]
    _engine: Engine

    @cached_property
    def record(self) -> BaseModel | None:
        """The entry as it read after this write, ``None`` after a removal.

        Made when first asked for: most writes are of no further interest to who made them.
        """
        return self._read()

    async def saved(self, level: Level = "server") -> None:
        """Return once the write survives what ``level`` names: ``local``, ``disk``, ``server``.

        Raises:
            SaveError: this platform cannot promise that level.
            OperationRejectedError: the server refused the write; it is in quarantine.
            ClosedError: the client was closed first, and the write is kept and sent later; or
                it was discarded in another tab, by who signed out.
        """
        if self.operation is not None:
            await self._engine.wait_saved(self.operation, level)


class Engine:
    """One user's records on this device."""

    def __init__(
        self,
        backend: Backend,
        registry: Registry,
        user_id: str,
        resolution: Resolution = MERGED,
    ) -> None:
        self.local = LocalReplica(backend, registry, user_id, resolution)
        self.reconciler = Reconciler(self.local)
        self._tabs: TabFollower | None = None
        self._numbers = 0

    async def open(self) -> None:
        """Read what storage holds and begin to follow other tabs. Makes no request."""
        self._tabs = TabFollower(self.local)
        try:
            await self.local.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop following; everything pending stays in storage. Idempotent."""
        self.local.close()
        self.reconciler.conflicts.close()
        if self._tabs is not None:
            await self._tabs.stop()
        await self.local.release()

    # -- reading ---------------------------------------------------------------------------

    def view(self, collection: str) -> Mapping[str, State]:
        """The live records of a collection by key, newest first.

        Raises:
            UnknownCollectionError: nobody declared it.
        """
        return self.local.memory.views[self.local.registry[collection].name]

    def entry(self, collection: str, key: str) -> BaseModel | None:
        """One live record as an instance of its model, ``None`` where there is none.

        Raises:
            InvalidDataError: what is stored does not fit the model.
        """
        state = self.view(collection).get(key)
        if state is None:
            return None
        return self.local.registry[collection].entry(self.local.user_id, key, state)

    def entries(self, collection: str, limit: int | None = None) -> dict[str, BaseModel]:
        """The newest live records by key; unreadable ones are left out and named as problems."""
        found: dict[str, BaseModel] = {}
        for key in self.view(collection):
            if limit is not None and len(found) >= limit:
                break
            try:
                entry = self.entry(collection, key)
            except InvalidDataError as error:
                self.local.note_problem(str(error))
                continue
            if entry is not None:
                found[key] = entry
        return found

    def generation(self, collection: str) -> int:
        """A number that grows whenever the collection's view changes."""
        return self.local.memory.views[collection].generation

    # -- writing ---------------------------------------------------------------------------

    async def write(
        self,
        collection: str,
        key: str,
        data: Mapping[str, Any] | None,
        kind: OperationType | None = None,
    ) -> Write:
        """State a record anew, or delete it (``None``); durable locally on return.

        ``kind`` is how a REST server is told; with ``update`` the members that ``data`` leaves
        out stay as they are.

        Raises:
            InvalidDataError: bad data; nothing was changed.
            StorageFullError: no room, even without cached data; nothing was changed.
            ClosedError: the client was closed.
        """
        local = self.local
        declared = local.registry[collection]
        if declared.single and key != local.user_id:
            raise InvalidDataError(f"the key of {collection} is the user's own id")
        memory, tick = local.memory, local.clock.tick
        operation = await local.accept(
            lambda: state_record(declared, memory, self._next_id(), key, data, tick=tick, kind=kind)
        )
        return self.done(operation, collection, key)

    async def queue(self, call: Call, data: Mapping[str, Any]) -> Write:
        """Put a call of an endpoint without a declared collection into the journal.

        Raises:
            InvalidDataError: bad data; nothing was changed.
            StorageFullError: no room, even without cached data; nothing was changed.
            ClosedError: the client was closed.
        """
        memory, tick = self.local.memory, self.local.clock.tick
        operation = await self.local.accept(
            lambda: state_call(memory, self._next_id(), call, data, tick=tick)
        )
        return Write(operation, lambda: None, self)

    def done(self, operation: Operation | None, collection: str, key: str) -> Write:
        """The result of a write to a record, which is as it should be now."""
        state = self.view(collection).get(key)
        if state is None:
            return Write(operation, lambda: None, self)
        declared, user_id = self.local.registry[collection], self.local.user_id
        return Write(operation, lambda: declared.entry(user_id, key, state), self)

    def _next_id(self) -> str:
        self._numbers += 1
        return f"{self.local.clock.writer}-{self._numbers}"

    async def wait_saved(self, operation: Operation, level: Level) -> None:
        """See ``Write.saved``."""
        local = self.local
        if level != "server":
            await local.backend.storage.flush(level)
            return
        if local.user_id == GUEST:
            raise SaveError("nobody is signed in: the server gets it after the next sign-in")
        async for _ in local.changes.follow():
            name = local.successor(operation.id)
            refused = local.memory.quarantine.get(name)
            if refused is not None:
                raise OperationRejectedError(refused.message, refused.code)
            if name not in local.memory.pending:
                if name in local.given_up:
                    raise ClosedError("the write was discarded in another tab, by who signed out")
                return
        raise ClosedError("the client was closed before the server had the write; it is kept")

    # -- quarantine ------------------------------------------------------------------------

    @property
    def quarantined(self) -> list[Quarantined]:
        """The refused operations, oldest first."""
        entries = self.local.memory.quarantine.values()
        return sorted(entries, key=lambda item: item.operation.timestamp)

    async def retry_quarantined(
        self, operation_id: str, data: Mapping[str, Any] | None = None
    ) -> Write:
        """State anew what a refused operation stated, with other ``data`` where given.

        Raises:
            KeyError: it is not in quarantine.
            InvalidDataError: the data is bad; nothing was changed.
        """
        stored = self.local.memory.quarantine[operation_id].operation
        refused = self.local.registry.operation(stored)
        stated, call = refused.data if data is None else data, refused.call
        if call is not None and call.endpoint:
            write = await self.queue(call, stated or {})
        else:
            if stated is not None and data is None and call is not None and call.fields is not None:
                stated = {name: stated[name] for name in call.fields if name in stated}
            kind = None if call is None else call.type
            write = await self.write(refused.collection, refused.key, stated, kind)
        await self.drop_quarantined([operation_id])
        return write

    async def drop_quarantined(self, operation_ids: Iterable[str]) -> None:
        """Forget refused operations for good; only a person decides this."""
        names = list(operation_ids)
        async with self.local.mutex:
            await self.local.store.drop_quarantined(names)
            for name in names:
                self.local.memory.quarantine.pop(name, None)
            self.local.forget(names)
            self.local.storage_full = False
        self.local.changes.notify()
