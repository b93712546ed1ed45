"""What can be wrong with a run, by the number of the invariant it breaks."""

from __future__ import annotations

INVARIANTS = {
    0: "The engine does not fail in ways nobody named",
    1: "A write that reported a level survives every fault the level names",
    2: "No operation takes effect twice",
    3: "Clients that stop writing and keep syncing reach the server's state",
    4: "A reader never misses a committed change",
    5: "A pull never hides a newer pending change; an acknowledged one never leaves the view",
    6: "One bad operation, row or collection never blocks another",
    7: "One user never sees, sends or counts another user's data",
    10: "Bad input gets a typed error that says what to do; nothing changes",
}


class ViolationError(AssertionError):
    """An invariant is broken: its number, and in words what was seen."""

    def __init__(self, number: int, words: str) -> None:
        super().__init__(f"invariant {number} ({INVARIANTS[number]}): {words}")
        self.number = number
        self.words = words

    def __reduce__(self) -> tuple[type[ViolationError], tuple[int, str]]:
        return ViolationError, (self.number, self.words)


def require(holds: object, number: int, words: str, *parts: object) -> None:
    """Raise unless ``holds``; ``words`` is a format of ``parts``, made only then."""
    if not holds:
        raise ViolationError(number, words % parts if parts else words)
