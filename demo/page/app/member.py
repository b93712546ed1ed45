"""Who is signed in, as the page shows it; remembered, so that it is known without a network."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from .browser import window

KEY = "atiha-page-member"


@dataclass(frozen=True)
class Member:
    """A name to greet."""

    id: str
    name: str
    email: str

    @property
    def initial(self) -> str:
        """What stands in the round picture."""
        return self.name[:1].upper() or "A"


def remember(member: Member | None) -> None:
    """Keep it for the next visit; None forgets it. The page works without."""
    try:
        if member is None:
            window.localStorage.removeItem(KEY)
        else:
            window.localStorage.setItem(KEY, json.dumps(asdict(member)))
    except OSError:
        return


def remembered(user_id: str) -> Member:
    """The member of this id, nameless if this device never heard the name."""
    try:
        stored = json.loads(window.localStorage.getItem(KEY) or "{}")
        member = Member(**stored)
    except (TypeError, ValueError):
        return Member(user_id, "", "")
    return member if member.id == user_id else Member(user_id, "", "")
