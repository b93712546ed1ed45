"""What a run says to people: a failure in words, and a summary of many runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tests.simulation.faults import NETWORK
from tests.simulation.many import Tally
from tests.simulation.plan import to_text
from tests.simulation.runs import AS_USUAL, plan_of, run
from tests.simulation.shrink import shrink


def failure_report(seed: int, mix: Mapping[str, float] = AS_USUAL) -> str:
    """The seed, the shortest story found that breaks the same invariant, and which one."""
    outcome = run(plan_of(seed, mix))
    if outcome.violation is None:
        return f"seed {seed}: nothing is wrong"
    short = shrink(outcome)
    plan = short.plan
    devices = [f"  d{number}: {spec}" for number, spec in enumerate(plan.devices)]
    kinds = " ".join(step.kind for step in plan.steps)
    return "\n".join(
        [
            f"seed {seed}: {len(outcome.plan.steps)} steps, shrunk to {len(plan.steps)}: {kinds}",
            *devices,
            *(f"  {line}" for line in short.story),
            f"{short.violation or outcome.violation}",
            "to keep it, a line in KEPT of tests/simulation/test_regressions.py:",
            f'    "what it shows": {to_text(plan)!r},',
        ]
    )


def summary(tally: Tally, seconds: float, kinds: Collection[str]) -> str:
    """How many runs, how fast, and how often each fault happened; none that never did is silent."""
    runs, writes = tally.runs / seconds, tally.operations / seconds
    told = f"{tally.runs} seeds in {seconds:.0f} s ({runs:.0f}/s), "
    told += f"{tally.operations} writes ({writes:.0f}/s), {len(tally.failures)} failed"
    everything = {*kinds, *NETWORK} | tally.counts.keys()
    often = sorted(everything, key=lambda kind: (tally.counts[kind], kind))
    lines = [told, *(f"{tally.counts[kind]:9} {kind}" for kind in often)]
    lines += [f"seed {seed}: {words:.300}" for seed, words in sorted(tally.failures.items())]
    return "\n".join(lines)
