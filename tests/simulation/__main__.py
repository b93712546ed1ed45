"""The one command: ``python -m tests.simulation [--seeds N] [--first K] [--trace SEED]``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.simulation.many import Tally, run_many
from tests.simulation.report import failure_report, summary
from tests.simulation.runs import AS_USUAL, ODDS, STEPS, plan_of, run

KINDS = sorted(kind for table in ODDS for kind in table)
"""What a mix may name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run seeds; tells in words what failed, and returns 1 then."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description=__doc__,
        epilog=f"The kinds of a mix: {' '.join(KINDS)}.",
        allow_abbrev=False,
    )
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds (2000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--jobs", type=int, help="processes; one for each core unless told")
    parser.add_argument(
        "--mix",
        type=mix_of,
        default=AS_USUAL,
        metavar="KIND=TIMES,...",
        help="what happens how many times as often as usual (clear=20,kill_browser=5,rest=0)",
    )
    parser.add_argument("--trace", type=int, metavar="SEED", help="tell the story of one seed")
    parser.add_argument("--coverage", action="store_true", help="which branches the seeds reach")
    parser.add_argument("--mistakes", action="store_true", help="plant each known mistake")
    parser.add_argument("--rows", choices=["memory", "postgres"], default="memory")
    asked = parser.parse_args(arguments)
    if asked.trace is not None:
        return trace(asked.trace, asked.mix)
    if asked.mistakes:
        return mistakes(asked.jobs)
    if asked.coverage:
        return reached(asked.first, asked.seeds)
    if asked.rows == "postgres":
        from tests.simulation.postgres import compare_stores

        return compare_stores(range(asked.first, asked.first + asked.seeds))
    began = time.monotonic()
    seeds = range(asked.first, asked.first + asked.seeds)
    tally = run_many(seeds, asked.jobs, tell_progress, asked.mix)
    show(summary(tally, time.monotonic() - began, STEPS))
    for seed in sorted(tally.failures)[:5]:
        show(failure_report(seed, asked.mix))
    return 1 if tally.failures else 0


def tell_progress(tally: Tally) -> None:
    """Now and then, where it takes long."""
    if tally.runs % 5000 == 0:
        show(f"{tally.runs} seeds so far, failed: {sorted(tally.failures)[:20]}")


def mistakes(jobs: int | None) -> int:
    """Tell which seed sees each planted mistake, and remember it for the next time."""
    from tests.simulation.test_mistakes import MISTAKES, see_all

    seeds: dict[str, int] = {}
    for name, seen in see_all(jobs):
        words = "nothing sees it" if seen is None else f"seed {seen[0]}, invariant {seen[1]}"
        show(f"{name}: {words}")
        seeds |= {} if seen is None else {name: seen[0]}
    Path(__file__).with_name("seen_by.json").write_text(json.dumps(seeds, indent=1) + "\n")
    return 0 if len(seeds) == len(MISTAKES) else 1


def reached(first: int, seeds: int) -> int:
    """Tell which branches of the engine and of the server's decisions the seeds reach."""
    server = (
        f"atiha_web/server/{name}.py" for name in ("decisions", "push", "rows", "rows_memory")
    )
    which = [f"--include={','.join(['atiha_web/sync/*.py', *server])}"]
    coverage = [sys.executable, "-m", "coverage"]
    asked = ["-m", "tests.simulation", "--jobs", "1", "--first", str(first), "--seeds", str(seeds)]
    with TemporaryDirectory() as folder:
        data = f"--data-file={folder}/coverage"
        where = "--source=atiha_web/sync,atiha_web/server"
        ran = subprocess.run([*coverage, "run", "--branch", where, data, *asked], check=False)
        subprocess.run([*coverage, "report", data, "-m", "--precision=1", *which], check=True)
    return ran.returncode


def mix_of(text: str) -> Mapping[str, float]:
    """What is to happen how many times as often as usual, from ``KIND=TIMES,KIND=TIMES``.

    Raises:
        argparse.ArgumentTypeError: nothing is called so, or it cannot happen so often.
    """
    mix: dict[str, float] = {}
    for part in text.split(","):
        kind, _, times = part.partition("=")
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(f"there is no {kind!r}, see --help")
        if not times.isdecimal() or part == "write=0":
            raise argparse.ArgumentTypeError(f"{part!r} cannot be; say it like clear=20,night=0")
        mix[kind] = int(times)
    return mix


def trace(seed: int, mix: Mapping[str, float]) -> int:
    """Tell what happens in one seed, shrunk if it fails."""
    outcome = run(plan_of(seed, mix), traced=True)
    show("\n".join(outcome.story) if outcome.violation is None else failure_report(seed, mix))
    return 1 if outcome.violation else 0


def show(text: str) -> None:
    """To whoever ran the command."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
