"""Documents for the contract checks in a worker: each is a kernel of its own to the page.

Runs inside Pyodide, where tests copy it to.
"""

from collections.abc import Iterable
from typing import Any, Self

import js

from atiha_web.backends.base import Backend, Environment, Storage, Transport
from atiha_web.backends.worker import worker_backend
from atiha_web.testing.contracts import (
    ENVIRONMENT_CHECKS,
    QUOTA_CHECKS,
    STORAGE_CHECKS,
    TRANSPORT_CHECKS,
)
from atiha_web.testing.contracts.expect import Heard


class Kernels:
    """As many backends as a check opens; as a context manager."""

    quota = 6_000_000

    def __init__(self, url: str = "", dead_url: str = "") -> None:
        self.url = url
        self.dead_url = dead_url
        self._backends: list[Backend] = []
        self._js_page = js.BroadcastChannel.new("test")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._js_page.close()
        for backend in self._backends:
            backend.close()

    async def backend(self) -> Backend:
        backend = await worker_backend()
        self._backends.append(backend)
        return backend

    async def clear(self) -> None:
        self._js_page.postMessage("clear")

    async def happen(self, environment: Environment, signal: str) -> None:
        """The page cannot say when it has told; what it tells can be heard."""
        heard = Heard(environment.subscribe)
        self._js_page.postMessage(signal)
        await heard.until(signal)
        heard.unsubscribe()


class KernelOrigin(Kernels):
    """For the checks of storage."""

    async def open(self) -> Storage:
        return (await self.backend()).storage


class KernelWorld(Kernels):
    """For the checks of environments."""

    async def open(self) -> Environment:
        return (await self.backend()).environment


class KernelNetwork(Kernels):
    """For the checks of transports."""

    async def open(self) -> Transport:
        return (await self.backend()).transport


KINDS: dict[str, tuple[Any, Iterable[Any]]] = {
    "storage": (KernelOrigin, STORAGE_CHECKS),
    "quota": (KernelOrigin, QUOTA_CHECKS),
    "environment": (KernelWorld, ENVIRONMENT_CHECKS),
    "transport": (KernelNetwork, TRANSPORT_CHECKS),
}


async def run(kind: str, name: str, *urls: str) -> None:
    """One check, by its name."""
    surroundings, checks = KINDS[kind]
    with surroundings(*urls) as origin:
        (check,) = [check for check in checks if check.__name__ == name]
        await check(origin)
