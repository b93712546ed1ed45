"""The chooser outside of a browser; in one it is tested with the page backend."""

import pytest

from atiha_web.backends.auto import choose_backend, is_in_browser, is_in_page, is_in_worker
from atiha_web.backends.httpx import HttpxTransport
from atiha_web.backends.memory import MemoryStorage
from atiha_web.errors import InvalidDataError


def test_cpython_is_no_browser() -> None:
    assert not is_in_browser()
    assert not is_in_page()
    assert not is_in_worker()


@pytest.mark.parametrize("storage", [None, "memory"])
async def test_cpython_gets_memory_and_httpx(storage: str | None) -> None:
    backend = await choose_backend(storage=storage)
    assert isinstance(backend.storage, MemoryStorage)
    assert isinstance(backend.transport, HttpxTransport)
    backend.close()


async def test_an_unknown_storage_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="'floppy'"):
        await choose_backend(storage="floppy")
