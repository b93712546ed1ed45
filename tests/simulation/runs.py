"""One run: a plan lived through from its beginning to its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any

from atiha_web.errors import AtihaError
from atiha_web.loading import LATER
from tests.simulation.coincidences import COINCIDENCES
from tests.simulation.curious import CURIOUS
from tests.simulation.ending import check_offline, settle
from tests.simulation.faults import FAULTS
from tests.simulation.moments import MOMENTS
from tests.simulation.motifs import MOTIFS
from tests.simulation.oracle import check_end, check_pages
from tests.simulation.people import PEOPLE
from tests.simulation.plan import SHARES, Plan, draw
from tests.simulation.replays import REPLAYS
from tests.simulation.rewound import REWOUND
from tests.simulation.server import ServerCall
from tests.simulation.tuning import tuned
from tests.simulation.violations import ViolationError
from tests.simulation.virtual_time import DeadlockError, VirtualTimeLoop
from tests.simulation.wear import WEAR, check_leftovers
from tests.simulation.world import World

for module in LATER:
    # The first page of a process loads them in turns; no world may differ for being the first.
    import_module(module)

EVERYWHERE = PEOPLE | FAULTS | MOTIFS | MOMENTS
LATELY = WEAR | COINCIDENCES | CURIOUS
STEPS = EVERYWHERE | REPLAYS | LATELY | REWOUND
WEIGHTS = {kind: weight for kind, (_, weight) in EVERYWHERE.items()}
REST_WEIGHTS = {kind: weight for kind, (_, weight) in REPLAYS.items()}
WEAR_WEIGHTS = {kind: weight for kind, (_, weight) in LATELY.items()}
LATE_WEIGHTS = {kind: weight for kind, (_, weight) in REWOUND.items()}
ODDS = (WEIGHTS, REST_WEIGHTS, WEAR_WEIGHTS, LATE_WEIGHTS, SHARES)
"""How often what happens: all that ``draw`` is told."""
AS_USUAL: Mapping[str, float] = MappingProxyType({})


@dataclass
class Outcome:
    """How a run ended: the invariant that broke, if any, and what had happened."""

    plan: Plan
    violation: ViolationError | None = None
    counts: Counter[str] = field(default_factory=Counter)
    operations: int = 0
    story: list[str] = field(default_factory=list)
    calls: list[ServerCall] = field(default_factory=list)
    """What was asked of the server."""


def plan_of(seed: int, mix: Mapping[str, float] = AS_USUAL) -> Plan:
    """The plan of a seed; ``mix``: what is to happen how many times as often as usual."""
    odds = ({kind: odd * mix.get(kind, 1) for kind, odd in table.items()} for table in ODDS)
    return draw(seed, *odds)


def run(plan: Plan, *, traced: bool = False) -> Outcome:
    """Live through a plan."""
    loop = VirtualTimeLoop()
    asyncio.set_event_loop(loop)
    worlds: list[World] = []
    try:
        with tuned(tight=plan.tight):
            return loop.run_until_complete(_live(plan, worlds, traced=traced))
    except DeadlockError as error:
        [world] = worlds
        loop.begin_anew()
        loop.run_until_complete(world.close())
        return _outcome(world, ViolationError(3, f"stuck for ever: {error}"))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _live(plan: Plan, worlds: list[World], *, traced: bool) -> Outcome:
    world = World(plan, traced=traced)
    worlds.append(world)
    violation: ViolationError | None = None
    with _listening(world):
        try:
            await _story(world)
        except ViolationError as error:
            violation = error
        except Exception:  # noqa: BLE001 - whatever the engine raises breaks the run
            violation = ViolationError(0, traceback.format_exc())
        await world.close()
    return _outcome(world, violation)


def _outcome(world: World, violation: ViolationError | None) -> Outcome:
    found = world.violation or violation
    operations = len(world.ledger.promises)
    return Outcome(world.plan, found, world.counts, operations, world.story, world.server.calls)


async def _story(world: World) -> None:
    for step in world.plan.steps:
        what, _ = STEPS[step.kind]
        await world.take(step, what)
        world.check()
        check_pages(world.pages)
    await settle(world)
    world.check()
    check_end(world)
    check_leftovers(world)
    await check_offline(world)


class _Errors(logging.Handler):
    """Errors that the engine survives, and nobody named."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        """See ``Handler.emit``."""
        if record.exc_info:
            words = logging.Formatter().format(record)
            self._world.broken(ViolationError(0, words))


@contextmanager
def _listening(world: World) -> Iterator[None]:
    """What the engine logs as an error of its own breaks the run; all else is silent."""
    logger, handler = logging.getLogger("atiha_web"), _Errors(world)
    level, propagates = logger.level, logger.propagate
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(handler)

    def unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, AtihaError) or "destroyed" in context["message"]:
            # What was asked for by a page that is gone by now.
            return
        words = "".join(traceback.format_exception(error)) if error else str(context)
        world.broken(ViolationError(0, words))

    asyncio.get_running_loop().set_exception_handler(unhandled)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates


@contextmanager
def without_collector() -> Iterator[None]:
    """Garbage is collected between runs, not within."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
