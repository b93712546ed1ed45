"""`python -m tests.benchmarks [names…]`: measure, and print a table for the README."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable

from tests.benchmarks import (
    draining,
    memory,
    notebook,
    opening,
    polling,
    pushing,
    starting,
    without_await,
    worker,
    writing,
)
from tests.benchmarks.figures import Figure, table
from tests.benchmarks.lab import Lab

BENCHMARKS: dict[str, Callable[[Lab], Awaitable[list[Figure]]]] = {
    "writing": writing.measure,
    "draining": draining.measure,
    "opening": opening.measure,
    "starting": starting.measure,
    "polling": polling.measure,
    "pushing": pushing.measure,
    "memory": memory.measure,
    "worker": worker.measure,
    "blocking": without_await.measure,
    "notebook": notebook.measure,
}


async def run(names: list[str]) -> list[Figure]:
    """The figures of the named benchmarks, each shown as it is found."""
    figures: list[Figure] = []
    async with Lab() as lab:
        for name in names:
            print(f"{name}…", file=sys.stderr, flush=True)  # noqa: T201 - the progress of a command
            found = await BENCHMARKS[name](lab)
            await lab.close_devices()
            for figure in found:
                print(f"  {figure.row()}", file=sys.stderr, flush=True)  # noqa: T201 - the same
            figures += found
    return figures


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="tests/benchmarks/run", description=main.__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="name")
    names = parser.parse_args().names or list(BENCHMARKS)
    print(table(asyncio.run(run(names))))  # noqa: T201 - the table is this command's result


if __name__ == "__main__":
    main()
