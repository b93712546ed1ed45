"""The seed's three tests and the offline drain, against the API of this page's own origin."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import js
from pyodide.ffi import can_run_sync
from pyodide.http import pyfetch

import atiha_web
import measures
from atiha_web import Client, Status, SyncConfig, blocking
from atiha_web.backends.base import StorageChange
from atiha_web.testing.contracts.expect import Heard, equal
from page_harness import Documents, override

PASSWORD = "correct horse battery"
MANY = 100
SOON = 0.2
"""Seconds between two periodic synchronisations."""

Scenario = Callable[[], Awaitable[None]]
Cut = Callable[[], AbstractAsyncContextManager[None]]

_emails = (f"viewer{n}.{js.Date.now():.0f}@example.org" for n in itertools.count())


def named(control: str, *, emulation: bool) -> Iterable[Scenario]:
    """All scenarios.

    Args:
        control: The URL of a server that stops and starts the one of this page.
        emulation: Whether the title can ask for the network to be cut off.
    """

    @asynccontextmanager
    async def without_a_server() -> AsyncIterator[None]:
        await pyfetch(f"{control}/stop", method="POST")
        try:
            yield
        finally:
            await pyfetch(f"{control}/start", method="POST")

    async def offline_mode() -> None:
        await stay_offline(lambda: told_offline(without_a_server))

    async def offline_drain() -> None:
        await drain(without_a_server)

    async def emulated_offline_drain() -> None:
        await drain(emulated_offline)

    yield basic_synchronisation
    yield offline_mode
    yield periodic_synchronisation
    yield offline_drain
    if emulation:
        yield emulated_offline_drain
    yield a_page_that_goes_is_told
    yield blocking_calls
    yield blocking_calls_in_a_worker
    yield a_worker_shares_the_storage_of_the_page


async def basic_synchronisation() -> None:
    async with signed_up() as client:
        write = await client.profiles.add_to_watch_history(
            client.signed_in.user_id, "test", "movie", "Test Movie"
        )
        [cached] = stored(f"atiha_watch_history_{client.user_id}")
        equal(cached["contentId"], "test", "the entry in localStorage")
        await write.saved("server")
        [row] = await on_server(client, "watch-history")
        equal((row["contentId"], row["id"]), ("test", cached["id"]), "the row on the server")


async def stay_offline(cut: Cut) -> None:
    async with signed_up() as client:
        await until(client, lambda status: status.last_sync is not None)
        async with cut():
            await client.profiles.add_to_watch_history(
                client.signed_in.user_id, "test", "movie", "Test Movie"
            )
            [queued] = stored("atiha_sync_queue")
            equal(queued["userId"], client.user_id, "whose operation is queued")
            equal(client.status.state, "offline", "the state")
        await until(client, lambda status: status.pending == 0)
        equal(stored("atiha_sync_queue"), [], "the queue after the network came back")
        [row] = await on_server(client, "watch-history")
        equal(row["contentId"], "test", "the row on the server")


async def periodic_synchronisation() -> None:
    async with signed_up() as client:
        config = SyncConfig(
            cache_key="test_sync",
            api_endpoint=f"/api/users/{client.user_id}/watch-history",
            sync_interval=SOON,
        )
        client.service.start_periodic_sync(config)
        first = await synced_after(None)
        equal(stored("atiha_test_sync"), [], "the cached value")
        second = await synced_after(first)
        equal(second > first, True, "whether the second time is later")
        client.service.stop_periodic_sync(config)


async def drain(cut: Cut) -> None:
    """What was written while nothing could be sent arrives, each write once."""
    expected = {f"film-{n:03}": n % 5 + 1 for n in range(MANY)}
    async with signed_up() as client:
        await until(client, lambda status: status.last_sync is not None)
        async with cut():
            for content_id, rating in expected.items():
                await client.profiles.add_rating(client.signed_in.user_id, content_id, rating)
            equal(client.status.pending, MANY, "operations that wait")
            equal((await client.sync()).ok, False, "a sync without a server")
            equal(client.status.pending, MANY, "operations that wait after it")
        await client.sync()
        await until(client, lambda status: status.pending == 0)
        arrived = {row["contentId"]: row["rating"] for row in await on_server(client, "ratings")}
        equal(arrived, expected, "ratings on the server")
        # Every change that took effect counted the user's version up by one.
        equal(await version(client), MANY, "changes that took effect")


async def a_page_that_goes_is_told() -> None:
    with Documents() as documents:
        js_window = await documents.page("empty.html")
        heard = Heard((await documents.backend(js_window)).environment.subscribe)
        js_window.location.replace("empty.html?next")
        equal(await heard.take(1), ["hidden"], "the last signal of a page")


async def blocking_calls() -> None:
    """A page needs nothing for them; here they wait for nothing, in any browser."""
    async with signed_up() as client:
        with blocking.connect(background=False) as blocked:
            blocked.profiles.add_rating(client.signed_in.user_id, "film", 4)
            equal(blocked.status.pending, 1, "operations that wait")
            equal(blocked.sync().ok, True, "a sync")
        [row] = await on_server(client, "ratings")
        equal(row["contentId"], "film", "the rating on the server")


IN_A_WORKER = """
from atiha_web import PlatformError, blocking
try:
    with blocking.connect() as client:
        client.profiles.add_rating(client.user_id, "film", 4).saved("server")
        told = "it works"
