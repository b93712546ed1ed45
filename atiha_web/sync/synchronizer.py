"""One user's engine, cycle and scheduler, as one thing to start and stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from atiha_web.backends.base import Backend, Unsubscribe
from atiha_web.collections import Registry
from atiha_web.sync.base_cycle import Link
from atiha_web.sync.engine import Engine, Write
from atiha_web.sync.inspection import inspected
from atiha_web.sync.operation import Call, OperationType, RecordKey
from atiha_web.sync.protocols import Protocol
from atiha_web.sync.scheduler import Scheduler
from atiha_web.sync.status import Status, SyncReport
from atiha_web.sync.waits import Waits

SYNC = Protocol("sync")


class Synchronizer:
    """Keeps one user's data on this device and on the server the same.

    ``headers`` gives the request headers that say who asks; ``interval`` is in seconds.
    """

    def __init__(
        self,
        backend: Backend,
        registry: Registry,
        user_id: str,
        *,
        base_url: str,
        headers: Callable[[], dict[str, str]],
        interval: float,
        protocol: Protocol = SYNC,
    ) -> None:
        self.protocol = protocol
        self.engine = Engine(backend, registry, user_id, protocol.resolution)
        self._backend = backend
        self._unsubscribe: Unsubscribe | None = None
        self._first_pull: asyncio.Task[SyncReport] | None = None
        local = self.engine.local
        self._cycle = protocol.cycle(Link(local, self.engine.reconciler, base_url, headers))
        self.scheduler = Scheduler(
            self._cycle.run,
            backend.environment,
            interval=interval,
            random=backend.random,
            progress=lambda: self._cycle.progress,
            notify=local.changes.notify,
            record=local.record,
        )

    @property
    def waits(self) -> Waits:
        """The paths that the server asked to leave alone."""
        return self._cycle.waits

    @property
    def user_id(self) -> str:
        """Whose data this is."""
        return self.engine.local.user_id

    async def start(self, *, background: bool = True) -> None:
        """Open local data and, unless told otherwise, begin to sync in the background."""
        await self.engine.open()
        if background:
            self.scheduler.start()
            self._unsubscribe = self._backend.environment.subscribe(self._on_signal)

    async def stop(self) -> None:
        """Stop syncing; everything pending stays in storage. Idempotent."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._first_pull is not None:
            self._first_pull.cancel()
            await asyncio.wait([self._first_pull])
        await self.scheduler.stop()
        await self.engine.close()

    def _on_signal(self, name: str) -> None:
        """A page that is hidden may be gone the next moment: nothing here may wait."""
        send = self._backend.send_last
        if name == "visible":
            self._cycle.came_back()
        elif name == "hidden" and send is not None and self.scheduler.may_send:
            request = self._cycle.parting_request()
            if request is not None:
                send(request)

    async def write(
        self,
        collection: str,
        key: str,
        data: dict[str, object] | None,
        kind: OperationType | None = None,
    ) -> Write:
        """See ``Engine.write``; the write is sent soon."""
        write = await self.engine.write(collection, key, data, kind)
        self.scheduler.poke()
        return write

    async def queue(self, call: Call, data: dict[str, object]) -> Write:
        """See ``Engine.queue``; the call is sent soon."""
        write = await self.engine.queue(call, data)
        self.scheduler.poke()
        return write

    async def retry_quarantined(
        self, operation_id: str, data: Mapping[str, Any] | None = None
    ) -> Write:
        """See ``Engine.retry_quarantined``; it is sent soon."""
        write = await self.engine.retry_quarantined(operation_id, data)
        self.scheduler.poke()
        return write

    async def sync(self) -> SyncReport:
        """Run one cycle now."""
        return await self.scheduler.run_now()

    async def pulled(self) -> None:
        """Ask the server, once, if nothing was ever pulled; a failure leaves what is here.

        So does a server that asked to be left alone.
        """
        asks = self.engine.local.memory.base.epoch is None and not self.scheduler.is_to_wait
        if self._first_pull is None and asks:
            self._first_pull = asyncio.ensure_future(self.sync())
        if self._first_pull is not None:
            await asyncio.wait([self._first_pull])

    def status(self) -> Status:
        """How things stand."""
        local, scheduler = self.engine.local, self.scheduler
        # What waits for a person goes first: until then nothing leaves and makes room.
        waits = scheduler.state in ("needs_auth", "upgrade_required")
        full = local.storage_full and not waits
        return Status(
            state="storage_full" if full else scheduler.state,
            user_id=local.user_id,
            online=scheduler.online,
            pending=len(local.memory.pending),
            in_flight=self._cycle.in_flight,
            quarantined=len(local.memory.quarantine),
            last_sync=local.last_sync,
            message="local storage is full: sync, then try again" if full else scheduler.message,
            clock_offset_ms=local.clock.offset_ms,
            problems=(*local.problems, *self._backend.storage_problems()),
            partial=local.store.base.partial,
        )

    def inspect(self) -> dict[str, Any]:
        """See ``Client.inspect``."""
        return inspected(self.engine.local, self.status())

    def nothing_to_change(self, collection: str, key: str) -> Write:
        """The result of a write that would have changed nothing."""
        # A reply may be being taken in: then base has the record before the view does.
        self.engine.local.memory.refresh([RecordKey(collection, key)])
        return self.engine.done(None, collection, key)

    def is_live(self, collection: str, key: str) -> bool:
        """Whether the view holds a live record under ``key``."""
        state = self.engine.local.memory.state(RecordKey(collection, key))
        return state is not None and not state.deleted
