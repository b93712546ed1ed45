"""What a page keeps when its browser is killed or its storage cleared, and sends as it goes."""

import json
import os
import queue
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, async_playwright

from atiha_web.sync.outcomes import HEADER
from demo.assets import Site
from tests.browser import chromium
from tests.browser.devices import Devices
from tests.browser.servers import OriginServer, RefusingProxy, Request, Response

RUN = """
async (code) => {
    if (!window.pyodide) {
        const { loadPyodide } = await import("/pyodide.mjs");
        window.pyodide = await loadPyodide({ packages: ["atiha-web"] });
    }
    return await window.pyodide.runPythonAsync(code);
}
"""
EMPTY = """
async () => {
    localStorage.clear();
    sessionStorage.clear();
    await new Promise((resolve, reject) => {
        const deletion = indexedDB.deleteDatabase("atiha");
        deletion.onsuccess = resolve;
        // One that was closed is so only once its last transaction has ended.
        const left = new Error("a test left the database open");
        deletion.onblocked = () => setTimeout(reject, 20_000, left);
    });
}
"""
CLOSE = "() => window.pyodide?.runPythonAsync('await client.close()')"
CONNECT = """
import asyncio, json, js
import atiha_web
client = await atiha_web.connect(user_id="ann", background={background})
"""
STARS = """json.dumps([{key: entry.rating for key, entry in client["ratings"].items()},
    client.status.pending, client.status.problems])"""
PATIENCE = 20.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def run(page: Page, code: str) -> Any:
    """Run Python in a page; returns the value of its last expression."""
    return await page.evaluate(RUN, code)


class SyncRoute:
    """Answers like a server that never decides anything; `heard` holds what it was sent."""

    def __init__(self) -> None:
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()

    def __call__(self, request: Request) -> Response:
        self.heard.put(json.loads(request.body))
        reply = {"protocol": 1, "epoch": "e", "cursor": 0, "serverTime": int(time.time() * 1000)}
        return Response(200, json.dumps(reply).encode(), {HEADER: "1"})

    def next_with_operations(self) -> dict[str, Any]:
        """The next request that carries any.

        Raises:
            queue.Empty: none came in time.
        """
        while not (request := self.heard.get(timeout=PATIENCE)).get("operations"):
            pass
        return request


@pytest.fixture
def sync_route(origin_server: OriginServer) -> SyncRoute:
    return SyncRoute()


@pytest.fixture
def app_url(origin_server: OriginServer, site: Site, sync_route: SyncRoute) -> str:
    """The address of a page with the bridge."""
    with ZipFile(site.wheel) as wheel:
        bridge = wheel.read("atiha_web/js/bridge.js")
    head = b'<!doctype html><script src="/atiha/bridge.js"></script>'
    for path, kind, body in (
        ("/atiha/bridge.js", "text/javascript", bridge),
        ("/app", "text/html", head),
        ("/elsewhere", "text/html", b"<!doctype html>"),
    ):
        response = Response(200, body, {"Content-Type": kind})
        origin_server.routes["GET", path] = partial(_same, response)
    origin_server.routes["POST", "/api/users/ann/sync"] = sync_route
    return f"{origin_server.url}/app"


def _same(response: Response, _: Request) -> Response:
    return response


@pytest.fixture
def elsewhere(origin_server: OriginServer, app_url: str) -> str:
    """The address of another page, without any script."""
    return f"{origin_server.url}/elsewhere"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def device(module_devices: Devices) -> BrowserContext:
    """Where the pages of all tests are, but those of a browser that is killed."""
    return await module_devices.new()


@pytest_asyncio.fixture(loop_scope="module")
async def app(device: BrowserContext, app_url: str) -> AsyncIterator[Page]:
    """An open page with empty storage; Python may be there from the test before."""
    page = device.pages[0] if device.pages else await device.new_page()
    if page.url != app_url:
        await page.goto(app_url)
    await page.evaluate(EMPTY)
    yield page
    for other in device.pages:
        if other is not page:
            await other.close()
    if not page.is_closed():
        await page.evaluate(CLOSE)


@asynccontextmanager
async def broken(page: Page, owner: str, name: str, function: str) -> AsyncIterator[None]:
    """Let a method of the browser do something else meanwhile."""
    await page.evaluate(f"() => {{ window.whole = {owner}.{name}; {owner}.{name} = {function} }}")
    try:
        yield
    finally:
        await page.evaluate(f"() => {{ {owner}.{name} = window.whole }}")


# -- a browser that is killed ------------------------------------------------------------------


@asynccontextmanager
async def browser_with(profile: Path, proxy: str) -> AsyncIterator[BrowserContext]:
    """A browser process of its own, which the block may kill."""
    async with async_playwright() as playwright:
        yield await playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium.executable(), args=chromium.flags(proxy)
        )


def process_with(profile: Path) -> int:
    """The process id of the browser that uses a profile."""
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = status.read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"--user-data-dir={profile}" in arguments and "--type=" not in " ".join(arguments):
            return int(status.parent.name)
    raise LookupError(f"no browser uses {profile}")


@contextmanager
def own_profile() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="atiha-profile-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


async def test_a_write_on_the_disk_survives_a_killed_browser(
    app_url: str, refusing_proxy: RefusingProxy
) -> None:
    kills = 3
    found = []
    with own_profile() as profile:
        for number in range(kills + 1):
            async with browser_with(profile, refusing_proxy.url) as context:
                page = await context.new_page()
                await page.goto(app_url)
                await run(page, CONNECT.format(background=False))
                found.append(json.loads(await run(page, STARS)))
                write = f'write = await client.put("ratings", "m{number}", {{"rating": 5}})'
                await run(page, f'{write}\nawait write.saved("disk")')
                os.kill(process_with(profile), signal.SIGKILL)
    assert [pending for _, pending, _ in found] == list(range(kills + 1))
    assert found[-1] == [{f"m{number}": 5 for number in range(kills)}, kills, []]


