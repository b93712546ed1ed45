"""Making a failing run short: steps are left out for as long as the same invariant breaks."""

from __future__ import annotations

import time
from dataclasses import replace

from tests.simulation.plan import Plan, Step
from tests.simulation.runs import Outcome, run

PATIENCE = 30.0
"""Seconds after which the shortest run so far has to do."""


def shrink(failed: Outcome, patience: float = PATIENCE) -> Outcome:
    """The same failure in as few steps as are found; its story is told."""
    assert failed.violation is not None
    number, end = failed.violation.number, time.monotonic() + patience
    plan = failed.plan

    def breaks(steps: tuple[Step, ...]) -> bool:
        found = run(replace(plan, steps=steps)).violation
        return found is not None and found.number == number

    steps, size = plan.steps, max(1, len(plan.steps) // 2)
    while time.monotonic() < end:
        shorter = _without_one_part(steps, size, breaks, end)
        if shorter is not None:
            steps = shorter
        elif size == 1:
            break
        else:
            size = max(1, size // 2)
    return run(_told_shortly(replace(plan, steps=steps), number), traced=True)


def _without_one_part(
    steps: tuple[Step, ...], size: int, breaks: object, end: float
) -> tuple[Step, ...] | None:
    assert callable(breaks)
    for start in range(0, len(steps), size):
        shorter = steps[:start] + steps[start + size :]
        if len(shorter) < len(steps) and time.monotonic() < end and breaks(shorter):
            return shorter
    return None


def _told_shortly(plan: Plan, number: int) -> Plan:
    """Without pauses, where they do not matter."""
    hasty = replace(plan, steps=tuple(replace(step, pause=0.0) for step in plan.steps))
    found = run(hasty).violation
    return hasty if found is not None and found.number == number else plan
