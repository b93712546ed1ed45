"""What can go wrong while the server starts; requests are answered with problems instead."""

from __future__ import annotations

from atiha_web.errors import AtihaError


class ServerError(AtihaError):
    """The server cannot start or go on; the text says what to do."""


class EmbeddedPostgresError(ServerError):
    """The embedded PostgreSQL cannot be started."""


class DatabaseError(ServerError):
    """The database cannot be reached or prepared."""
