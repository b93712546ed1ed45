"""What the engine's tests share: a collection of an app, and small makers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import Field

from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.collections import Collection
from atiha_web.models import AtihaModel
from atiha_web.sync import hlc
from atiha_web.sync.merge import LastWriteWins, PerField, State
from atiha_web.sync.operation import Operation
from atiha_web.sync.synchronizer import Synchronizer

WRITER = "0123456789ab"
OTHER = "ba9876543210"
NOW = 1_750_000_000_000

OpenTab = Callable[..., Awaitable[Synchronizer]]


class Settings(AtihaModel):
    """Synced field by field."""

    name: str
    color: str | None = None
    size: int | None = None
    preferences: dict[str, Any] = Field(default_factory=dict)


SETTINGS = Collection("settings", Settings, key="name", policy=PerField(nested=("preferences",)))


class Score(AtihaModel):
    """The best result in a game, and in which round it was."""

    game: str
    score: int
    round: int | None = None


class HighestScore(LastWriteWins):
    """A policy as an app may declare it: the best score stays, until it is deleted for good."""

    def merge(self, a: State, b: State) -> State:
        return max(a, b, key=self._rank)

    @staticmethod
    def _rank(state: State) -> tuple[bool, int, str, int]:
        data = state.data or {}
        return state.deleted, data.get("score", 0), state.timestamp, data.get("round", -1)


SCORES = Collection("scores", Score, key="game", policy=HighestScore())


def stamp(ms: int = 0, writer: str = WRITER) -> str:
    """A timestamp ``ms`` after ``NOW``."""
    return hlc.tick(NOW + ms, writer)


def operation(
    number: int,
    key: str = "m1",
    data: dict[str, Any] | None = None,
    *,
    collection: str = "ratings",
    ms: int | None = None,
    writer: str = WRITER,
) -> Operation:
    """An operation; by default a rating of 3."""
    stated = {"rating": 3} if data is None else data
    when = stamp(number if ms is None else ms, writer)
    return Operation(f"{writer}-{number}", collection, key, stated, when)


async def turns(count: int = 50) -> None:
    """Let everything happen that needs no timer."""
    for _ in range(count):
        await asyncio.sleep(0)


def rating(tab: Synchronizer, key: str) -> int | None:
    """The stars a tab shows."""
    state = tab.engine.view("ratings").get(key)
    return None if state is None or state.data is None else int(state.data["rating"])


def queue_of(tab: Synchronizer) -> int:
    """How many operations a tab has pending."""
    return tab.status().pending


class CrashError(Exception):
    """The browser dies here."""


class CrashingStorage(MemoryStorage):
    """Dies at the ``after``-th change of a key: that one is not made."""

    def __init__(self, origin: MemoryOrigin, after: int) -> None:
        super().__init__(origin)
        self.left = after

    async def write(self, changes: Mapping[str, str | None]) -> None:
        for key, value in changes.items():
            if self.left == 0:
                raise CrashError
            self.left -= 1
            await super().write({key: value})
