"""Clients that keep their data in a folder, from connecting to closing."""

import asyncio
import shutil
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import atiha_web
from atiha_web.backends.auto import choose_backend
from atiha_web.backends.base import StorageChange

NOBODY = "http://127.0.0.1:9"
ADA = "ada"


def connect(folder: Path, url: str = NOBODY) -> AbstractAsyncContextManager[atiha_web.Client]:
    return atiha_web.connect(url, user_id=ADA, storage=folder, background=False)


async def test_what_was_written_offline_is_there_after_a_restart(folder: Path) -> None:
    async with connect(folder) as client:
        write = await client.profiles.add_rating(ADA, "42", 5)
        await write.saved("disk")
    async with connect(folder) as client:
        [rating] = await client.profiles.get_ratings(ADA)
        assert (rating.content_id, rating.rating) == ("42", 5)
        assert client.status.pending == 1


async def test_another_client_of_the_folder_shows_it_within_a_second(folder: Path) -> None:
    async with connect(folder) as ours, connect(folder) as other:
        watching = other.watch("ratings")
        assert not await anext(watching)
        await ours.profiles.add_rating(ADA, "42", 5)
        async with asyncio.timeout(1):
            assert "42" in await anext(watching)


async def test_clearing_the_folder_loses_nothing_that_a_running_client_has(folder: Path) -> None:
    async with connect(folder) as client:
        await client.profiles.add_rating(ADA, "42", 5)
        shutil.rmtree(folder)
        backend = await choose_backend(storage=folder, base_url=NOBODY)
        changes: asyncio.Queue[StorageChange] = asyncio.Queue()
        backend.storage.subscribe(changes.put_nowait)
        async with asyncio.timeout(5):
            while not str((await changes.get()).key).startswith("atiha:ada:j:"):
                pass
        backend.close()
    async with connect(folder) as client:
        assert client.status.pending == 1


async def test_a_user_of_another_server_is_somebody_else(folder: Path) -> None:
    async with connect(folder) as client:
        await client.profiles.add_rating(ADA, "42", 5)
    async with connect(folder, "http://127.0.0.1:10") as client:
        assert await client.profiles.get_ratings(ADA) == []
