"""Random worlds: every seed is another history, and each must end well.

For more of them, other ones, or the story of one: ``python -m tests.simulation --help``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.faults import NETWORK
from tests.simulation.many import run_many
from tests.simulation.report import failure_report
from tests.simulation.runs import STEPS, plan_of, run

SEEDS = range(2000)
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(0)
def test_nothing_is_lost_and_all_agree() -> None:
    tally = run_many(SEEDS)
    assert tally.runs == len(SEEDS)
    assert not tally.failures, "\n\n".join(map(failure_report, sorted(tally.failures)[:3]))
    # A fault that never happens proves nothing.
    rare = {"crashed at a storage call", "frozen, a lock held", "keep-alive flush"}
    rare |= {"no room for a write", "saved: disk", "saved: server"}
    never = [kind for kind in {*STEPS, *NETWORK, *rare} if tally.counts[kind] < 20]
    assert never == []


def test_a_seed_tells_the_same_story_again() -> None:
    assert run(plan_of(7), traced=True).story == run(plan_of(7), traced=True).story


@pytest.mark.parametrize("seed", [3, 11])
def test_a_seed_tells_the_same_story_in_another_process(seed: int) -> None:
    stories = {tell(seed, hashing) for hashing in ("1", "2")}
    assert len(stories) == 1


def tell(seed: int, hashing: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "tests.simulation", "--trace", str(seed)]
    environment = {**os.environ, "PYTHONHASHSEED": hashing}
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    return told.stdout.decode()
