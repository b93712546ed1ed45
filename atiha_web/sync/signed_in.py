"""Who is signed in on this device, as storage tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from atiha_web.backends.base import Backend
from atiha_web.errors import StorageFullError
from atiha_web.sync.names import SESSION_KEY, SESSION_TIME_KEY, SIGN_OUT_KEY, is_user_id


class SignedIn:
    """Remembers it for the next start.

    Where storage has a mirror, the time of the last change stands beside it: after a kill the two
    may tell different stories, and the later one is true.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._storage = backend.storage
        self._latest = 0
        """The latest change seen: storage may be cleared, and the clock set back."""

    async def user(self) -> str | None:
        """Who signed in last, and not out again."""
        text, last = await self._storage.read([SESSION_KEY, SESSION_TIME_KEY])
        self._latest = max(self._latest, session_time(last))
        return session_user(text)

    async def remember(self, user_id: str) -> None:
        """Somebody signed in.

        Raises:
            StorageFullError: there is no room; nothing was changed.
        """
        session = json.dumps({"userId": user_id}, separators=(",", ":"))
        await self._write({SESSION_KEY: session, SIGN_OUT_KEY: None})

    async def forget(self) -> None:
        """Nobody is signed in from now on; the server is yet to be told.

        Raises:
            StorageFullError: there is no room; nothing was changed.
        """
        await self._write({SESSION_KEY: None, SIGN_OUT_KEY: "1"})

    async def owes_sign_out(self) -> bool:
        """Whether the server is yet to be told."""
        return await self._storage.read([SIGN_OUT_KEY]) != [None]

    async def told(self) -> None:
        """The server knows."""
        await self._storage.write({SIGN_OUT_KEY: None})

    async def _write(self, changes: dict[str, str | None]) -> None:
        if self._backend.is_mirrored:
            [last] = await self._storage.read([SESSION_TIME_KEY])
            known = max(self._latest, session_time(last))
            self._latest = max(self._backend.now_ms(), known + 1)
            changes[SESSION_TIME_KEY] = str(self._latest)
        await self._write_whole(changes)

    async def _write_whole(self, changes: Mapping[str, str | None]) -> None:
        """Write all of it or, where there is no room, nothing."""
        before = await self._storage.read(list(changes))
        try:
            await self._storage.write(changes)
        except StorageFullError:
            # What goes makes room for what comes back.
            again = sorted(zip(changes, before, strict=True), key=lambda item: item[1] is not None)
            await self._storage.write(dict(again))
            raise


def session_user(text: str | None) -> str | None:
    """The user that the text of ``SESSION_KEY`` names."""
    try:
        user_id = json.loads(text or "null")["userId"]
    except (ValueError, TypeError, KeyError):
        return None
    return user_id if is_user_id(user_id) else None


def session_time(text: str | None) -> int:
    """The time (ms since 1970) under ``SESSION_TIME_KEY``; -1 where nothing tells."""
    return int(text) if text is not None and text.isdecimal() else -1
