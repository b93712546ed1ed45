"""Sessions that ended on this device, and telling the server so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from atiha_web.errors import ProblemError, TransportError
from atiha_web.sync.signed_in import SignedIn

if TYPE_CHECKING:
    from atiha_web.services.user_database import AccountApi

logger = logging.getLogger("atiha_web")

_NO_SESSION = frozenset({401, 404, 405})
"""What a server answers that has no such session: there is none to end."""


class SignOuts:
    """Sign-outs the server is yet to be told of.

    A token is remembered until then, in memory only; a session in a cookie is the platform's, and
    storage tells the next start of it. ``api`` makes requests with a token, or without.
    """

    def __init__(self, api: Callable[[str | None], AccountApi], stored: SignedIn) -> None:
        self._api = api
        self._stored = stored
        self._owed: list[str | None] = []

    def add(self, token: str | None) -> None:
        """A session ended here; ``None`` for one in a cookie."""
        self._owed.append(token)

    async def recall(self) -> None:
        """Add what an earlier start, or another tab, could not tell; while nobody is signed in."""
        if not self._owed and await self._stored.owes_sign_out():
            self._owed.append(None)

    def somebody_signed_in(self) -> None:
        """The cookie is another session's by now."""
        self._owed = [token for token in self._owed if token is not None]

    async def tell(self) -> bool:
        """Tell the server what is owed; whether nothing is left."""
        while self._owed:
            if not await self._end(self._owed[0]):
                return False
            self._owed.pop(0)
        if await self._stored.owes_sign_out():
            await self._stored.told()
        return True

    async def _end(self, token: str | None) -> bool:
        try:
            await self._api(token).call("DELETE", "/api/sessions/current")
        except ProblemError as error:
            return error.status in _NO_SESSION
        except TransportError as error:
            logger.warning("signed out here; the server will be told later: %s", error)
            return False
        return True
