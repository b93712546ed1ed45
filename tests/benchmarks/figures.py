"""What a benchmark found, and the table of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, median


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: what was measured.
        value: a ratio of two things of the same run, or a size or a number that has none.
        limit: the most it may be, the least where `at_least`; `None` where there is no target.
        unit: of value and limit; empty for a ratio.
        details: what was measured to get there.
    """

    what: str
    value: float
    limit: float | None = None
    unit: str = ""
    at_least: bool = False
    details: str = ""

    @property
    def met(self) -> bool:
        """Whether the target is met; one that is not there is."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def row(self) -> str:
        """A line of Markdown."""
        target = verdict = ""
        if self.limit is not None:
            target = f"{'≥' if self.at_least else '≤'} {self._text(self.limit)}"
            verdict = "yes" if self.met else "**no**"
        return f"| {self.what} | {self._text(self.value)} | {target} | {verdict} | {self.details} |"

    def _text(self, number: float) -> str:
        digits = 0 if number >= 100 or (self.unit and number == int(number)) else 2
        return f"{number:,.{digits}f} {self.unit}".rstrip()


def table(figures: Iterable[Figure]) -> str:
    """All of them in Markdown, ratios first."""
    ordered = sorted(figures, key=lambda figure: figure.unit != "")
    head = ["| what | measured | target | met | details |", "| --- | ---: | ---: | --- | --- |"]
    return "\n".join([*head, *(figure.row() for figure in ordered)])


def each(milliseconds: Iterable[float], size: int) -> float:
    """The mean time of one of `size` things, from the times of some slices."""
    return mean(milliseconds) / size


def middle(values: Iterable[float]) -> float:
    """The median, which one interruption does not move."""
    return median(values)
