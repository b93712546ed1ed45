"""The one place that asks which platform this is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from atiha_web.backends.base import Backend, Transport
from atiha_web.backends.mirror import MirrorPolicy
from atiha_web.errors import InvalidDataError, PlatformError

if TYPE_CHECKING:
    from atiha_web.backends.runners import Runner

StorageChoice = str | os.PathLike[str]
"""``"memory"``, or a folder."""


def is_in_browser() -> bool:
    """Whether this is Pyodide, in a page or not."""
    return sys.platform == "emscripten"


def is_in_page() -> bool:
    """Whether this is Pyodide on the main thread of a web page."""
    return is_in_browser() and _has_global("window") and _has_global("document")


def is_in_worker() -> bool:
    """Whether this is Pyodide in a worker, such as a notebook's kernel."""
    return is_in_browser() and _has_global("WorkerGlobalScope")


def _has_global(name: str) -> bool:
    import js  # noqa: PLC0415 - exists in Pyodide only

    return hasattr(js, name)


async def choose_backend(
    *,
    storage: StorageChoice | None = None,
    base_url: str = "",
    bridge_url: str | None = None,
    mirror: MirrorPolicy | None = None,
) -> Backend:
    """Open the backend of this platform.

    Args:
        storage: ``"memory"`` keeps nothing beyond this page or process. On CPython a folder, as
            a ``Path`` or as text with a slash in it. By default what the platform has to offer:
            ``window.localStorage`` in a page, that of a page in a worker, the user-data folder on
            CPython.
        base_url: Whose data it is: each server has a folder of its own inside ``storage``.
        bridge_url: Where the page's origin serves ``bridge.js``, for a page; see
            ``bridge.load_bridge``.
        mirror: What a browser keeps a second copy of, as a browser may be killed before its storage
            reaches the disk.

    Raises:
        InvalidDataError: no storage has that name, or ``base_url`` is none.
        StorageUnavailableError: the browser blocks storage, or the folder cannot be read and
            written; ``storage="memory"`` works there.
        PlatformError: there is no backend for this platform, or it cannot be loaded.
    """
    _check(storage)
    # Imported on use: each needs what the other platforms do not have.
    if is_in_page():
        from atiha_web.backends.memory import MemoryStorage  # noqa: PLC0415
        from atiha_web.backends.page import page_backend  # noqa: PLC0415

        memory = MemoryStorage() if storage == "memory" else None
        return await page_backend(storage=memory, bridge_url=bridge_url, mirror=mirror)
    if is_in_worker():
        from atiha_web.backends.memory import MemoryStorage  # noqa: PLC0415
        from atiha_web.backends.worker import worker_backend  # noqa: PLC0415

        memory = MemoryStorage() if storage == "memory" else None
        return await worker_backend(storage=memory, mirror=mirror)
    if is_in_browser():
        raise PlatformError("Pyodide runs outside of a browser here: use CPython instead")
    from atiha_web.backends.httpx import HttpxTransport  # noqa: PLC0415

    return await _cpython_backend(HttpxTransport(), storage, base_url)


def choose_runner() -> Runner:
    """What runs blocking calls on this platform.

    Raises:
        PlatformError: nothing here can run them.
    """
    # Imported on use, as above.
    if is_in_page():
        from atiha_web.backends.browser_runners import PageRunner  # noqa: PLC0415

        return PageRunner()
    if is_in_worker():
        from atiha_web.backends.browser_runners import WorkerRunner  # noqa: PLC0415

        return WorkerRunner()
    from atiha_web.backends.thread_runner import ThreadRunner  # noqa: PLC0415

    return ThreadRunner()


async def _cpython_backend(
    transport: Transport, storage: StorageChoice | None, base_url: str
) -> Backend:
    if storage == "memory":
        from atiha_web.backends.memory import memory_backend  # noqa: PLC0415

        return memory_backend(transport)
    from atiha_web.backends.file import data_folder, file_backend  # noqa: PLC0415

    return await file_backend(transport, data_folder(storage, base_url))


def _check(storage: StorageChoice | None) -> None:
    if storage is None or storage == "memory":
        return
    if is_in_browser():
        raise InvalidDataError("a browser has no folders: give storage='memory' or nothing")
    # A bare word is more likely a misspelt name than a folder.
    if isinstance(storage, str) and not set(storage) & {"/", os.sep}:
        raise InvalidDataError(
            f"no storage is called {storage!r}: give 'memory', nothing, or a folder as a Path or "
            "with a slash in it"
        )
