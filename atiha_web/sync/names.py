"""The keys of what is kept in local storage, and who may have some.

A start on which nobody is signed in loads this and no more of the engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

SESSION_KEY = "atiha_session"
SESSION_TIME_KEY = "atiha:session-time"
"""When ``SESSION_KEY`` was last written or removed, where storage has a mirror; ms since 1970."""
SIGN_OUT_KEY = "atiha:sign-out"
"""There while the server is yet to be told that the last user signed out."""
SESSION_KEYS = (SESSION_KEY, SESSION_TIME_KEY, SIGN_OUT_KEY)
"""What tells who is signed in, and who was."""
QUEUE_KEY = "atiha_sync_queue"
LAST_SYNC_KEY = "atiha_last_sync"
GUEST = "~guest"
"""Whose data it is before anybody signs in; no user id has a ``~``."""
HEIR_KEY = f"atiha:{GUEST}:heir"
"""The user who is taking over the guest's data, while that is not finished."""
ASIDE = "atiha::aside:"
"""Prefix of what an earlier app left and nobody can send; no user's prefix begins like it."""
FORGOTTEN = "atiha::forgotten:"
"""Prefix of the marks of operations a person gave up, which no recovery may bring back."""
UP_TO = "-1.."
"""In a mark: all of a writer, up to a number. What is written later is not given up."""


_USER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_user_id(text: object) -> bool:
    """Whether ``text`` may name a user: 1 to 64 of letters, digits, ``_`` and ``-``."""
    return isinstance(text, str) and _USER_ID.fullmatch(text) is not None


def note_numbers(last: dict[str, int], operation_ids: Iterable[str]) -> None:
    """Keep in ``last`` the greatest number of each writer."""
    for writer, _, number in (name.rpartition("-") for name in operation_ids):
        if number.isdecimal():
            last[writer] = max(int(number), last.get(writer, 0))


def cache_key(name: str) -> str:
    """Where the value of a seed cache key is stored."""
    return f"atiha_{name}"


@dataclass(frozen=True)
class Names:
    """The storage keys of one user. Ids are percent-encoded: no prefix begins another."""

    user_id: str

    @cached_property
    def prefix(self) -> str:
        """What every internal key of this user begins with."""
        return f"atiha:{_encoded(self.user_id)}:"

    @cached_property
    def journal(self) -> str:
        """Prefix of one key for each pending operation."""
        return f"{self.prefix}j:"

    @cached_property
    def quarantine(self) -> str:
        """Prefix of one key for each refused operation."""
        return f"{self.prefix}q:"

    @cached_property
    def pages(self) -> str:
        """Prefix of the pages of base."""
        return f"{self.prefix}b:"

    @cached_property
    def manifest(self) -> str:
        """The key that says which pages make up base."""
        return f"{self.prefix}m"

    @cached_property
    def account(self) -> str:
        """The key of the account as the server last told it, for reading without network."""
        return f"{self.prefix}account"

    def forgotten(self, operation_id: str) -> str:
        """The mark of an operation, or of ``<writer>-1..<number>``; see `UP_TO`."""
        return f"{FORGOTTEN}{_encoded(self.user_id)}:{operation_id}"

    def view(self, collection: str) -> str:
        """The seed's key of a collection's newest entries."""
        return f"atiha_{collection}_{self.user_id}"


def is_view(key: str, user_id: str) -> bool:
    """Whether what any page can read of a user is under ``key``."""
    return key.startswith("atiha_") and key.endswith(f"_{user_id}")


def _encoded(user_id: str) -> str:
    if is_user_id(user_id) or user_id == GUEST:
        return user_id
    from urllib.parse import quote  # noqa: PLC0415 - for nobody whom this package signs in

    return quote(user_id, safe="")
