"""One synchronisation: exchange batches with the server until both sides agree."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from atiha_web.backends.base import Request, Response
from atiha_web.errors import AtihaError, TransportError
from atiha_web.sync.batches import BatchLimit, encode, next_batch
from atiha_web.sync.local_replica import LocalReplica
from atiha_web.sync.operation import Operation
from atiha_web.sync.outcomes import FAST_TRIES, Kind, Outcome, classify
from atiha_web.sync.protocol import MAX_BATCH_OPERATIONS, PROTOCOL, SyncReply, SyncRequest
from atiha_web.sync.reconciler import Applied, Asked, Reconciler
from atiha_web.sync.replica import Quarantined
from atiha_web.sync.status import SyncReport

logger = logging.getLogger("atiha_web")

LOCK_WAIT = 30.0
FAST_TRY_DELAY = 0.2
HOLD_SECONDS = 60.0
MAX_CLOCK_ROUNDS = 3
REQUEST_TIMEOUT = 10.0
PARTING_BYTES = 48 * 1024
"""Browsers let requests of 64 KiB in all outlive their page."""


class CycleFailedError(AtihaError):
    """A cycle ended early; ``outcome`` says what to do next."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


@dataclass
class _Tally:
    sent: int = 0
    received: int = 0
    rejected: int = 0
    requests: int = 0
    clock_rounds: int = 0

    def report(self, message: str = "") -> SyncReport:
        return SyncReport(
            ok=not message,
            sent=self.sent,
            received=self.received,
            rejected=self.rejected,
            requests=self.requests,
            message=message,
        )


