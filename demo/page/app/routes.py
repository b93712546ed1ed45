"""Addresses of views: the part of the URL after #."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

NAMES = {"home", "browse", "film", "watch", "library", "refused", "login", "register"}


@dataclass(frozen=True)
class Route:
    """A view, what it is about, and its parameters."""

    name: str = "home"
    argument: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def view(self) -> tuple[str, str]:
        """What a change of parameters leaves as it is."""
        return self.name, self.argument


def parse(fragment: str) -> Route:
    """Read an address; one that leads nowhere leads home."""
    path, _, query = fragment.removeprefix("#").partition("?")
    name, _, argument = path.strip("/").partition("/")
    if name not in NAMES:
        return Route()
    return Route(name, argument, dict(parse_qsl(query)))


def address(name: str, argument: str = "", **parameters: str) -> str:
    """Write an address; empty parameters are left out."""
    query = urlencode({key: value for key, value in parameters.items() if value})
    path = "/".join(part for part in (name, argument) if part)
    return f"#/{path}?{query}" if query else f"#/{path}"
