"""The seed's ``UserProfileService``: history, watchlist, favorites and ratings of a user."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from atiha_web.errors import InvalidDataError, NotSignedInError, WrongUserError
from atiha_web.models import (
    ContentType,
    Favorite,
    LocalProfile,
    Rating,
    WatchHistoryEntry,
    WatchlistEntry,
)
from atiha_web.sync.engine import Write
from atiha_web.sync.names import GUEST
from atiha_web.sync.synchronizer import Synchronizer


class UserProfileService:
    """Each write is in local storage when the call returns, and on the server soon after.

    ``user_id`` is the signed-in user's, or ``GUEST`` where the app keeps a guest's data and nobody
    is signed in. Another one raises ``WrongUserError``, nobody signed in ``NotSignedInError``.
    Writes raise ``InvalidDataError`` on bad data and ``StorageFullError`` where there is no room;
    nothing is changed then. Reads never wait for the network, except the very first on a device.
    """

    def __init__(self, current: Callable[[], Synchronizer | None]) -> None:
        self._current = current

    async def add_to_watch_history(
        self,
        /,
        user_id: str,
        content_id: str,
        content_type: ContentType,
        title: str,
        *,
        progress: float = 0.0,
        duration: float | None = None,
        completed: bool = False,
        watched_at: datetime | None = None,
        **more: Any,
    ) -> Write:
        """Note how far a title was watched; ``progress`` and ``duration`` are in seconds."""
        data = {
            "contentType": content_type,
            "title": title,
            "progress": progress,
            "completed": completed,
            **({} if duration is None else {"duration": duration}),
            **({} if watched_at is None else {"watchedAt": watched_at}),
            **more,
        }
        return await self._put(user_id, "watch_history", content_id, data)

    async def get_watch_history(self, user_id: str, limit: int = 50) -> list[WatchHistoryEntry]:
        """What was watched, newest first, at most ``limit`` entries."""
        return await self._list(user_id, "watch_history", limit)

    async def remove_from_watch_history(self, user_id: str, content_id: str) -> Write:
        """Forget that a title was watched."""
        return await self._delete(user_id, "watch_history", content_id)

    async def add_to_watchlist(
        self, /, user_id: str, content_id: str, content_type: ContentType, title: str, **more: Any
    ) -> Write:
        """Keep a title for later; changes nothing where it is kept already."""
        data = {"contentType": content_type, "title": title, **more}
        return await self._put_once(user_id, "watchlist", content_id, data)

    async def remove_from_watchlist(self, user_id: str, content_id: str) -> Write:
        """Take a title off the watchlist; changes nothing where it is not on it."""
        return await self._delete(user_id, "watchlist", content_id)

    async def get_watchlist(self, user_id: str) -> list[WatchlistEntry]:
        """What to watch later, newest first."""
        return await self._list(user_id, "watchlist")

    async def add_favorite(
        self,
        /,
        user_id: str,
        content_id: str,
        content_type: ContentType = "movie",
        title: str = "",
        **more: Any,
    ) -> Write:
        """Love a title; changes nothing where it is loved already."""
        data = {"contentType": content_type, "title": title, **more}
        return await self._put_once(user_id, "favorites", content_id, data)

    async def remove_favorite(self, user_id: str, content_id: str) -> Write:
        """Love a title no more; changes nothing where it was not."""
        return await self._delete(user_id, "favorites", content_id)

    async def get_favorites(self, user_id: str) -> list[Favorite]:
        """The loved titles, newest first."""
        return await self._list(user_id, "favorites")

    async def is_favorite(self, user_id: str, content_id: str) -> bool:
        """Whether a title is loved."""
        synchronizer = self._of(user_id)
        await synchronizer.pulled()
        return synchronizer.is_live("favorites", content_id)

    async def add_rating(
        self,
        /,
        user_id: str,
        content_id: str,
        rating: int,
        review: str | None = None,
        *,
        content_type: ContentType = "movie",
        title: str = "",
        **more: Any,
    ) -> Write:
        """Rate a title from 1 to 5, with an optional review; replaces an earlier rating."""
        data = {"contentType": content_type, "title": title, "rating": rating, **more}
        if review is not None:
            data["review"] = review
        return await self._put(user_id, "ratings", content_id, data)

    async def remove_rating(self, user_id: str, content_id: str) -> Write:
        """Take a rating back; changes nothing where there is none."""
        return await self._delete(user_id, "ratings", content_id)

    async def get_ratings(self, user_id: str) -> list[Rating]:
        """The ratings, newest first."""
        return await self._list(user_id, "ratings")

    async def get_user_profile(self, user_id: str) -> LocalProfile:
        """The profile and everything the user keeps; every write shows in it at once."""
        found = await self._list(user_id, "profile")
        engine = self._of(user_id).engine
        lists = {
            name: list(engine.entries(name).values())
            for name in ("watch_history", "watchlist", "favorites", "ratings")
        }
        own = found[0].model_dump(exclude_unset=True) if found else {}
        return LocalProfile(**{"user_id": user_id, **own, **lists})

    async def update_user_profile(self, /, user_id: str, **changes: Any) -> Write:
        """Change some fields, such as ``display_name`` or ``preferences``; the others stay.

        Each field, and each key of ``preferences``, is synced on its own: two devices that change
        different ones both keep their change. ``None`` clears a field.

        Raises:
            InvalidDataError: a value is wrong, or no field was named; nothing was changed.
        """
        if not changes:
            raise InvalidDataError("name at least one field of the profile to change")
        return await self._put(user_id, "profile", user_id, changes)

    def _of(self, user_id: str) -> Synchronizer:
        current = self._current()
        if current is None or (current.user_id == GUEST != user_id):
            raise NotSignedInError("nobody is signed in: call client.users.login first")
        if current.user_id != user_id:
            raise WrongUserError(f"{user_id!r} is not signed in; {current.user_id!r} is")
        return current

    async def _put(self, user_id: str, name: str, key: str, data: dict[str, Any]) -> Write:
        return await self._of(user_id).write(name, key, data)

    async def _put_once(self, user_id: str, name: str, key: str, data: dict[str, Any]) -> Write:
        synchronizer = self._of(user_id)
        if synchronizer.is_live(name, key):
            return synchronizer.nothing_to_change(name, key)
        return await synchronizer.write(name, key, data)

    async def _delete(self, user_id: str, name: str, key: str) -> Write:
        synchronizer = self._of(user_id)
        if not synchronizer.is_live(name, key):
            return synchronizer.nothing_to_change(name, key)
        return await synchronizer.write(name, key, None)

    async def _list(self, user_id: str, name: str, limit: int | None = None) -> list[Any]:
        synchronizer = self._of(user_id)
        await synchronizer.pulled()
        return list(synchronizer.engine.entries(name, limit).values())