# -- storage that is cleared -------------------------------------------------------------------


async def test_what_a_user_cleared_with_changes_pending_is_there_after_a_reload(app: Page) -> None:
    await run(app, CONNECT.format(background=False))
    await run(
        app,
        """
        write = await client.put("ratings", "m1", {"rating": 4})
        await write.saved("disk")
        js.localStorage.clear()
        """,
    )
    await app.reload()
    await run(app, CONNECT.format(background=False))
    assert json.loads(await run(app, STARS)) == [{"m1": 4}, 1, []]


async def test_what_another_tab_clears_is_written_again(app: Page, app_url: str) -> None:
    await run(app, CONNECT.format(background=False))
    await run(app, 'await client.put("ratings", "m1", {"rating": 4})')
    other = await app.context.new_page()
    await other.goto(app_url)
    await other.evaluate("localStorage.clear()")
    await run(
        app,
        """
        while not any(":j:" in key for key in js.Object.keys(js.localStorage)):
            await asyncio.sleep(0.05)
        """,
    )


# -- the browser's database --------------------------------------------------------------------


async def test_a_database_that_is_deleted_under_us_is_told(app: Page) -> None:
    await run(app, CONNECT.format(background=False))
    await app.evaluate(
        """() => new Promise((resolve, reject) => {
            const deletion = indexedDB.deleteDatabase("atiha");
            deletion.onsuccess = resolve;
            deletion.onblocked = () => reject(new Error("it is still open"));
        })"""
    )
    told = await run(
        app,
        """
        write = await client.put("ratings", "m1", {"rating": 4})
        try:
            await write.saved("disk")
        except atiha_web.SaveError as error:
            told = str(error)
        json.dumps([told, client.status.problems])
        """,
    )
    refused, (problem,) = json.loads(told)
    assert "the browser's database was deleted" in refused
    assert "the browser's database was deleted" in problem


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("() => { throw new DOMException('no', 'SecurityError') }", "SecurityError: no"),
        ("() => ({})", "did not open within 2 s"),
    ],
    ids=["refused", "silent"],
)
async def test_a_page_without_the_database_works_and_says_so(
    app: Page, function: str, words: str
) -> None:
    async with broken(app, "IDBFactory.prototype", "open", function):
        await run(app, CONNECT.format(background=False))
        await run(app, 'await client.put("ratings", "m1", {"rating": 4})')
        stars, pending, (problem,) = json.loads(await run(app, STARS))
    assert (stars, pending) == ({"m1": 4}, 1)
    assert words in problem


async def test_a_full_database_is_told_and_the_write_is_kept(app: Page) -> None:
    await run(app, CONNECT.format(background=False))
    full = "() => { throw new DOMException('no', 'QuotaExceededError') }"
    async with broken(app, "IDBObjectStore.prototype", "put", full):
        told = await run(
            app,
            """
            write = await client.put("ratings", "m1", {"rating": 4})
            try:
                await write.saved("disk")
            except atiha_web.SaveError as error:
                told = str(error)
            told
            """,
        )
    assert "the browser's database for this site is full" in told
    assert json.loads(await run(app, STARS))[:2] == [{"m1": 4}, 1]


async def test_the_browser_is_asked_once_to_keep_the_data(app: Page) -> None:
    count = "() => { let asked = 0; navigator.storage.persist = async () => (asked += 1) > 0; %s }"
    answer = """
        async for status in client.statuses():
            if status.persisted is not None:
                break
        status.persisted
        """
    answers = []
    for _ in range(2):
        await app.evaluate(count % "")
        await run(app, CONNECT.format(background=False))
        answers.append(await run(app, answer))
        await app.reload()
    assert answers == [True, False]


# -- as the page goes --------------------------------------------------------------------------

WRITE = """
# What is sent is sent because the page goes.
atiha_web.sync.scheduler.DEBOUNCE = atiha_web.sync.scheduler.DEBOUNCE_LAST = 600
async for status in client.statuses():
    if status.last_sync is not None:
        break
for number in range({count}):
    await client.put("ratings", f"m{{number:02}}", {{"rating": 3, "review": {review!r}}})
"""


@pytest.mark.parametrize("leave", ["navigate", "close"])
async def test_a_write_reaches_the_server_though_the_page_goes_at_once(
    app: Page, elsewhere: str, sync_route: SyncRoute, leave: str
) -> None:
    await run(app, CONNECT.format(background=True))
    await run(app, WRITE.format(count=1, review=""))
    await (app.close() if leave == "close" else app.goto(elsewhere))
    request = sync_route.next_with_operations()
    assert [operation["key"] for operation in request["operations"]] == ["m00"]
    assert request["limit"] == 1


async def test_only_the_oldest_that_a_browser_lets_out_are_sent(
    app: Page, elsewhere: str, sync_route: SyncRoute
) -> None:
    await run(app, CONNECT.format(background=True))
    await run(app, WRITE.format(count=30, review="x" * 4_000))
    await app.goto(elsewhere)
    request = sync_route.next_with_operations()
    keys = [operation["key"] for operation in request["operations"]]
    assert keys == [f"m{number:02}" for number in range(len(keys))]
    assert 5 < len(keys) < 13
