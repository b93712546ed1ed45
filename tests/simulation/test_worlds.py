"""Random worlds: every seed is another history, and each must end well.

For more of them, other ones, or the story of one: ``python -m tests.simulation --help``.
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.__main__ import main
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


def test_what_a_mix_names_happens_as_often_as_it_says() -> None:
    kinds = Counter(step.kind for seed in range(50) for step in plan_of(seed).steps)
    mix = {"clear": 50, "bad_network": 0, "rest": 20}
    plans = [plan_of(seed, mix) for seed in range(50)]
    mixed = Counter(step.kind for plan in plans for step in plan.steps)
    assert mixed["clear"] > 10 * kinds["clear"] > 0
    assert kinds["bad_network"] > mixed["bad_network"] == 0
    assert all(plan.rest for plan in plans)


@pytest.mark.parametrize("mix", ["clouds=2", "clear", "clear=often", "write=0"])
def test_a_mix_that_cannot_be_is_told(mix: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--mix", mix])
    assert mix.partition("=")[0] in capsys.readouterr().err


def tell(seed: int, hashing: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "tests.simulation", "--trace", str(seed)]
    environment = {**os.environ, "PYTHONHASHSEED": hashing}
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    return told.stdout.decode()