class SyncCycle:
    """Moves one replica towards the server, one cycle at a time across all tabs."""

    def __init__(
        self,
        local: LocalReplica,
        reconciler: Reconciler,
        base_url: str,
        headers: Callable[[], dict[str, str]],
    ) -> None:
        self._local = local
        self._reconciler = reconciler
        self.progress = 0
        """Grows whenever the server acknowledged something."""
        self._url = f"{base_url}/api/users/{local.user_id}/sync"
        self._headers = headers
        self._limit = BatchLimit()
        self._held: dict[str, float] = {}
        self._carried: set[str] = set()
        self._parted: set[str] = set()
        self._turn = asyncio.Lock()

    @property
    def in_flight(self) -> int:
        """How many operations the request under way carries."""
        return len(self._carried)

    async def run(self) -> SyncReport:
        """One whole cycle under the lock all tabs share.

        Raises:
            CycleFailedError: it ended early; what was acknowledged until then counts.
        """
        lock = f"{self._local.names.prefix}sync"
        async with (
            self._turn,
            self._local.backend.environment.lock(lock, LOCK_WAIT),
        ):
            await self._reconciler.catch_up()
            report = await self._exchange_all(_Tally())
            await self._local.note_synced()
        return report

    def parting_request(self) -> Request | None:
        """What to send in the page's last moment, built at once; ``None`` where nothing is left.

        It carries the oldest operations that no request carries, each of them once until
        ``came_back``. Nobody needs its reply: they stay pending, and are sent again.
        """
        local = self._local
        if not local.clock.measured:
            return None
        spared = self._held_now() | self._carried | self._parted
        pending = local.memory.pending.values()
        batch = next_batch(pending, MAX_BATCH_OPERATIONS, spared, PARTING_BYTES)
        if not batch:
            return None
        self._parted.update(operation.id for operation in batch)
        # As few changes as may be asked for: nobody will read them.
        return self._request(_body(self._reconciler.asked(), batch, limit=1))

    def came_back(self) -> None:
        """The page goes on: what it sent as it seemed to go may have been lost."""
        self._parted.clear()

    async def _exchange_all(self, tally: _Tally) -> SyncReport:
        while True:
            batch = self._batch()
            applied, more = await self._exchange(batch, tally)
            if applied is not None:
                self._check_progress(batch, applied, tally)
            if not more and not self._batch():
                return tally.report()
            await asyncio.sleep(0)

    def _batch(self) -> list[Operation]:
        # Before the first send of a session the server's clock must be known: a write made under
        # a slow clock would lose against older ones.
        if not self._local.clock.measured:
            return []
        pending = self._local.memory.pending.values()
        return next_batch(pending, self._limit.operations, self._held_now())

    def _held_now(self) -> set[str]:
        now = asyncio.get_running_loop().time()
        return {name for name, until in self._held.items() if until > now}

    def _request(self, body: bytes) -> Request:
        headers = {"content-type": "application/json", **self._headers()}
        return Request("POST", self._url, headers, body, REQUEST_TIMEOUT)

    async def _exchange(self, batch: list[Operation], tally: _Tally) -> tuple[Applied | None, bool]:
        """One request and what follows from it; tells whether the server has more to say."""
        local, reconciler = self._local, self._reconciler
        asked = reconciler.asked()
        local.check_open()
        body = _body(asked, batch)
        try:
            self._carried = {operation.id for operation in batch}
            local.changes.notify()
            sent_ms, response = await self._send(body, tally)
        except CycleFailedError as error:
            if not await self._divide(batch, error.outcome, tally):
                raise
            return None, True
        finally:
            self._carried = set()
        reply = _parse(response)
        applied = await reconciler.apply(asked, batch, reply, sent_ms)
        self._limit.taken()
        self._hold(operation.id for operation in applied.verdicts.held)
        tally.sent += len(applied.verdicts.acknowledged)
        tally.rejected += len(applied.verdicts.rejected)
        tally.received += applied.received
        self.progress += len(applied.verdicts.acknowledged)
        return applied, reply.more or reconciler.rebuilding

    async def _send(self, body: bytes, tally: _Tally) -> tuple[int, Response]:
        """Send with fast tries; returns when it was sent (ms, our clock) and a good reply."""
        tries = FAST_TRIES if self._local.backend.environment.online() else 1
        for attempt in range(1, tries + 1):
            sent_ms = self._local.clock.local_ms()
            tally.requests += 1
            outcome, response = await self._try(body)
            if response is not None and outcome.kind is Kind.OK:
                return sent_ms, response
            if outcome.kind is not Kind.TRANSIENT or attempt == tries:
                raise CycleFailedError(outcome)
            await asyncio.sleep(FAST_TRY_DELAY * attempt * (0.5 + self._local.backend.random()))
        raise AssertionError("unreachable: the last try returns or raises")

    async def _try(self, body: bytes) -> tuple[Outcome, Response | None]:
        try:
            response = await self._local.backend.transport.request(self._request(body))
        except TransportError as error:
            return Outcome(Kind.TRANSIENT, str(error)), None
        now = datetime.fromtimestamp(self._local.clock.now_ms() / 1000, UTC)
        return classify(response, now), response

    async def _divide(self, batch: list[Operation], outcome: Outcome, tally: _Tally) -> bool:
        """Halve a refused batch, down to the operation at fault; tells whether that helps."""
        if outcome.kind not in (Kind.TOO_LARGE, Kind.BAD_BATCH) or not batch:
            return False
        if len(batch) > 1:
            self._limit.refused(len(batch))
            return True
        if not outcome.ours:
            # Something on the way refuses it for its size: it waits, and the others go on.
            self._hold([batch[0].id])
            self._limit.taken()
            return True
        code = outcome.code or outcome.kind.value
        await self._reconciler.refuse(Quarantined(batch[0], code, outcome.message))
        tally.rejected += 1
        self._limit.taken()
        return True

    def _hold(self, operation_ids: Iterable[str]) -> None:
        """Do not send these for a while."""
        until = asyncio.get_running_loop().time() + HOLD_SECONDS
        self._held = {
            name: time for name, time in self._held.items() if name in self._local.memory.pending
        } | dict.fromkeys(operation_ids, until)

    def _check_progress(self, batch: list[Operation], applied: Applied, tally: _Tally) -> None:
        """A server that answers without deciding anything must not keep us busy for ever."""
        verdicts = applied.verdicts
        if verdicts.ahead and not verdicts.acknowledged:
            tally.clock_rounds += 1
        if tally.clock_rounds > MAX_CLOCK_ROUNDS or (batch and not verdicts.any):
            raise CycleFailedError(
                Outcome(Kind.TRANSIENT, "the server answered without deciding; trying again")
            )


def _body(asked: Asked, batch: list[Operation], *, limit: int = 500) -> bytes:
    """A request with these operations, for at most ``limit`` changes."""
    return SyncRequest(
        protocol=PROTOCOL,
        epoch=asked.epoch,
        cursor=asked.cursor,
        operations=encode(batch),
        limit=limit,
    ).to_json()


def _parse(response: Response) -> SyncReply:
    try:
        reply = SyncReply.model_validate_json(response.body)
    except ValidationError as error:
        logger.error("unreadable reply of the server: %s", error)
        raise CycleFailedError(
            Outcome(Kind.TRANSIENT, "the server's answer cannot be read; trying again")
        ) from error
    if reply.protocol != PROTOCOL:
        raise CycleFailedError(
            Outcome(Kind.UPGRADE, "the server speaks another protocol: reload this page")
        )
    return reply
