"""Locks among all processes that use a folder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from atiha_web.backends.file import disk, locks
from atiha_web.backends.memory import MemoryEnvironment

logger = logging.getLogger("atiha_web")


class FileEnvironment(MemoryEnvironment):
    """Online unless the program says otherwise; the operating system sends no signals."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def lock(self, name: str, timeout: float) -> AbstractAsyncContextManager[bool]:
        """See ``Environment.lock``. A process that dies gives its locks back."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        return self._hold(self._folder / f"{digest[:32]}.lock", timeout)

    @asynccontextmanager
    async def _hold(self, path: Path, patience: float) -> AsyncIterator[bool]:
        async with AsyncExitStack() as stack:
            try:
                disk.make_folder(self._folder)
                held = await stack.enter_async_context(locks.hold(path, patience))
            except OSError as error:
                logger.warning("going on without a lock: %s", disk.storage_error(path, error))
                held = False
            yield held
