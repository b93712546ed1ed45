"""Tells what a build is doing: a bar on a terminal, a line per step elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class Steps:
    """The steps of one build, shown as they begin."""

    def __init__(self, console: Console, bar: Progress | None) -> None:
        self._console = console
        self._bar = bar

    @contextmanager
    def step(self, what: str, total: int | None = None) -> Iterator["Step"]:
        """Show one step; without a total its bar only says that it is alive."""
        if self._bar is None:
            self._console.print(what)
            yield Step(None, None)
            return
        task = self._bar.add_task(what, total=total)
        yield Step(self._bar, task)
        self._bar.update(task, total=total or 1, completed=total or 1)


class Step:
    """One running step."""

    def __init__(self, bar: Progress | None, task: object) -> None:
        self._bar = bar
        self._task = task

    def advance(self) -> None:
        """One of the step's total is done."""
        if self._bar is not None:
            self._bar.advance(self._task)  # type: ignore[arg-type]


@contextmanager
def shown_steps() -> Iterator[Steps]:
    """Steps on standard error, which leaves standard output to the caller."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Steps(console, None)
        return
    columns = (TextColumn("{task.description:<44}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        yield Steps(console, bar)
