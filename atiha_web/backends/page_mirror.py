"""The mirror of localStorage in the browser's database, IndexedDB, through ``js/bridge.js``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from itertools import chain, islice
from typing import Any, Self

from pyodide.ffi import JsProxy, create_proxy

from atiha_web.errors import StorageError, StorageFullError, StorageUnavailableError

NAME = "atiha"
CHANGES_PER_TRANSACTION = 5_000
"""Browsers bound the number of arguments of one call; none below 65,535."""


class PageMirror:
    """A database with one key for each entry; see ``Mirror``.

    A finished transaction survives a killed browser. One of a few entries takes about 1 ms, of
    which the page's thread spends 0.1 ms.
    """

    def __init__(self, js_bridge: JsProxy, gone: Callable[[str], None]) -> None:
        self._js_gone = create_proxy(gone)
        self._js_mirror = js_bridge.openMirror(NAME, self._js_gone)
        self._closed = False

    @classmethod
    async def open(cls, js_bridge: JsProxy, gone: Callable[[str], None]) -> Self:
        """Open it; ``gone`` is called with a reason if the browser takes it away later.

        Raises:
            StorageError: the browser does not open it.
        """
        mirror = cls(js_bridge, gone)
        opened = False
        try:
            js_failure = await mirror._js_mirror.opened
            if js_failure is not None:
                raise _error(js_failure)
            opened = True
        finally:
            if not opened:
                mirror.close()
        return mirror

    async def read(self) -> dict[str, str]:
        """See ``Mirror.read``."""
        keys, texts = _results(await self._js_mirror.read())
        return dict(zip(keys, texts, strict=True))

    def apply(self, changes: Mapping[str, str | None]) -> Awaitable[None]:
        """See ``Mirror.apply``. More than 5,000 changes are several transactions."""
        pairs = iter(changes.items())
        js_promises = []
        while part := tuple(chain.from_iterable(islice(pairs, CHANGES_PER_TRANSACTION))):
            js_promises.append(self._js_mirror.apply(*part))
        return _settled(js_promises)

    def close(self) -> None:
        """See ``Mirror.close``."""
        if not self._closed:
            self._closed = True
            self._js_mirror.close()
            self._js_gone.destroy()


async def _settled(js_promises: list[Any]) -> None:
    for js_promise in js_promises:
        _results(await js_promise)


def _results(js_outcome: JsProxy) -> Any:
    if not hasattr(js_outcome, "results"):
        raise _error(js_outcome)
    return js_outcome.results.to_py()


def _error(js_failure: JsProxy) -> StorageError:
    if js_failure.name == "QuotaExceededError":
        return StorageFullError("the browser's database for this site is full")
    return StorageUnavailableError(
        f"the browser's database cannot be used ({js_failure.name}: {js_failure.message})"
    )
