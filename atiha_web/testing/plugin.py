"""Fixtures for tests of apps, as a pytest plugin: a server in memory, devices and a clock.

Name it in the ``conftest.py`` at the root of your tests; it is no entry point, so that no run loads
it unasked. Needs the ``[pytest]`` extra. ``atiha_web.testing`` shows the fixtures at work.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from atiha_web.client import Client
from atiha_web.collections import Collection
from atiha_web.connecting import connect
from atiha_web.testing.fake_server import FakeDevice, FakeServer, ManualClock
from atiha_web.testing.makers import NewDevice, OpenClient

USER_ID = "ann"
"""Whose data ``atiha_client`` opens, and ``atiha_connect`` unless told otherwise."""


@pytest.fixture
def atiha_clock() -> ManualClock:
    """The wall clock of the server and of every device; stands still until ``advance``.

    Delays, such as those between two tries, go by the event loop and not by this clock.
    """
    return ManualClock()


@pytest.fixture
def atiha_collections() -> Iterable[Collection]:
    """The app's own collections: none. Override it where there are some."""
    return ()


@pytest.fixture
def atiha_server(atiha_clock: ManualClock, atiha_collections: Iterable[Collection]) -> FakeServer:
    """The server, with no data; lets in requests without a token, for any user.

    ``fail_next`` scripts what the next requests meet, ``rows_of`` tells what has arrived.
    """
    return FakeServer(collections=atiha_collections, now_ms=atiha_clock)


@pytest.fixture
def atiha_device(atiha_server: FakeServer, atiha_clock: ManualClock) -> NewDevice:
    """Makes devices of one server: each with storage of its own and a switch for its network.

    What is random on the first, second, … device is the same in every run.
    """
    seeds = count(1)

    def new() -> FakeDevice:
        return FakeDevice(atiha_server, now_ms=atiha_clock, random=random.Random(next(seeds)))  # noqa: S311 - repeatable, and nothing is secret

    return new


@pytest_asyncio.fixture
async def atiha_connect(atiha_collections: Iterable[Collection]) -> AsyncIterator[OpenClient]:
    """Opens clients, of user ``ann`` unless told otherwise, and closes them after the test.

    A second client on one device is another tab, or after ``close()`` the app started again.
    Nothing is sent before ``await client.sync()``, unless ``background=True`` is given.
    """
    defaults = {"user_id": USER_ID, "collections": list(atiha_collections), "background": False}
    async with AsyncExitStack() as opened:

        async def open_(device: FakeDevice, **options: Any) -> Client:
            connecting = connect(backend=device.backend(), **{**defaults, **options})
            return await opened.enter_async_context(connecting)

        yield open_


@pytest.fixture
def atiha_phone(atiha_device: NewDevice) -> FakeDevice:
    """The device of ``atiha_client``."""
    return atiha_device()


@pytest_asyncio.fixture
async def atiha_client(atiha_connect: OpenClient, atiha_phone: FakeDevice) -> Client:
    """A client of user ``ann`` on ``atiha_phone``."""
    return await atiha_connect(atiha_phone)
