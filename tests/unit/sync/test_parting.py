"""The request a page sends as it is hidden, in what may be its last moment."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from atiha_web.backends.base import Request
from atiha_web.backends.memory import MemoryEnvironment
from atiha_web.collections import BUILT_IN, Registry
from atiha_web.sync.cycle import PARTING_BYTES
from atiha_web.sync.protocol import SyncRequest
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import FakeDevice, FakeServer, ManualClock, answer, slow


class Page:
    """A page in the background of which everything runs, and the last requests it sent."""

    def __init__(self, device: FakeDevice, *, can_part: bool = True) -> None:
        self.sent: list[Request] = []
        self.backend = replace(device.backend(), send_last=self.sent.append if can_part else None)
        self.synchronizer = Synchronizer(
            self.backend,
            Registry(BUILT_IN),
            "ann",
            base_url="https://example.org",
            headers=lambda: {"x-who": "ann"},
            interval=30.0,
        )

    async def rate(self, *keys: str, review: str | None = None) -> None:
        for key in keys:
            await self.synchronizer.write("ratings", key, {"rating": 3, "review": review})

    def signal(self, name: str) -> None:
        assert isinstance(self.backend.environment, MemoryEnvironment)
        self.backend.environment.signal(name)

    def keys_sent(self) -> list[list[str]]:
        """The keys that each of the last requests carried."""
        bodies = [json.loads(request.body or b"") for request in self.sent]
        return [[operation["key"] for operation in body["operations"]] for body in bodies]


OpenPage = Callable[..., Awaitable[Page]]


@pytest.fixture
async def open_page(server: FakeServer, wall: ManualClock) -> AsyncIterator[OpenPage]:
    """Opens pages, each on its own device; the first sync is over unless told otherwise."""
    opened: list[Page] = []

    async def open_(*, can_part: bool = True, synced: bool = True) -> Page:
        page = Page(FakeDevice(server, now_ms=wall), can_part=can_part)
        opened.append(page)
        await page.synchronizer.start()
        if synced:
            async for _ in page.synchronizer.engine.local.changes.follow():
                if page.synchronizer.status().last_sync is not None:
                    break
        return page

    yield open_
    for page in opened:
        await page.synchronizer.stop()


async def test_what_is_pending_is_sent_before_the_handler_returns(open_page: OpenPage) -> None:
    page = await open_page()
    await page.rate("m1", "m2")
    page.signal("hidden")
    assert page.keys_sent() == [["m1", "m2"]]


async def test_the_server_takes_it_and_being_told_again_changes_nothing(
    open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page()
    await page.rate("m1")
    page.signal("hidden")
    (request,) = page.sent
    reply = await server.answer(request)
    before = await server.rows_of("ann", "ratings")
    report = await page.synchronizer.sync()
    assert (reply.status, report.ok, report.sent) == (200, True, 1)
    assert [row["contentId"] for row in before] == ["m1"]
    assert await server.rows_of("ann", "ratings") == before


async def test_it_asks_for_next_to_no_changes_and_says_who_asks(open_page: OpenPage) -> None:
    page = await open_page()
    await page.rate("m1")
    page.signal("hidden")
    (request,) = page.sent
    assert (request.method, request.url) == ("POST", "https://example.org/api/users/ann/sync")
    assert request.headers["x-who"] == "ann"
    assert SyncRequest.model_validate_json(request.body or b"").limit == 1


async def test_a_page_that_is_hidden_and_goes_tells_each_operation_once(
    open_page: OpenPage,
) -> None:
    page = await open_page()
    await page.rate("m1")
    page.signal("hidden")
    await page.rate("m2")
    page.signal("hidden")
    page.signal("hidden")
    assert page.keys_sent() == [["m1"], ["m2"]]


async def test_a_page_that_came_back_tells_again_what_was_not_acknowledged(
    open_page: OpenPage,
) -> None:
    page = await open_page()
    page.backend.transport.reachable = False  # type: ignore[attr-defined]
    await page.rate("m1")
    page.signal("hidden")
    page.signal("visible")
    page.signal("hidden")
    assert page.keys_sent() == [["m1"], ["m1"]]


async def test_what_a_request_carries_is_not_sent_beside_it(
    open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page()
    await page.rate("m1")
    server.fail_next(slow(before=1))
    syncing = asyncio.ensure_future(page.synchronizer.sync())
    await asyncio.sleep(0.5)
    assert page.synchronizer.status().in_flight == 1
    page.signal("hidden")
    assert page.sent == []
    await page.rate("m2")
    page.signal("hidden")
    assert page.keys_sent() == [["m2"]]
    await syncing


async def test_the_oldest_that_fit_into_48_kib_are_sent(open_page: OpenPage) -> None:
    page = await open_page()
    keys = [f"m{number:02}" for number in range(30)]
    await page.rate(*keys, review="x" * 4_000)
    page.signal("hidden")
    (sent,) = page.keys_sent()
    assert sent == keys[: len(sent)]
    size = len(page.sent[0].body or b"")
    assert PARTING_BYTES - 5_000 < size <= PARTING_BYTES


async def test_nothing_is_sent_where_nothing_is_pending(open_page: OpenPage) -> None:
    page = await open_page()
    page.signal("hidden")
    assert page.sent == []


async def test_nothing_is_sent_before_the_servers_clock_is_known(
    open_page: OpenPage, server: FakeServer
) -> None:
    server.fail_next(slow(before=5))
    page = await open_page(synced=False)
    await page.rate("m1")
    page.signal("hidden")
    assert page.sent == []


@pytest.mark.parametrize("status", [401, 403, 426, 503])
async def test_nothing_is_sent_against_what_the_server_said(
    open_page: OpenPage, server: FakeServer, status: int
) -> None:
    page = await open_page()
    await page.rate("m1")
    server.fail_next(*[answer(status)] * 3)
    await page.synchronizer.sync()
    page.signal("hidden")
    assert page.sent == []


async def test_nothing_is_sent_offline(open_page: OpenPage) -> None:
    page = await open_page()
    await page.rate("m1")
    assert isinstance(page.backend.environment, MemoryEnvironment)
    page.backend.environment.set_online(False)
    page.signal("hidden")
    assert page.sent == []


async def test_nothing_is_sent_after_signing_out(open_page: OpenPage) -> None:
    page = await open_page()
    await page.rate("m1")
    await page.synchronizer.stop()
    page.signal("hidden")
    assert page.sent == []


async def test_a_platform_that_cannot_goes_on_without(open_page: OpenPage) -> None:
    page = await open_page(can_part=False)
    await page.rate("m1")
    page.signal("hidden")
    assert page.synchronizer.status().pending == 1
