"""CPython: everything in a folder. See ``storage`` for what it promises."""

from __future__ import annotations

import random
from pathlib import Path

from atiha_web.backends.base import Backend, Transport
from atiha_web.backends.file.environment import FileEnvironment
from atiha_web.backends.file.places import data_folder
from atiha_web.backends.file.storage import FileStorage
from atiha_web.backends.memory import random_hex, system_clock

__all__ = [
    "FileEnvironment",
    "FileStorage",
    "data_folder",
    "file_backend",
]


async def file_backend(transport: Transport, folder: Path) -> Backend:
    """A backend that keeps everything in ``folder``, made where it is missing.

    Raises:
        StorageUnavailableError: the folder cannot be read and written.
    """
    storage = await FileStorage.open(folder)
    return Backend(
        storage=storage,
        transport=transport,
        environment=FileEnvironment(folder),
        now_ms=system_clock,
        random=random.random,
        random_hex=random_hex,
        close=storage.close,
    )
