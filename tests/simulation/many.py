"""Many seeds, on every core there is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from tests.simulation.runs import AS_USUAL, plan_of, run, without_collector

CHUNK = 50
"""Seeds that one process runs before garbage is collected."""


@dataclass
class Tally:
    """What many runs came to: failures by seed, in words, and how often everything happened."""

    runs: int = 0
    operations: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Take in what another process found."""
        self.runs += other.runs
        self.operations += other.operations
        self.failures |= other.failures
        self.counts += other.counts


def run_some(seeds: Sequence[int], mix: Mapping[str, float] = AS_USUAL) -> Tally:
    """Run seeds in this process."""
    tally = Tally()
    with without_collector():
        for seed in seeds:
            outcome = run(plan_of(seed, mix))
            tally.runs += 1
            tally.operations += outcome.operations
            tally.counts += outcome.counts
            if outcome.violation is not None:
                tally.failures[seed] = str(outcome.violation)
    return tally


def run_many(
    seeds: Iterable[int],
    jobs: int | None = None,
    told: Callable[[Tally], None] = lambda _: None,
    mix: Mapping[str, float] = AS_USUAL,
) -> Tally:
    """Run seeds in as many processes as there are cores; ``told`` of each few that are done.

    ``mix`` is that of ``plan_of``.
    """
    every = list(seeds)
    chunks = [every[start : start + CHUNK] for start in range(0, len(every), CHUNK)]
    tally = Tally()
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1 or len(chunks) < 2:
        for chunk in chunks:
            tally.add(run_some(chunk, mix))
            told(tally)
        return tally
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for part in pool.map(partial(run_some, mix=dict(mix)), chunks):
            tally.add(part)
            told(tally)
    return tally
