"""The chooser outside of a browser; in one it is tested with the page backend."""

from collections.abc import Callable
from pathlib import Path

import pytest

from atiha_web.backends.auto import choose_backend, is_in_browser, is_in_page, is_in_worker
from atiha_web.backends.httpx import HttpxTransport
from atiha_web.backends.memory import MemoryStorage
from atiha_web.errors import InvalidDataError


def test_cpython_is_no_browser() -> None:
    assert not is_in_browser()
    assert not is_in_page()
    assert not is_in_worker()


async def test_cpython_gets_memory_where_it_is_asked_for() -> None:
    backend = await choose_backend(storage="memory")
    assert isinstance(backend.storage, MemoryStorage)
    assert isinstance(backend.transport, HttpxTransport)
    backend.close()


async def test_cpython_keeps_data_in_the_users_folder(user_data: Path) -> None:
    backend = await choose_backend(base_url="https://films.test")
    await backend.storage.write({"key": "value"})
    backend.close()
    [folder] = (user_data / "atiha_web").iterdir()
    assert folder.name.startswith("films.test-443-")


@pytest.mark.parametrize("kind", [Path, str])
async def test_cpython_keeps_data_in_a_folder_of_ones_own(
    tmp_path: Path, kind: Callable[[Path], Path | str]
) -> None:
    for value in (None, "value"):
        backend = await choose_backend(storage=kind(tmp_path / "data"))
        assert await backend.storage.read(["key"]) == [value]
        await backend.storage.write({"key": "value"})
        backend.close()


async def test_two_servers_share_nothing(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:1", "http://127.0.0.1:2"):
        backend = await choose_backend(storage=tmp_path, base_url=url)
        assert await backend.storage.keys("") == []
        await backend.storage.write({"key": "value"})
        backend.close()


async def test_an_unknown_storage_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="'floppy'"):
        await choose_backend(storage="floppy")
