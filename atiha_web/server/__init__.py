"""The server: the HTTP API over PostgreSQL.

The names below need the ``[server]`` extra and load it on first use, so that the decisions and the
memory row store run without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atiha_web.server.app import create_app, router
    from atiha_web.server.auth import Caller
    from atiha_web.server.database import Database
    from atiha_web.server.embedded import EmbeddedPostgres, open_database
    from atiha_web.server.errors import DatabaseError, EmbeddedPostgresError, ServerError
    from atiha_web.server.listening import serve
    from atiha_web.server.problems import Problem

_HOMES = {
    "Caller": "auth",
    "Database": "database",
    "DatabaseError": "errors",
    "EmbeddedPostgres": "embedded",
    "EmbeddedPostgresError": "errors",
    "Problem": "problems",
    "ServerError": "errors",
    "create_app": "app",
    "open_database": "embedded",
    "router": "app",
    "serve": "listening",
}

__all__ = [
    "Caller",
    "Database",
    "DatabaseError",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "Problem",
    "ServerError",
    "create_app",
    "open_database",
    "router",
    "serve",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
