"""The same calls on both row stores: what PostgreSQL answers is what memory answered."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from atiha_web.server import Database, EmbeddedPostgres
from atiha_web.server.push import delete_record, put_record, synchronise
from atiha_web.server.rows import RowStore
from atiha_web.sync.protocol import SyncReply
from tests.simulation.collections import SERVER
from tests.simulation.plan import Plan
from tests.simulation.replays import REPLAYS
from tests.simulation.runs import plan_of, run
from tests.simulation.server import Deleted, Put, Renewed, ServerCall, Synced

_RESTORING = ("restore", "lost_in_silence", "overtaken")
"""A backup of the rows in memory is none of PostgreSQL's."""


class DisagreementError(AssertionError):
    """The two stores answer differently."""


@dataclass
class Replay:
    """The calls of one run on another store; epochs are random, so each stands for the other's."""

    rows: RowStore
    epochs: dict[str | None, str | None] = field(default_factory=lambda: {None: None})

    async def again(self, calls: Iterable[ServerCall]) -> int:
        """Repeat the calls in their order; returns how many.

        Raises:
            DisagreementError: a reply or a row is another.
        """
        number = 0
        for call in calls:
            number += 1
            await self._once(number, call)
        return number

    async def _once(self, number: int, call: ServerCall) -> None:
        match call:
            case Synced(exchange, release):
                epoch = self.epochs.get(exchange.request.epoch, "an epoch nobody has")
                request = exchange.request.model_copy(update={"epoch": epoch})
                user_id, due = exchange.user_id, exchange.reply
                told = await synchronise(
                    self.rows, SERVER[release], user_id, request, due.server_time
                )
                self.epochs.setdefault(due.epoch, told.epoch)
                self._compare(number, told, due)
            case Put(user_id, data, writer, now_ms, release, due_row):
                declared = SERVER[release]["ratings"]
                row = await put_record(self.rows, declared, user_id, data, writer, now_ms)
                if row != due_row:
                    raise DisagreementError(f"call {number}: {row}, not {due_row}")
            case Deleted(user_id, key, writer, now_ms, release):
                declared = SERVER[release]["ratings"]
                await delete_record(self.rows, declared, user_id, key, writer, now_ms)
            case Renewed():
                await self.rows.renew_epochs()

    def _compare(self, number: int, told: SyncReply, due: SyncReply) -> None:
        expected = due.model_copy(update={"epoch": self.epochs[due.epoch], "poll_after": None})
        if told != expected:
            raise DisagreementError(f"call {number}: {told!r}, not {expected!r}")


def plan_without_restores(seed: int) -> Plan:
    """A seed's plan with our server, save for backups that are put back."""
    plan = replace(plan_of(seed), rest="")
    steps = tuple(
        step
        for step in plan.steps
        if not step.kind.startswith(_RESTORING) and step.kind not in REPLAYS
    )
    return replace(plan, steps=steps)


async def agree(url: str, calls_of_seeds: Iterable[tuple[int, list[ServerCall]]]) -> int:
    """Repeat each seed's calls on the database at ``url``; returns how many calls agreed.

    Raises:
        DisagreementError: naming the seed.
    """
    total = 0
    async with Database(url) as database:
        for seed, calls in calls_of_seeds:
            await database.pool.execute("TRUNCATE sync_state, records")
            try:
                total += await Replay(database.rows).again(calls)
            except DisagreementError as error:
                error.add_note(f"the seed is {seed}")
                raise
    return total


def calls_of(seeds: Iterable[int]) -> list[tuple[int, list[ServerCall]]]:
    """What each seed asks of the server, run on the rows in memory."""
    return [(seed, run(plan_without_restores(seed)).calls) for seed in seeds]


def compare_stores(seeds: Iterable[int]) -> int:
    """The command: a PostgreSQL of its own, and what became of it in words."""
    began, calls = time.monotonic(), calls_of(seeds)
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "postgres", {"fsync": "off"}) as server,
    ):
        total = asyncio.run(agree(server.database_url("postgres"), calls))
    seconds = time.monotonic() - began
    sys.stdout.write(f"{len(calls)} seeds, {total} calls: both stores agree ({seconds:.0f} s)\n")
    return 0
