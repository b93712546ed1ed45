"""The connection pool, and a database that is up to date before anyone uses it."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

import asyncpg

from atiha_web.collections import BUILT_IN, Collection
from atiha_web.server import schema
from atiha_web.server.errors import DatabaseError
from atiha_web.server.rows_postgres import PostgresRows

CONNECTIONS = 10
COMMAND_SECONDS = 30.0


class Database:
    """PostgreSQL 14 or newer at ``url``; entering migrates it and opens the pool.

    ``registered_only``: users without an account in this database have no records either.

    Raises:
        DatabaseError: no connection, an unsuitable server, or a name that is taken.
    """

    def __init__(
        self,
        url: str,
        collections: Iterable[Collection] = BUILT_IN,
        connections: int = CONNECTIONS,
        *,
        registered_only: bool = False,
    ) -> None:
        self.url = url
        self._collections = tuple(collections)
        self._connections = connections
        self._registered_only = registered_only
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._rows: PostgresRows | None = None

    @property
    def pool(self) -> asyncpg.Pool[asyncpg.Record]:
        """The open pool."""
        if self._pool is None:
            raise DatabaseError("the database is not open; enter it with `async with` first")
        return self._pool

    @property
    def rows(self) -> PostgresRows:
        """The users' records; one for all, as it counts each user's connections."""
        if self._rows is None:
            raise DatabaseError("the database is not open; enter it with `async with` first")
        return self._rows

    async def __aenter__(self) -> Self:
        await schema.upgrade(self.url, self._collections)
        # After the upgrade, as only new connections have the role's lock timeout.
        self._pool = await asyncpg.create_pool(
            self.url, min_size=1, max_size=self._connections, command_timeout=COMMAND_SECONDS
        )
        self._rows = PostgresRows(self._pool, registered_only=self._registered_only)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pool, self._pool, self._rows = self._pool, None, None
        if pool is not None:
            await pool.close()

    async def ping(self) -> None:
        """Ask the database something; raises what asyncpg raises when it does not answer."""
        await self.pool.fetchval("SELECT 1")
