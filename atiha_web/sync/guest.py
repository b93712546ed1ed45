"""The guest: who uses an app before signing in, and what becomes of their data then.

A guest's operations stand in a journal of their own and are never sent. Whoever signs in next is
the heir: the operations move to their journal under the ids and timestamps they have, so merging
them twice changes nothing, and what the account knows better wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from atiha_web.backends.base import Backend, Request
from atiha_web.collections import Registry
from atiha_web.errors import StorageFullError
from atiha_web.sync import hlc
from atiha_web.sync.base_cycle import LOCK_WAIT, Cycle, CycleFailedError, Link, Tally
from atiha_web.sync.local_store import LocalStore
from atiha_web.sync.names import GUEST, HEIR_KEY, Names, is_user_id
from atiha_web.sync.operation import Operation
from atiha_web.sync.outcomes import Kind, Outcome
from atiha_web.sync.protocols import Protocol
from atiha_web.sync.replica import Base, Replica
from atiha_web.sync.resolution import Resolution

_NOBODY = Outcome(
    Kind.NEEDS_AUTH, "nobody is signed in: changes stay on this device until somebody signs in"
)


class _KeptHere(Cycle):
    """Agrees with the other tabs and makes no request."""

    def parting_request(self) -> Request | None:
        """Nothing leaves this device."""
        return None

    async def _exchange_all(self, tally: Tally) -> None:  # noqa: ARG002 - the base's signature
        raise CycleFailedError(_NOBODY)


@dataclass(frozen=True, slots=True)
class GuestProtocol(Protocol):
    """Takes operations as the server will that they are meant for, and sends none."""

    def cycle(self, link: Link) -> Cycle:
        """One that makes no request."""
        return _KeptHere(link)


class GuestAdoption:
    """Moves the guest's operations to the journal of who signed in. Idempotent.

    Once begun it is finished for the same heir, whoever is signed in by then: the heir is stored
    first, the guest's operations go once all of the heir's are stored.
    """

    def __init__(self, backend: Backend, registry: Registry, resolution: Resolution) -> None:
        self._backend = backend
        self._storage = backend.storage
        self._registry = registry
        self._resolution = resolution
        self._names = Names(GUEST)

    async def run(self, user_id: str | None) -> bool:
        """Finish what was begun, then adopt for ``user_id``; tells whether nothing is left over.

        Where there is no room nothing is lost: the guest's operations stay, and it is tried again
        the next time.
        """
        if not await self._is_needed(user_id):
            return True
        lock = f"{self._names.prefix}adopt"
        async with self._backend.environment.lock(lock, LOCK_WAIT):
            heir = await self._heir() or user_id
            if heir is None:
                return True
            try:
                await self._adopt(heir)
            except StorageFullError:
                return False
        return True

    async def _is_needed(self, user_id: str | None) -> bool:
        if await self._heir() is not None:
            return True
        if user_id is None:
            return False
        shown = any(await self._storage.read(self._views()))
        return shown or bool(await self._storage.keys(self._names.journal))

    async def _heir(self) -> str | None:
        [text] = await self._storage.read([HEIR_KEY])
        return text if is_user_id(text) else None

    async def _adopt(self, heir: str) -> None:
        store = self._store(self._names)
        pending = (await store.open()).pending
        await self._storage.write({HEIR_KEY: heir})
        await self._hand_over(heir, self._live(pending))
        # What they took the place of may still be in a mirror, for another heir to find.
        await store.give_up(each.id for one in pending for each in (one, *one.earlier))
        shown = self._views()
        texts = await self._storage.read(shown)
        views = [key for key, text in zip(shown, texts, strict=True) if text is not None]
        await self._storage.write(dict.fromkeys([*views, HEIR_KEY]))

    async def _hand_over(self, heir: str, operations: Iterable[Operation]) -> None:
        names = Names(heir)
        store = self._store(names)
        known = await self._known(store)
        for operation in operations:
            if not await self._is_there(names, operation.id):
                restated = self._completed(self._restated(operation, heir), known)
                await store.append(restated)
                known.add(restated)

    async def _is_there(self, names: Names, operation_id: str) -> bool:
        """Whether the heir has an operation; it is written once more, where that is so.

        Who began this may have died before a mirror had it, too.
        """
        places = [names.journal + operation_id, names.quarantine + operation_id]
        texts = zip(places, await self._storage.read(places), strict=True)
        held = {place: text for place, text in texts if text is not None}
        if held:
            await self._storage.write(held)
        return bool(held)

    async def _known(self, store: LocalStore) -> Replica:
        """What this device knows of the heir, where operations depend on it."""
        replica = Replica(self._registry, self._resolution)
        if self._resolution.in_order:
            opened = await store.open()
            replica.load(opened.base, opened.pending)
        return replica

    def _completed(self, operation: Operation, known: Replica) -> Operation:
        """As the heir's server can take it: it may replace whole what the guest stated in part."""
        declared = self._registry.get(operation.collection)
        if declared is None or operation.data is None:
            return operation
        state = known.state(operation.record) if self._resolution.in_order else None
        data = self._resolution.complete(declared.policy, operation.data, state)
        return replace(operation, data=data)

    def _live(self, pending: Iterable[Operation]) -> list[Operation]:
        """What makes up the guest's live records, oldest first.

        What the guest took back is no word about what the account has under the same key.
        """
        replica = Replica(self._registry, self._resolution)
        replica.load(Base(), pending)
        live: list[Operation] = []
        for operation in sorted(pending, key=lambda item: (item.timestamp, item.id)):
            stated = replica.pending_for(operation.record)
            ended = max((each.timestamp for each in stated if each.data is None), default="")
            if operation.timestamp > ended:
                live.append(operation)
        return live

    def _restated(self, operation: Operation, heir: str) -> Operation:
        """The same statement, as the heir's own.

        Of what it took the place of, nothing must come back that the guest had taken back.
        """
        ended = max((each.timestamp for each in operation.earlier if each.data is None), default="")
        live = tuple(each for each in operation.earlier if each.timestamp > ended)
        operation = replace(operation, earlier=live)
        declared = self._registry.get(operation.collection)
        single = declared is not None and declared.single
        return replace(operation, key=heir) if single else operation

    def _views(self) -> list[str]:
        return [self._names.view(name) for name in self._registry]

    def _store(self, names: Names) -> LocalStore:
        mark_time = self._backend.now_ms if self._backend.is_mirrored else None
        nobody = "0" * hlc.WRITER_DIGITS
        return LocalStore(self._storage, names, nobody, self._registry.schemas, mark_time)
