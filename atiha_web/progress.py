"""How far sending what is pending got, and showing it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from atiha_web.sync.status import SyncReport
from atiha_web.sync.synchronizer import Synchronizer


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """How many pending operations the server has answered, of how many; both only grow."""

    done: int
    total: int


OnProgress = Callable[[SyncProgress], None]


async def followed(synchronizer: Synchronizer, tell: OnProgress) -> SyncReport:
    """Run one cycle; ``tell`` hears of the beginning, of each step and of the end.

    What ``tell`` raises is raised once the cycle is over.
    """
    steps = _Steps(lambda: synchronizer.status().pending, tell)
    steps.look()

    async def follow() -> None:
        async for _ in synchronizer.engine.local.changes.follow():
            steps.look()

    following = asyncio.ensure_future(follow())
    try:
        report = await synchronizer.sync()
    finally:
        following.cancel()
        await asyncio.wait([following])
    if not following.cancelled():
        following.result()
    steps.look()
    return report


class _Steps:
    """Turns a number of pending operations, which writes raise again, into steps forward."""

    def __init__(self, pending: Callable[[], int], tell: OnProgress) -> None:
        self._pending = pending
        self._tell = tell
        self._told: SyncProgress | None = None

    def look(self) -> None:
        pending = self._pending()
        before = self._told or SyncProgress(0, pending)
        done = max(before.done, before.total - pending)
        progress = SyncProgress(done, done + pending)
        if progress != self._told:
            self._told = progress
            self._tell(progress)


@contextmanager
def shown_bar() -> Iterator[OnProgress]:
    """A bar: tqdm's where that is installed, else one line of text that changes."""
    try:
        from tqdm import tqdm  # noqa: PLC0415 - optional, and not asked for in most uses
    except ImportError:
        yield _show_line
        sys.stdout.write("\n")
        return

    # The argument that type checkers miss fails when it runs.
    class Bar(tqdm):  # type: ignore[type-arg]
        # A thread, which browsers have not, would draw bars anew that nobody moves.
        monitor_interval = 0

    # Standard error is red in notebooks, as if something were wrong.
    with Bar(desc="Sending", unit=" changes", file=sys.stdout) as bar:

        def show(progress: SyncProgress) -> None:
            bar.total = progress.total
            bar.n = progress.done
            bar.refresh()

        yield show


def _show_line(progress: SyncProgress) -> None:
    sys.stdout.write(f"\rSending: {progress.done:,} of {progress.total:,} changes")
    sys.stdout.flush()
