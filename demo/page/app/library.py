"""The visitor's own lists, as the client knows them at this moment, and how they are changed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .words import left

if TYPE_CHECKING:
    from atiha_web import Client

    from .catalogue import Catalogue, Film

COLLECTIONS = ("watch_history", "watchlist", "favorites", "ratings")
LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Library:
    """The four lists of whoever is signed in.

    Args:
        client: Where they are kept.
        catalogue: Films of these are shown; entries about others are left alone.
        changed: Called after any change, of this page, another tab or another device.
    """

    def __init__(self, client: Client, catalogue: Catalogue, changed: Callable[[], None]) -> None:
        self._client = client
        self._catalogue = catalogue
        self._changed = changed
        self._entries: dict[str, Mapping[str, Any]] = {name: {} for name in COLLECTIONS}

    @property
    def user_id(self) -> str | None:
        """Who is signed in."""
        return self._client.user_id

    def watchers(self) -> list[Coroutine[Any, Any, None]]:
        """What keeps the lists current, to be run as tasks."""
        return [self._follow(name) for name in COLLECTIONS]

    async def _follow(self, collection: str) -> None:
        async for entries in self._client.watch(collection):
            self._entries[collection] = entries
            self._changed()

    def entry(self, collection: str, film: Film) -> Any | None:
        """What one list says about a film."""
        return self._entries[collection].get(film.id)

    def films(self, collection: str) -> list[Film]:
        """The films of a list, the latest change first."""
        return self._catalogue.known(_latest_first(self._entries[collection].values()))

    def unfinished(self) -> list[Film]:
        """The films to continue with, the last watched first."""
        history = self._entries["watch_history"].values()
        started = [entry for entry in history if entry.progress > 0 and not entry.completed]
        return self._catalogue.known(_latest_first(started))

    def watched_percent(self, film: Film) -> float:
        """How much of a film was seen, 0 to 100."""
        entry = self.entry("watch_history", film)
        if entry is None:
            return 0.0
        return 100.0 if entry.completed else min(100 * entry.progress / film.seconds, 100.0)

    def time_left(self, film: Film) -> str:
        """What remains of a film that was begun, in words; empty for any other."""
        entry = self.entry("watch_history", film)
        if entry is None or entry.completed or not entry.progress:
            return ""
        return left(entry.progress, film.seconds)

    def viewing(self, film: Film) -> str:
        """How far a film was watched, in words; empty if it never was."""
        entry = self.entry("watch_history", film)
        return "" if entry is None else self.time_left(film) or "Watched to the end"

    def review(self, film: Film) -> str:
        """The visitor's review, in quotes; empty if there is none."""
        entry = self.entry("ratings", film)
        return f"“{entry.review}”" if entry is not None and entry.review else ""

    def resume_at(self, film: Film) -> float:
        """Where to go on, in seconds."""
        entry = self.entry("watch_history", film)
        return 0.0 if entry is None or entry.completed else min(entry.progress, film.seconds)

    async def toggle(self, collection: str, film: Film) -> bool:
        """Put a film on the watchlist or among the favorites, or take it off; True if it is on."""
        profiles, user = self._client.profiles, self._client.signed_in.user_id
        listed = self.entry(collection, film) is not None
        if collection == "watchlist":
            add, remove = profiles.add_to_watchlist, profiles.remove_from_watchlist
        else:
            add, remove = profiles.add_favorite, profiles.remove_favorite
        if listed:
            await remove(user, film.id)
        else:
            await add(user, film.id, "movie", film.title)
        return not listed

    async def rate(self, film: Film, rating: int, review: str | None) -> None:
        """Give one to five stars."""
        user = self._client.signed_in.user_id
        await self._client.profiles.add_rating(
            user, film.id, rating, review or None, content_type="movie", title=film.title
        )

    async def unrate(self, film: Film) -> None:
        """Take the rating back."""
        user = self._client.signed_in.user_id
        await self._client.profiles.remove_rating(user, film.id)

    async def save_progress(self, film: Film, position: float, completed: bool) -> None:
        """Remember where the visitor is in a film."""
        user = self._client.signed_in.user_id
        await self._client.profiles.add_to_watch_history(
            user,
            film.id,
            "movie",
            film.title,
            progress=round(position, 1),
            duration=film.seconds,
            completed=completed,
        )


def _latest_first(entries: Iterable[Any]) -> list[str]:
    def changed_at(entry: Any) -> datetime:
        moment = getattr(entry, "watched_at", None) or entry.updated_at
        return moment or LONG_AGO

    return [entry.content_id for entry in sorted(entries, key=changed_at, reverse=True)]
