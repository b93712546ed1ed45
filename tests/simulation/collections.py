"""The collections of the simulated app: every merge policy, and every way two ends can differ."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from atiha_web.collections import BUILT_IN, Collection, Registry
from atiha_web.models import AtihaModel
from atiha_web.sync.merge import PerField

REFUSED = "n" * 21
"""A text that clients take for good and the server refuses."""
UNREADABLE = "a text that the server cannot even read"
OVERWEIGHT = "a text that is too much for the server"
WHOLE_BATCH = {UNREADABLE: 422, OVERWEIGHT: 413}
"""Texts for which the server refuses the whole batch, and how."""
BAD = frozenset({REFUSED, *WHOLE_BATCH})


class Settings(AtihaModel):
    """Synced field by field."""

    name: str
    color: str | None = None
    size: int | None = None
    preferences: dict[str, Any] = Field(default_factory=dict)


class Note(AtihaModel):
    """A note of any length, as the clients declare it."""

    name: str
    text: str = ""


class ShortNote(AtihaModel):
    """The same as the server declares it."""

    name: str
    text: Annotated[str, Field(max_length=20)] = ""


class OldMemo(AtihaModel):
    """A memo as it was in schema 1."""

    name: str
    text: str = ""


class Memo(AtihaModel):
    """A memo since schema 2."""

    name: str
    body: str = ""


def upgrade_memo(data: dict[str, Any], _: int) -> dict[str, Any]:
    """What was called text is called body now; who has no text is asked by mistake."""
    if "text" not in data:
        raise KeyError("text")
    return {("body" if name == "text" else name): value for name, value in data.items()}


SETTINGS = Collection("settings", Settings, key="name", policy=PerField(nested=("preferences",)))
NOTES = Collection("notes", Note, key="name")
SHORT_NOTES = Collection("notes", ShortNote, key="name")
DRAFTS = Collection("drafts", Note, key="name")
"""The server knows them since its latest release only: until then they wait."""
OLD_MEMOS = Collection("memos", OldMemo, key="name")
MEMOS = Collection("memos", Memo, key="name", schema=2, upgrade=upgrade_memo)

OWN = {1: [SETTINGS, NOTES, DRAFTS, OLD_MEMOS], 2: [SETTINGS, NOTES, DRAFTS, MEMOS]}
"""What the pages of each release declare."""
SERVER = {
    1: Registry([*BUILT_IN, SETTINGS, SHORT_NOTES, OLD_MEMOS]),
    2: Registry([*BUILT_IN, SETTINGS, SHORT_NOTES, MEMOS, DRAFTS]),
}
"""What the server of each release knows."""
LATEST = 2
CLIENT = Registry([*BUILT_IN, *OWN[LATEST]])
