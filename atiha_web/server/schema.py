"""Bring a database up to date: tables (Alembic), typed views, and the role's lock timeout."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from pydantic.fields import FieldInfo
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from atiha_web.collections import Collection
from atiha_web.server.errors import DatabaseError

OLDEST_SERVER = 140_000
TABLES = frozenset({"alembic_version", "records", "sync_state", "tokens", "users"})

# One number for everybody who prepares this database: they take turns.
_ADVISORY_LOCK = 0x41544948
_MIGRATIONS = Path(__file__).with_name("migrations")

# Whoever chose another one keeps it.
_SET_LOCK_TIMEOUT = """
DO $$ BEGIN IF (SELECT reset_val FROM pg_settings WHERE name = 'lock_timeout') = '0' THEN
    EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET lock_timeout = %L',
                   current_database(), '2s');
END IF; END $$
"""

_COLUMN_TYPES: dict[object, tuple[str, str]] = {
    str: ("string", "text"),
    bool: ("boolean", "boolean"),
    int: ("number", "numeric"),
    float: ("number", "double precision"),
    datetime: ("string", "timestamptz"),
}


async def upgrade(database_url: str, collections: Iterable[Collection]) -> None:
    """Migrate to the newest schema and declare the views, in one transaction.

    Safe to run any number of times and by several processes at once.

    Raises:
        DatabaseError: no connection, an unsuitable server, or a name that is taken.
    """
    views = [(collection.name, view(collection)) for collection in collections]
    taken = TABLES.intersection(name for name, _ in views)
    if taken:
        raise DatabaseError(f"a collection cannot be called {min(taken)!r}; choose another name")
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(database_url),
        poolclass=NullPool,
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, views)
    except (OSError, ValueError, asyncpg.PostgresError, SQLAlchemyError, CommandError) as error:
        raise DatabaseError(f"cannot prepare the database: {_reason(error)}") from error
    finally:
        await engine.dispose()


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip() or type(error).__name__


def _upgrade(connection: Connection, views: list[tuple[str, str]]) -> None:
    found = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    if found < OLDEST_SERVER:
        raise DatabaseError(f"PostgreSQL {found // 10_000} is too old; use 14 or newer")
    connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.exec_driver_sql(_SET_LOCK_TIMEOUT)
    for name, definition in views:
        _declare_view(connection, name, definition)


def _declare_view(connection: Connection, name: str, definition: str) -> None:
    """Replace a view only where it changed, so that what people built on it stays."""
    digest = sha256(definition.encode()).hexdigest()
    found = connection.exec_driver_sql(
        "SELECT obj_description(to_regclass($1)::oid, 'pg_class')", (quote_name(name),)
    ).scalar()
    if found != digest:
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {quote_name(name)}")
        connection.exec_driver_sql(definition)
        connection.exec_driver_sql(f"COMMENT ON VIEW {quote_name(name)} IS '{digest}'")


def view(collection: Collection) -> str:
    """The statement that shows a collection's live records to people, one typed column a field.

    A record is shown as it was stored: under an older ``schema_number`` a field that was renamed
    since is ``NULL`` until somebody writes that record again.
    """
    columns = ",\n    ".join(_columns(collection))
    return (
        f"CREATE VIEW {quote_name(collection.name)} AS SELECT\n    {columns}\n"
        f"FROM records WHERE collection = {_quote_text(collection.name)} AND NOT deleted"
    )


def _columns(collection: Collection) -> Iterator[str]:
    yield "user_id"
    if not collection.single:
        yield f"key AS {quote_name(collection.key)}"
    taken = {
        "user_id",
        collection.key,
        "id",
        "created_at",
        "updated_at",
        "version",
        "schema_number",
    }
    for name, field in collection.model.model_fields.items():
        if name not in taken:
            yield f"{_value(name, field)} AS {quote_name(name)}"
    yield "to_timestamp(('x' || left(timestamp, 12))::bit(48)::bigint / 1000.0) AS updated_at"
    yield "version"
    yield "schema AS schema_number"


def _value(name: str, field: FieldInfo) -> str:
    """The field's value, ``NULL`` where what is stored has another type than the model says."""
    member = _quote_text(field.alias or name)
    known = _COLUMN_TYPES.get(_plain_type(field.annotation))
    if known is None:
        return f"data -> {member}"
    kind, column = known
    return (
        f"CASE jsonb_typeof(data -> {member}) WHEN '{kind}' THEN (data ->> {member})::{column} END"
    )


def _plain_type(annotation: object) -> object:
    """The type behind ``Annotated``, ``Optional`` and ``Literal`` of texts."""
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Annotated:
        return _plain_type(arguments[0])
    if origin in {typing.Union, types.UnionType}:
        others = [item for item in arguments if item is not type(None)]
        return _plain_type(others[0]) if len(others) == 1 else None
    if origin is typing.Literal and all(isinstance(item, str) for item in arguments):
        return str
    return annotation


def quote_name(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _quote_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