except PlatformError as error:
    told = str(error)
told
"""


async def blocking_calls_in_a_worker() -> None:
    """They wait there where the browser lets Python wait, and are refused in words elsewhere."""
    async with signed_up() as client:
        told = await measures.inWorker(IN_A_WORKER)
        rows = await on_server(client, "ratings")
    if can_run_sync():
        equal((told, len(rows)), ("it works", 1), "what the worker tells, and the ratings")
    else:
        equal(told.startswith("a blocking client in a worker needs a browser"), True, told)
        equal(rows, [], "ratings on the server")


SHARES = """
from atiha_web.backends.auto import choose_backend
from atiha_web.testing.contracts.expect import Heard
backend = await choose_backend()
heard = Heard(backend.storage.subscribe)
await backend.storage.write({"atiha_worker": "été 🎬"})
[change] = await heard.take(1)
[again] = await backend.storage.read([change.key])
backend.close()
f"{change.key}: {change.value}, {again}"
"""


async def a_worker_shares_the_storage_of_the_page() -> None:
    """What one writes the other hears of, and finds there."""
    with Documents() as documents:
        backend = await documents.backend(js.window)
        # Python in the worker may take longer to start than news are waited for.
        heard: asyncio.Queue[StorageChange] = asyncio.Queue()
        backend.storage.subscribe(heard.put_nowait)
        telling = asyncio.ensure_future(measures.inWorker(SHARES))
        equal(await heard.get(), StorageChange("atiha_worker", "été 🎬"), "what the page heard")
        equal(js.localStorage.getItem("atiha_worker"), "été 🎬", "what the worker wrote")
        await backend.storage.write({"atiha_page": "written"})
        equal(await telling, "atiha_page: written, written", "what the worker tells")


@asynccontextmanager
async def signed_up() -> AsyncIterator[Client]:
    """A client of somebody new, with the session in the browser's cookie."""
    async with atiha_web.connect() as client:
        await client.users.register_user(email=next(_emails), password=PASSWORD, name="Ada")
        # Without the cookie everything below would only wait.
        equal(await on_server(client, "ratings"), [], "what the server has of somebody new")
        yield client


@asynccontextmanager
async def told_offline(cut: Cut) -> AsyncIterator[None]:
    """The browser says that it is offline, as well as nothing being reachable."""
    async with cut():
        tell_line(online=False)
        yield
    tell_line(online=True)


def tell_line(*, online: bool) -> None:
    override(js.navigator, "onLine", online)
    js.window.dispatchEvent(js.Event.new("online" if online else "offline"))


@asynccontextmanager
async def emulated_offline() -> AsyncIterator[None]:
    """The driver cuts the network off."""
    await ask_driver("offline")
    yield
    await ask_driver("online")


async def ask_driver(signal: str) -> None:
    js_heard = measures.happens(signal)
    js.document.title = f"asks: {signal}"
    equal(await js_heard, True, f"whether the page heard {signal!r}")
    js.document.title = "running"


async def until(client: Client, condition: Callable[[Status], bool]) -> None:
    async with asyncio.timeout(30):
        async for status in client.statuses():
            if condition(status):
                return


async def synced_after(last: str | None) -> str:
    async with asyncio.timeout(30):
        while True:
            time = (stored("atiha_last_sync") or {}).get("test_sync")
            if time is not None and time != last:
                return str(time)
            await asyncio.sleep(SOON / 10)


def stored(key: str) -> Any:
    text = js.localStorage.getItem(key)
    return json.loads(text) if isinstance(text, str) else None


async def on_server(client: Client, path: str) -> list[dict[str, Any]]:
    reply = await pyfetch(f"/api/users/{client.user_id}/{path}")
    reply.raise_for_status()
    [rows] = (await reply.json()).values()
    return list(rows)


async def version(client: Client) -> int:
    """How many changes of this user the server counted."""
    reply = await pyfetch(
        f"/api/users/{client.user_id}/sync",
        method="POST",
        headers={"content-type": "application/json"},
        body=json.dumps({"protocol": 1, "cursor": 0, "operations": [], "limit": 500}),
    )
    reply.raise_for_status()
    return int((await reply.json())["cursor"])
