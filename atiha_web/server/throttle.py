"""Slow down whoever guesses passwords."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

ATTEMPTS = 10
WINDOW_SECONDS = 300.0
REMEMBERED = 10_000


class LoginThrottle:
    """Counts failed log-ins by address and account, in this process.

    An attempt counts as failed until it is known to have succeeded, so that many at once are no
    way around.
    """

    def __init__(self, clock: Callable[[], float], attempts: int = ATTEMPTS) -> None:
        self._clock = clock
        self._attempts = attempts
        self._failures: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    def begin(self, email: str, address: str) -> int:
        """Count an attempt; returns 0, or in how many seconds the next one is allowed."""
        now = self._clock()
        key = (email, address)
        recent = [at for at in self._failures.get(key, ()) if at > now - WINDOW_SECONDS]
        if len(recent) >= self._attempts:
            return max(1, math.ceil(recent[0] + WINDOW_SECONDS - now))
        self._failures[key] = [*recent, now]
        self._failures.move_to_end(key)
        if len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)
        return 0

    def succeed(self, email: str, address: str) -> None:
        """The log-in was good: forget the failures before it."""
        self._failures.pop((email, address), None)
