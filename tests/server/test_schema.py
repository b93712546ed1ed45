"""The tables' migrations and the views for people."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import asyncpg
import pytest
from pydantic import BaseModel, Field

from atiha_web.collections import BUILT_IN, Collection
from atiha_web.models import Record
from atiha_web.server import DatabaseError, EmbeddedPostgres
from atiha_web.server.schema import upgrade
from tests.server.fixtures import run

STAMP = "0197a0c3d5e000000123456789ab"
INSERT = """
INSERT INTO records (user_id, collection, key, version, timestamp, deleted, data)
VALUES ('ada', $1, 'm1', 1, $2, false, $3)
"""


class Note(Record):
    """Each kind of field that has a type of its own, and one that has none."""

    slug: str
    text: Annotated[str, Field(max_length=9)] | None = None
    kind: Literal["a", "b"] = "a"
    pages: int | None = None
    weight: float = 0
    done: bool = False
    due_at: datetime | None = None
    tags: list[str] = Field(default_factory=list)
    either: int | str | None = None


NOTES = Collection("notes", Note, key="slug")


async def show(connection: asyncpg.Connection, name: str, data: str) -> dict[str, Any]:
    await connection.execute(INSERT, name, STAMP, data)
    found = await connection.fetchrow(f'SELECT * FROM "{name}"')  # noqa: S608 - our own names
    return dict(found or {})


async def test_a_rating_is_shown_in_columns(connection: asyncpg.Connection) -> None:
    data = '{"rating": 5, "title": "Nosferatu", "contentType": "movie", "review": "!"}'
    assert await show(connection, "ratings", data) == {
        "user_id": "ada",
        "content_id": "m1",
        "content_type": "movie",
        "title": "Nosferatu",
        "rating": 5,
        "review": "!",
        "updated_at": datetime.fromtimestamp(int(STAMP[:12], 16) / 1000, UTC),
        "version": 1,
        "schema_number": 1,
    }


async def test_a_record_of_an_older_schema_is_told_by_its_number(
    connection: asyncpg.Connection, database_url: str
) -> None:
    await upgrade(database_url, [Collection("notes", Note, key="slug", schema=2)])
    shown = await show(connection, "notes", '{"words": "as this field was once called"}')
    assert (shown["text"], shown["schema_number"]) == (None, 1)


async def test_each_type_has_its_column(connection: asyncpg.Connection, database_url: str) -> None:
    await upgrade(database_url, [NOTES])
    data = (
        '{"text": "t", "kind": "b", "pages": 3, "weight": 0.5, "done": true, '
        '"dueAt": "2025-01-06T12:00:00Z", "tags": ["x"], "either": "one"}'
    )
    shown = await show(connection, "notes", data)
    assert shown["slug"] == "m1"
    assert (shown["text"], shown["kind"], shown["done"]) == ("t", "b", True)
    assert (shown["pages"], shown["weight"]) == (3, 0.5)
    assert shown["due_at"] == datetime(2025, 1, 6, 12, tzinfo=UTC)
    assert (shown["tags"], shown["either"]) == ('["x"]', '"one"')


async def test_what_has_another_type_than_declared_shows_as_null(
    connection: asyncpg.Connection, database_url: str
) -> None:
    await upgrade(database_url, [NOTES])
    shown = await show(connection, "notes", '{"pages": "many", "done": 1, "dueAt": 5, "text": []}')
    assert {shown[name] for name in ("pages", "done", "due_at", "text")} == {None}


async def test_deleted_records_are_not_shown(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO records VALUES ('ada', 'ratings', 'm1', 1, $1, true, NULL)", STAMP
    )
    assert await connection.fetch("SELECT * FROM ratings") == []


async def test_a_changed_model_changes_the_view_and_no_other(
    connection: asyncpg.Connection, database_url: str
) -> None:
    class Renamed(BaseModel):
        slug: str
        body: str = ""

    await upgrade(database_url, [NOTES])
    await connection.execute("CREATE VIEW mine AS SELECT * FROM ratings")
    await upgrade(database_url, [*BUILT_IN, Collection("notes", Renamed, key="slug")])
    assert "body" in await show(connection, "notes", '{"body": "b"}')
    assert await connection.fetch("SELECT * FROM mine") == []


async def test_a_reserved_word_can_name_a_collection(
    connection: asyncpg.Connection, database_url: str
) -> None:
    await upgrade(database_url, [Collection("select", Note, key="slug")])
    assert (await show(connection, "select", "{}"))["slug"] == "m1"


@pytest.mark.parametrize("name", ["records", "users", "alembic_version"])
async def test_a_collection_cannot_take_the_name_of_a_table(database_url: str, name: str) -> None:
    with pytest.raises(DatabaseError, match="another name"):
        await upgrade(database_url, [Collection(name, Note, key="slug")])


async def test_somebody_elses_table_is_left_alone(
    connection: asyncpg.Connection, database_url: str
) -> None:
    await connection.execute("CREATE TABLE notes AS SELECT 1 AS precious")
    with pytest.raises(DatabaseError, match="notes"):
        await upgrade(database_url, [NOTES])
    assert await connection.fetchval("SELECT precious FROM notes") == 1


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres) -> Iterable[str]:
    """A database without tables."""
    maintenance = postgres.database_url("postgres")
    run(_execute(maintenance, "CREATE DATABASE empty"))
    yield postgres.database_url("empty")
    run(_execute(maintenance, "DROP DATABASE empty WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    await asyncio.gather(*(upgrade(empty_url, BUILT_IN) for _ in range(4)))
    connection = await asyncpg.connect(empty_url)
    assert await connection.fetchval("SELECT count(*) FROM ratings") == 0
    assert await connection.fetchval("SHOW lock_timeout") == "2s"
    await connection.close()


async def test_a_failed_upgrade_leaves_nothing_half_done(empty_url: str) -> None:
    await _execute(empty_url, "CREATE TABLE users (id int)")
    with pytest.raises(DatabaseError, match="users"):
        await upgrade(empty_url, BUILT_IN)
    connection = await asyncpg.connect(empty_url)
    assert await connection.fetchval("SELECT to_regclass('records')") is None
    await connection.close()


async def test_a_lock_timeout_that_somebody_chose_stays(empty_url: str) -> None:
    await _execute(empty_url, "ALTER ROLE postgres IN DATABASE empty SET lock_timeout = '7s'")
    await upgrade(empty_url, BUILT_IN)
    connection = await asyncpg.connect(empty_url)
    assert await connection.fetchval("SHOW lock_timeout") == "7s"
    await connection.close()


async def test_accounts_and_rows_of_the_first_schema_stay_as_they_are(
    connection: asyncpg.Connection, database_url: str
) -> None:
    await connection.execute("ALTER TABLE records DROP COLUMN schema CASCADE")
    await connection.execute("UPDATE alembic_version SET version_num = '0001'")
    await connection.execute(
        "INSERT INTO users (id, email, name, password_hash) VALUES ('ada', 'a@b.c', 'Ada', '')"
    )
    await connection.execute(INSERT, "ratings", STAMP, '{"rating": 5}')
    await upgrade(database_url, BUILT_IN)
    row = await connection.fetchrow("SELECT key, data, schema FROM records")
    assert tuple(row or ()) == ("m1", '{"rating": 5}', 1)
    assert await connection.fetchval("SELECT epoch <> '' FROM sync_state WHERE user_id = 'ada'")
