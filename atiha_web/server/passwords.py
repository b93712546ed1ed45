"""Password hashing (argon2id), off the event loop and a few at a time."""

from __future__ import annotations

import asyncio
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_LENGTH = 8
MAX_LENGTH = 128

_AT_ONCE = 2
# OWASP's recommendation of least memory, so that a burst of log-ins does not take the machine.
_TIME_COST = 2
_MEMORY_KIB = 19 * 1024
_LANES = 1


def _hasher() -> PasswordHasher:
    return PasswordHasher(_TIME_COST, _MEMORY_KIB, _LANES)


@cache
def _hash_of_nobody() -> str:
    """What the password of an account that does not exist is compared with."""
    return _hasher().hash("the account that does not exist")


class Passwords:
    """Makes and checks hashes. Each takes 19 MiB and a core for a moment, so few run at once."""

    def __init__(self) -> None:
        self._hasher = _hasher()
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._nobody = _hash_of_nobody()

    async def hash(self, password: str) -> str:
        """A salted hash that tells its own parameters."""
        async with self._gate:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password fits; without a hash (no such account) it takes as long."""
        async with self._gate:
            fits = await asyncio.to_thread(self._fits, password, hashed or self._nobody)
        return fits and hashed is not None

    def _fits(self, password: str, hashed: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False
