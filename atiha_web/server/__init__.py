"""The server: the HTTP API over PostgreSQL. Needs the ``[server]`` extra."""

from atiha_web.server.app import create_app, router
from atiha_web.server.auth import Caller
from atiha_web.server.database import Database
from atiha_web.server.embedded import EmbeddedPostgres, open_database
from atiha_web.server.errors import DatabaseError, EmbeddedPostgresError, ServerError
from atiha_web.server.problems import Problem
from atiha_web.server.serve import serve

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
