"""What storage and its mirror should both hold, once a browser was killed or storage was cleared.

Pure. Either of the two may be behind: localStorage by seconds, the mirror by one transaction. So
an operation that only one of them holds is taken as pending. At worst the server has it already,
and being told again changes nothing. What must never come back is known by marks, which are kept
in both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from atiha_web.backends.mirror import MirrorPolicy, Recovery
from atiha_web.sync.names import (
    ASIDE,
    FORGOTTEN,
    HEIR_KEY,
    SESSION_KEY,
    SESSION_KEYS,
    SESSION_TIME_KEY,
    UP_TO,
    Names,
    is_view,
)
from atiha_web.sync.signed_in import session_time, session_user

MARK_DAYS = 30
"""How long a mark is kept; a browser has written localStorage to the disk long before."""

_SESSION = frozenset(SESSION_KEYS)
_DAY_MS = 24 * 60 * 60 * 1000
_ENTRY = re.compile(r"atiha:([^:]+):([jq]):(.+)", re.DOTALL)


def is_mirrored(key: str) -> bool:
    """Whether losing ``key`` would lose something that no server has, or who it belongs to."""
    is_kept = _ENTRY.match(key) is not None or key.startswith((FORGOTTEN, ASIDE))
    return is_kept or key in _SESSION or key == HEIR_KEY


def recover(
    keys: Sequence[str], stored: Mapping[str, str], mirrored: Mapping[str, str], now_ms: int
) -> Recovery:
    """Bring storage and mirror together; see ``MirrorPolicy.recover``.

    What storage holds is not overwritten: another tab may just have written it. Exceptions are who
    is signed in, where the mirror knows of a later change, and an entry that is damaged in storage
    and whole in the mirror.
    """
    session = _later_session(stored, mirrored)
    whole = {key: text for key, text in stored.items() if not _is_damaged(key, text, mirrored)}
    known = {key: text for key, text in {**mirrored, **whole}.items() if key not in _SESSION}
    known.update((key, session[key]) for key in _SESSION if key in session)
    marks = _Marks(key.removeprefix(FORGOTTEN) for key in known if key.startswith(FORGOTTEN))
    kept = {key: text for key, text in known.items() if not _is_over(key, known, marks, now_ms)}
    behind = [key for key in stored if key not in kept]
    shown = [*_views(keys, behind), *_of_who_left(keys, stored, kept)]
    return Recovery(
        # What any page can read goes first: once it is known who left, nobody looks for it again.
        storage={**dict.fromkeys(shown), **_changes(stored, kept)},
        mirror=_changes(mirrored, kept),
    )


MIRRORED = MirrorPolicy(prefix="atiha", covers=is_mirrored, recover=recover)


def _is_damaged(key: str, text: str, mirrored: Mapping[str, str]) -> bool:
    """Whether it is nothing that anybody wrote, while the mirror has what somebody did."""
    copy = mirrored.get(key, text)
    return copy != text and _ENTRY.match(key) is not None and _is_json(copy) and not _is_json(text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class _Marks:
    """What was given up; ``in`` takes ``<user>:<operation>``."""

    def __init__(self, marks: Iterable[str]) -> None:
        self._ones = set(marks)
        self._last: dict[str, int] = {}
        for mark in self._ones:
            writer, ranged, last = mark.rpartition(UP_TO)
            if ranged:
                self._last[writer] = max(_number(last), self._last.get(writer, 0))

    def __contains__(self, name: str) -> bool:
        writer, _, number = name.rpartition("-")
        return name in self._ones or 0 < _number(number) <= self._last.get(writer, 0)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _is_over(key: str, known: Mapping[str, str], marks: _Marks, now_ms: int) -> bool:
    if key.startswith(FORGOTTEN):
        return _is_old(known[key], now_ms)
    entry = _ENTRY.match(key)
    if entry is None:
        return False
    user, kind, operation_id = entry.groups()
    if f"{user}:{operation_id}" in marks:
        return True
    # On its way from the journal to quarantine it is in both.
    return kind == "j" and f"atiha:{user}:q:{operation_id}" in known


def _later_session(stored: Mapping[str, str], mirrored: Mapping[str, str]) -> Mapping[str, str]:
    """The one that knows of the later sign-in or sign-out."""
    times = [session_time(each.get(SESSION_TIME_KEY)) for each in (stored, mirrored)]
    return mirrored if times[1] > times[0] else stored


def _views(keys: Sequence[str], behind: Sequence[str]) -> list[str]:
    """The stored views of the users whose entries are behind: they show what was given up."""
    return _views_of(keys, {entry[1] for entry in map(_ENTRY.match, behind) if entry is not None})


def _of_who_left(
    keys: Sequence[str], stored: Mapping[str, str], kept: Mapping[str, str]
) -> list[str]:
    """What any page can read of the user who signed out, as storage has forgotten."""
    before, now = (session_user(each.get(SESSION_KEY)) for each in (stored, kept))
    if before is None or before == now:
        return []
    account = Names(before).account
    return [*_views_of(keys, {before}), *(key for key in keys if key == account)]


def _views_of(keys: Sequence[str], users: Collection[str]) -> list[str]:
    return [key for key in keys if any(is_view(key, user) for user in users)]


def _is_old(text: str, now_ms: int) -> bool:
    return not text.isdecimal() or now_ms - int(text) > MARK_DAYS * _DAY_MS


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str | None]:
    """What makes ``new`` out of ``old``."""
    changes: dict[str, str | None] = {key: None for key in old if key not in new}
    changes.update((key, text) for key, text in new.items() if old.get(key) != text)
    return changes
