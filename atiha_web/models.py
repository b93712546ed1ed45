"""The pydantic models of a user's records; JSON is camelCase, Python is snake_case."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator
from pydantic.alias_generators import to_camel

ContentType = Literal["movie", "series", "episode"]
ContentId = Annotated[str, Field(min_length=1, max_length=256)]
Title = Annotated[str, Field(max_length=500)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]


class AtihaModel(BaseModel):
    """Accepts both spellings, keeps fields it does not know, refuses NaN and infinity."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="allow",
        allow_inf_nan=False,
        validate_default=False,
        # Each is built when it is first used: no start waits for all of them.
        defer_build=True,
    )


class Record(AtihaModel):
    """A synced record. The four fields below are filled in on reading and ignored on writing.

    ``id`` is a UUID made of user, collection and key; times are UTC.
    """

    id: str | None = None
    user_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class ContentRecord(Record):
    """A record about one film, series or episode, keyed by ``content_id``."""

    content_id: ContentId
    content_type: ContentType = "movie"
    title: Title = ""


class WatchHistoryEntry(ContentRecord):
    """How far a user watched; ``progress`` and ``duration`` are in seconds.

    ``session`` names one viewing: the timestamp at which it started. ``watched_at`` is the time
    of the last progress unless it was given.
    """

    progress: Seconds = 0.0
    duration: Seconds | None = None
    completed: bool = False
    session: str | None = Field(default=None, pattern=r"^[0-9a-f]{28}$")
    watched_at: datetime | None = None

    @model_validator(mode="after")
    def _watched_when_updated(self) -> Self:
        if self.watched_at is None:
            self.watched_at = self.updated_at
        return self


class WatchlistEntry(ContentRecord):
    """Something to watch later."""


class Favorite(ContentRecord):
    """Something the user loves."""


class Rating(ContentRecord):
    """One to five stars, with an optional review of at most 5,000 characters."""

    rating: Annotated[StrictInt, Field(ge=1, le=5)]
    review: Annotated[str, Field(max_length=5_000)] | None = None


class ProfileFields(AtihaModel):
    """How a user wants the service to be."""

    display_name: Annotated[str, Field(max_length=200)] | None = None
    avatar: Annotated[str, Field(max_length=2_000)] | None = None
    language: Annotated[str, Field(max_length=35)] | None = None
    subtitles: Annotated[str, Field(max_length=35)] | None = None
    autoplay: bool | None = None
    maturity_limit: Annotated[StrictInt, Field(ge=0, le=21)] | None = None
    preferences: dict[str, Any] = {}


class UserProfile(ProfileFields, Record):
    """How a user wants the service to be; each field is synced on its own."""


class LocalProfile(UserProfile):
    """A profile with what the user keeps, newest first, as this device knows it."""

    watch_history: list[WatchHistoryEntry] = []
    watchlist: list[WatchlistEntry] = []
    favorites: list[Favorite] = []
    ratings: list[Rating] = []


RECORDS = (WatchHistoryEntry, WatchlistEntry, Favorite, Rating, UserProfile)
"""What the built-in collections hold."""


class User(AtihaModel):
    """An account, as the server tells it; passwords never leave the server's hash."""

    id: str
    email: str
    name: str
    role: Literal["user", "admin"] = "user"
    created_at: datetime | None = None
    updated_at: datetime | None = None


class UserAccount(ProfileFields, User):
    """An account with its profile, as the server tells it."""
