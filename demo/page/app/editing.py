"""What a change says, as fields that a person can edit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "long", "number", "check", "json"]

FILLED_IN = {"session", "createdAt", "contentType"}
"""Members that no person wrote."""
TITLE = "title"
LONG = {"review"}
LONG_FROM = 60


@dataclass(frozen=True)
class Field:
    """One member of a change: its name, what a person calls it, and how it is edited."""

    name: str
    label: str
    kind: Kind
    text: str


def fields(data: Mapping[str, Any] | None) -> list[Field]:
    """The members that a person may edit; none of a deletion."""
    named = {name: value for name, value in (data or {}).items() if name not in FILLED_IN}
    if TITLE in named:
        # The page wrote it: what the visitor wrote comes first.
        named[TITLE] = named.pop(TITLE)
    return [Field(name, _label(name), *_shown(name, value)) for name, value in named.items()]


def read(field: Field, text: str) -> Any:
    """The value that a person entered; for a "check" the text is "true" or "false".

    Raises:
        ValueError: it is no number, or no JSON, where one is asked for; the text says so.
    """
    if field.kind in ("text", "long"):
        return text
    wanted = "a number" if field.kind == "number" else "JSON"
    try:
        value = json.loads(text)
    except ValueError:
        raise ValueError(f"{field.label}: please enter {wanted}.") from None
    if field.kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{field.label}: please enter {wanted}.")
    return value


def _label(name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ")
    return words[:1].upper() + words[1:].lower()


def _shown(name: str, value: Any) -> tuple[Kind, str]:
    if isinstance(value, bool):
        return "check", json.dumps(value)
    if isinstance(value, int | float):
        return "number", json.dumps(value)
    if isinstance(value, str):
        return ("long" if name in LONG or len(value) > LONG_FROM else "text"), value
    return "json", json.dumps(value, ensure_ascii=False)
