"""Random worlds: every seed is another history, and each must end well.

Each run has the same seeds, and a failure names its own. To see one again, or to look for more:
``ATIHA_SEED=4711 ATIHA_WORLDS=1 pytest tests/simulation``.
"""

import asyncio
import logging
import os
from collections.abc import Iterator

import pytest

from tests.simulation.oracle import check_end, check_now
from tests.simulation.virtual_time import VirtualTimeLoop
from tests.simulation.world import World, track

STEPS = 25
FIRST = int(os.environ.get("ATIHA_SEED", "0"))
WORLDS = int(os.environ.get("ATIHA_WORLDS", "100"))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Faults are what worlds are made of."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


async def live(seed: int, *, skewed: bool) -> None:
    """One world from its beginning to its end."""
    track(asyncio.get_running_loop())
    world = World(seed, skewed)
    try:
        for _ in range(STEPS):
            await world.step()
            check_now(world)
        await world.settle()
        check_now(world)
        await check_end(world)
    except AssertionError as error:
        error.add_note("\n".join(world.log))
        raise
    finally:
        await world.close()


def run(seed: int, *, skewed: bool) -> None:
    try:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(live(seed, skewed=skewed))
    except Exception as error:
        error.add_note(f"the seed is {seed}")
        raise


@pytest.mark.parametrize("skewed", [False, True], ids=["clocks right", "clocks wrong"])
@pytest.mark.timeout(0)
def test_nothing_is_lost_and_all_agree(skewed: bool) -> None:
    for seed in range(FIRST, FIRST + WORLDS):
        run(seed, skewed=skewed)


def test_a_seed_tells_the_same_story_again() -> None:
    async def story() -> list[str]:
        track(asyncio.get_running_loop())
        world = World(7)
        for _ in range(STEPS):
            await world.step()
        await world.close()
        return world.log

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        first = runner.run(story())
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(story()) == first
