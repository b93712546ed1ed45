"""A collection of an app's own: ten lines, and it syncs, has routes, and is a view in SQL."""

from collections.abc import Iterator

import asyncpg
import pytest

import atiha_web
from atiha_web.backends.httpx import HttpxTransport
from atiha_web.backends.memory import memory_backend
from atiha_web.collections import BUILT_IN
from atiha_web.server import create_app
from tests.server.fixtures import PASSWORD, running


class Note(atiha_web.Record):
    """A note."""

    note_id: str
    text: str
    pinned: bool = False


NOTES = atiha_web.Collection("notes", Note, key="note_id")
ACCOUNT = {"email": "ada@example.test", "password": PASSWORD}


@pytest.fixture
def url(database_url: str) -> Iterator[str]:
    with running(create_app(database_url, collections=[*BUILT_IN, NOTES])) as url:
        yield url


async def test_a_note_syncs_between_devices_and_is_a_typed_row_in_sql(
    url: str, database_url: str
) -> None:
    devices = [
        atiha_web.connect(url, collections=[NOTES], backend=memory_backend(HttpxTransport()))
        for _ in range(2)
    ]
    async with devices[0] as first, devices[1] as second:
        user = await first.users.register_user(**ACCOUNT, name="Ada")
        await (await first.put("notes", "n1", {"text": "Hello", "pinned": True})).saved("server")
        await (await first.put("notes", "n2", {"text": "Gone"})).saved("server")
        await (await first.delete("notes", "n2")).saved("server")
        await second.users.login(**ACCOUNT)
        await second.sync()
        note = second["notes"]["n1"]
        assert isinstance(note, Note)
        assert (note.text, note.pinned) == ("Hello", True)
        assert list(second["notes"]) == ["n1"]
        connection = await asyncpg.connect(database_url)
        [row] = await connection.fetch(
            "SELECT user_id, note_id, text, pinned, pg_typeof(text)::text AS text_type, "
            "pg_typeof(pinned)::text AS pinned_type FROM notes"
        )
        await connection.close()
        assert dict(row) == {
            "user_id": user.id,
            "note_id": "n1",
            "text": "Hello",
            "pinned": True,
            "text_type": "text",
            "pinned_type": "boolean",
        }


async def test_the_seeds_service_knows_its_endpoint_and_key(url: str) -> None:
    made = atiha_web.connect(url, collections=[NOTES], backend=memory_backend(HttpxTransport()))
    async with made as client:
        user = await client.users.register_user(**ACCOUNT, name="Ada")
        endpoint = f"/api/users/{user.id}/notes"
        config = atiha_web.SyncConfig(cache_key=f"notes_{user.id}", api_endpoint=endpoint)
        data = {"noteId": "n1", "text": "Hello"}
        operation = client.service.create_operation("create", endpoint, data)
        await client.service.save(config, [data], operation)
        await client.service.process_sync_queue()
        [row] = await client.service.load(config)
        assert (row["noteId"], row["text"]) == ("n1", "Hello")
