"""One synchronisation: exchange batches with the server until both sides agree."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable

from atiha_web.backends.base import Request, Response
from atiha_web.sync.base_cycle import REQUEST_TIMEOUT, Cycle, CycleFailedError, Link, Tally
from atiha_web.sync.batches import Batch, BatchLimit, next_batch
from atiha_web.sync.operation import Operation
from atiha_web.sync.outcomes import Kind, Outcome, classify
from atiha_web.sync.protocol import (
    MAX_BATCH_OPERATIONS,
    PROTOCOL,
    WIRE_MODELS,
    Change,
    SyncReply,
    SyncRequest,
    UnreadReply,
)
from atiha_web.sync.reconciler import Applied, Asked
from atiha_web.sync.replica import Quarantined
from atiha_web.sync.turns import CHANGES_PER_TURN, built_in_turns, in_turns

logger = logging.getLogger("atiha_web")

HOLD_SECONDS = 60.0
MAX_CLOCK_ROUNDS = 3
PARTING_BYTES = 48 * 1024
"""Browsers let requests of 64 KiB in all outlive their page."""


class SyncCycle(Cycle):
    """Exchanges batches of operations for changes with our server."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._limit = BatchLimit()
        self._held: dict[str, float] = {}
        self._is_prepared = False

    def parting_request(self) -> Request | None:
        """See ``Cycle``: a batch as large as browsers let outlive a page."""
        local = self._local
        if not local.clock.measured:
            return None
        spared = self._held_now() | self._carried | self._parted | local.unstored
        pending = local.memory.pending.values()
        batch = next_batch(pending, MAX_BATCH_OPERATIONS, spared, PARTING_BYTES)
        if not batch.operations:
            return None
        self._parted.update(operation.id for operation in batch.operations)
        # As few changes as may be asked for: nobody will read them.
        return self._request(_body(self._reconciler.asked(), batch, limit=1))

    async def _exchange_all(self, tally: Tally) -> None:
        if not self._is_prepared:
            self._is_prepared = True
            await built_in_turns(WIRE_MODELS)
        batch, more = await self._batch(), True
        while more or batch.operations:
            applied, more = await self._exchange(batch, tally)
            if applied is not None:
                self._check_progress(batch.operations, applied, tally)
            await asyncio.sleep(0)
            batch = await self._batch()

    async def _batch(self) -> Batch:
        # Before the first send of a session the server's clock must be known: a write made under
        # a slow clock would lose against older ones.
        if not self._local.clock.measured:
            return Batch()
        pending = self._local.memory.pending.values()
        if pending:
            # What is being written is stored by then, too.
            await self._forget_discarded()
        return next_batch(pending, self._limit.operations, self._held_now())

    def _held_now(self) -> set[str]:
        now = asyncio.get_running_loop().time()
        return {name for name, until in self._held.items() if until > now}

    def _request(self, body: bytes) -> Request:
        headers = {"content-type": "application/json", **self._headers()}
        url = f"{self._base_url}/api/users/{self._local.user_id}/sync"
        return Request("POST", url, headers, body, REQUEST_TIMEOUT)

    async def _exchange(self, batch: Batch, tally: Tally) -> tuple[Applied | None, bool]:
        """One request and what follows from it; tells whether the server has more to say."""
        local, reconciler = self._local, self._reconciler
        asked = reconciler.asked()
        local.check_open()
        body = _body(asked, batch)
        try:
            self._carried = {operation.id for operation in batch.operations}
            local.changes.notify()
            answer = await self._send(self._request(body), classify, tally)
        except CycleFailedError as error:
            if not await self._divide(batch.operations, error.outcome, tally):
                raise
            return None, True
        finally:
            self._carried = set()
        reply = await _parse(answer.response)
        applied = await reconciler.apply(asked, batch.operations, reply, answer.sent_ms)
        self._limit.taken()
        self._hold(operation.id for operation in applied.verdicts.held)
        tally.sent += len(applied.verdicts.acknowledged)
        tally.rejected += len(applied.verdicts.rejected)
        tally.received += applied.received
        tally.poll_after = reply.poll_after
        self.progress += len(applied.verdicts.acknowledged) + applied.received
        return applied, reply.more or reconciler.rebuilding

    async def _divide(self, batch: list[Operation], outcome: Outcome, tally: Tally) -> bool:
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

    def _check_progress(self, batch: list[Operation], applied: Applied, tally: Tally) -> None:
        """A server that answers without deciding anything must not keep us busy for ever."""
        verdicts = applied.verdicts
        if verdicts.ahead and not verdicts.acknowledged:
            tally.clock_rounds += 1
        if tally.clock_rounds > MAX_CLOCK_ROUNDS or (batch and not verdicts.any):
            raise CycleFailedError(
                Outcome(Kind.TRANSIENT, "the server answered without deciding; trying again")
            )


def _body(asked: Asked, batch: Batch, *, limit: int = 500) -> bytes:
    """A request with these operations, for at most ``limit`` changes."""
    return batch.body(
        SyncRequest(protocol=PROTOCOL, epoch=asked.epoch, cursor=asked.cursor, limit=limit)
    )


async def _parse(response: Response) -> SyncReply:
    try:
        reply = await _read(response.body)
    except (ValueError, RecursionError) as error:
        logger.error("unreadable reply of the server: %s", error)
        raise CycleFailedError(
            Outcome(Kind.TRANSIENT, "the server's answer cannot be read; trying again")
        ) from error
    if reply.protocol != PROTOCOL:
        raise CycleFailedError(
            Outcome(Kind.UPGRADE, "the server speaks another protocol: reload this page")
        )
    return reply


async def _read(body: bytes) -> SyncReply:
    """In turns: a browser needs tens of ms for all changes of a reply."""
    unread = UnreadReply.model_validate(json.loads(body))
    changes: list[Change] = []
    async for some in in_turns(unread.changes, CHANGES_PER_TURN):
        changes += map(Change.model_validate, some)
    return unread.model_copy(update={"changes": changes})
