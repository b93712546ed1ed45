"""One's own account, kept for reading without network. No secret is in it."""

from __future__ import annotations

from pydantic import ValidationError

from atiha_web.backends.base import Storage
from atiha_web.models import UserAccount
from atiha_web.sync.names import Names
from atiha_web.sync.operation import dump_json
from atiha_web.sync.view_store import write_views

_KEPT = set(UserAccount.model_fields)


class AccountCache:
    """Accounts by user id, as the server last told them. Signing out removes them."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def put(self, user: UserAccount) -> None:
        """Keep what is known of an account; where there is no room, nothing is kept."""
        known = user.model_dump(mode="json", by_alias=True, include=_KEPT, exclude_unset=True)
        await write_views(self._storage, {Names(user.id).account: dump_json(known)})

    async def get(self, user_id: str) -> UserAccount | None:
        """The account, ``None`` where it is not kept."""
        [text] = await self._storage.read([Names(user_id).account])
        try:
            return None if text is None else UserAccount.model_validate_json(text)
        except ValidationError:
            return None
