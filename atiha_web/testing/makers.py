"""The types of the fixtures that are functions; here, because the plugin itself imports pytest."""

from __future__ import annotations

from typing import Any, Protocol

from atiha_web.client import Client
from atiha_web.testing.fake_server import FakeDevice


class NewDevice(Protocol):
    """What ``atiha_device`` is."""

    def __call__(self) -> FakeDevice:
        """One more device, with nothing stored on it."""
        ...


class OpenClient(Protocol):
    """What ``atiha_connect`` is."""

    async def __call__(self, device: FakeDevice, **options: Any) -> Client:
        """Open a client on this device; ``options`` are those of ``atiha_web.connect``."""
        ...
