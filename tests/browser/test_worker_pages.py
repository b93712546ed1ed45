"""Which page serves a kernel: one at a time, another when it goes, none once the kernel is gone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright

from demo.assets import Site
from tests.browser.devices import Devices
from tests.browser.kernels import PAGE, add_file, add_older_release, add_routes
from tests.browser.printed import printed_worker
from tests.browser.servers import OriginServer, RefusingProxy
from tests.browser.viewer import START_MS

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPEN = """
from atiha_web.backends.auto import choose_backend
backend = await choose_backend()
heard, signals = [], []
backend.storage.subscribe(lambda change: heard.append((change.key, change.value)))
backend.environment.subscribe(signals.append)
None
"""
BUSY_MS = 8_000
KERNELS = ("kernel", "twin", "third")


WRITE = """
number = 0
while await backend.storage.read(["enough"]) == [None]:
    await backend.storage.write({f"NAME {number}": str(number)})
    number += 1
number
"""
LISTEN = """() => {
    globalThis.writes?.close();
    globalThis.writes = new BroadcastChannel("writes");
    globalThis.written = [];
    writes.onmessage = ({ data }) => written.push(data);
}"""
SPY = """() => {
    const writes = new BroadcastChannel("writes");
    const { setItem } = Storage.prototype;
    Storage.prototype.setItem = function (...pair) {
        writes.postMessage(pair);
        return setItem.apply(this, pair);
    };
}"""
IN_BACKGROUND = """
import io, logging, sys
import atiha_web
sys.stdout = sys.stderr = printed = io.StringIO()
logged = []
handler = logging.Handler()
handler.emit = lambda record: logged.append(record.getMessage())
logging.getLogger("atiha_web").addHandler(handler)
logging.getLogger("atiha_web").setLevel("INFO")
client = await atiha_web.connect(user_id="ann", interval=0.5)
await client.profiles.add_favorite("ann", "m1")
None
"""
CLOSE = """
import gc
logging.getLogger("atiha_web").removeHandler(handler)
await client.close()
del client
gc.collect()
sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
words = "no page of this site answers"
heard = [words for message in logged if words in message][:1]
f"Heard {heard[0]!r}, printed {printed.getvalue()!r}"
"""

LEAVE = """
if "client" in globals():
    await client.close()
    del client
if "backend" in globals():
    backend.close()
"""


def until(condition: str) -> str:
    """Python that waits until a status is so; its value is the status's message."""
    return f"""
async for status in client.statuses():
    if {condition}:
        break
status.message
"""


async def run(page: Page, code: str, kernel: str = "kernel") -> Any:
    """Run Python in a worker of a page, which is started for it."""
    return await page.evaluate(
        "([name, code]) => (globalThis[name] ??= kernels.start()).run(code)", [kernel, code]
    )


async def write(page: Page, key: str, value: str) -> None:
    await run(page, f"await backend.storage.write({{{key!r}: {value!r}}})")


async def spy(owner: Page, serving: list[Page]) -> None:
    """From now on `written`, on the page of the kernels, lists what those serving write."""
    await owner.evaluate(LISTEN)
    for page in serving:
        await page.evaluate(SPY)


async def locks(page: Page, state: str, ending: str) -> int:
    """How many pages and kernels of the origin hold a lock, or wait for it."""
    names: list[str] = await page.evaluate(
        "async (state) => (await navigator.locks.query())[state].map(({ name }) => name)", state
    )
    return len([name for name in names if name.startswith("atiha:") and name.endswith(ending)])


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so; nothing tells when a browser has moved a lock."""
    for _ in range(1_000):
        if await condition():
            return
    raise AssertionError("it has not become so")


async def no_locks(page: Page) -> bool:
    counts = [await locks(page, state, "") for state in ("held", "pending")]
    return counts == [0, 0]


@pytest.fixture(scope="module")
def origin(session_origin_server: OriginServer, site: Site) -> Iterator[OriginServer]:
    """A server of pages with kernels."""
    add_routes(session_origin_server, site)
    yield session_origin_server
    session_origin_server.routes.clear()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def owner(origin: OriginServer, refusing_proxy: RefusingProxy) -> AsyncIterator[Page]:
    """A page with a kernel, which it does not serve itself; Python starts once for all tests."""
    async with async_playwright() as playwright:
        devices = Devices(playwright, refusing_proxy.url)
        page = await (await devices.new()).new_page()
        await page.goto(f"{origin.url}/alone.html")
        await run(page, "None")
        yield page
        await devices.close()
    assert devices.errors == []


OpenPage = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(loop_scope="module")
async def show(owner: Page, origin: OriginServer) -> AsyncIterator[OpenPage]:
    """Opens pages beside `owner`; afterwards they and what they left are gone."""
    opened: list[Page] = []

    async def show_one(path: str = "/serving.html") -> Page:
        opened.append(await owner.context.new_page())
        await opened[-1].goto(origin.url + path)
        await opened[-1].wait_for_function("globalThis.atihaServer", polling=50)
        return opened[-1]

    yield show_one
    for kernel in KERNELS:
        if await owner.evaluate("(name) => name in globalThis", kernel):
            await run(owner, LEAVE, kernel)
    for page in opened:
        await page.close()
    # What a closed page held a busy browser frees later.
    await eventually(lambda: no_locks(owner))
    await owner.evaluate("localStorage.clear()")


@pytest_asyncio.fixture(loop_scope="module")
async def serving(owner: Page, show: OpenPage) -> list[Page]:
    """Two pages: the first serves the kernel of `owner`, the second waits for its turn."""
    first = await show()
    await run(owner, OPEN)
    second = await show()

    async def waits() -> bool:
        return await locks(second, "pending", ":page") == 1

    await eventually(waits)
    return [first, second]


async def test_one_page_serves_and_the_others_wait(owner: Page, serving: list[Page]) -> None:
    assert await locks(owner, "held", ":page") == 1
    assert await locks(owner, "held", ":kernel") == 1


async def test_another_page_takes_over_when_one_is_closed(owner: Page, serving: list[Page]) -> None:
    first, second = serving
    await write(owner, "before", "1")
    await first.close()
    await write(owner, "after", "2")
    found = await second.evaluate("[localStorage.before, localStorage.after]")
    assert found == ["1", "2"]


async def test_another_page_takes_over_when_one_is_reloaded(
    owner: Page, serving: list[Page]
) -> None:
    await serving[0].reload()
    await write(owner, "film", "value")
    assert await owner.evaluate("localStorage.film") == "value"
    assert await locks(owner, "held", ":page") == 1


async def test_another_page_takes_over_when_one_is_frozen(owner: Page, serving: list[Page]) -> None:
    first, second = serving
    session = await owner.context.new_cdp_session(first)
    await session.send("Page.setWebLifecycleState", {"state": "frozen"})
    await spy(owner, serving)
    await write(owner, "film", "frozen")
    await session.send("Page.setWebLifecycleState", {"state": "active"})
    await write(owner, "film", "awake")
    assert await second.evaluate("localStorage.film") == "awake"
    assert await owner.evaluate("written") == [["film", "frozen"], ["film", "awake"]]

    async def waits_again() -> bool:
        return await locks(owner, "pending", ":page") == 1

    await eventually(waits_again)


async def test_a_page_that_hangs_is_replaced_and_changes_nothing_when_it_wakes(
    owner: Page, serving: list[Page]
) -> None:
    first, second = serving
    await second.evaluate(
        """() => {
            globalThis.changes = [];
            addEventListener("storage", ({ key, newValue }) => changes.push([key, newValue]));
        }"""
    )
    await first.evaluate(
        f"""() => void setTimeout(() => {{
            const end = Date.now() + {BUSY_MS};
            while (Date.now() < end);
            globalThis.woke = true;
        }})"""
    )
    # It may still be done by the page that hangs now; then nothing more than once.
    await write(owner, "film", "first")
    await write(owner, "film", "second")
    assert await second.evaluate("localStorage.film") == "second"
    await first.wait_for_function("globalThis.woke", polling=100)
    await write(owner, "film", "third")
    assert await second.evaluate("localStorage.film") == "third"
    assert await second.evaluate("changes") == []


async def test_three_kernels_write_each_thing_once_while_their_page_is_closed(
    owner: Page, serving: list[Page]
) -> None:
    for name in KERNELS[1:]:
        await run(owner, OPEN, name)
    await spy(owner, serving)
    writing = [
        asyncio.create_task(run(owner, WRITE.replace("NAME", name), name)) for name in KERNELS
    ]
    await owner.wait_for_function("written.length > 100", polling=10)
    await serving[0].close()
    before = await owner.evaluate("written.length")
    await owner.wait_for_function(f"written.length > {before} + 100", polling=10)
    await owner.evaluate("localStorage.setItem('enough', 'yes')")
    numbers = await asyncio.gather(*writing)
    written = await owner.evaluate("written")
    for name, number in zip(KERNELS, numbers, strict=True):
        mine = [text for key, text in written if key.startswith(f"{name} ")]
        assert mine == [str(n) for n in range(number)]
    assert await locks(owner, "held", ":page") == len(KERNELS)
    await owner.evaluate("for (const name of ['twin', 'third']) globalThis[name].kill()")
    await owner.evaluate("delete globalThis.twin; delete globalThis.third")

    async def only_the_first_is_left() -> bool:
        counts = [await locks(owner, "held", ending) for ending in (":page", ":kernel")]
        return [*counts, await locks(owner, "pending", "")] == [1, 1, 1]

    await eventually(only_the_first_is_left)


async def test_kernels_that_share_a_page_hear_of_each_others_writes(
    owner: Page, serving: list[Page]
) -> None:
    await run(owner, OPEN, "twin")
    await write(owner, "film", "value")

    async def hears() -> bool:
        return await run(owner, "str(heard)", "twin") == "[('film', 'value')]"

    await eventually(hears)
    assert await run(owner, "str(heard)") == "[]"


async def test_a_page_that_comes_later_is_enough(owner: Page, show: OpenPage) -> None:
    opening = asyncio.create_task(run(owner, OPEN))
    page = await show()
    await opening
    await write(owner, "film", "value")
    assert await page.evaluate("localStorage.film") == "value"


async def test_nothing_is_left_of_a_kernel_that_was_killed(owner: Page, show: OpenPage) -> None:
    page = await show()
    session = await owner.context.new_cdp_session(page)

    async def listeners() -> int:
        window = await session.send("Runtime.evaluate", {"expression": "window"})
        of = {"objectId": window["result"]["objectId"]}
        return len((await session.send("DOMDebugger.getEventListeners", of))["listeners"])

    before = await listeners()
    await run(page, OPEN)
    assert await listeners() > before
    await page.evaluate("kernel.kill()")
    await eventually(lambda: no_locks(owner))
    assert await listeners() == before


async def test_nothing_is_left_of_a_backend_that_was_closed(
    owner: Page, serving: list[Page]
) -> None:
    await run(owner, "backend.close()")
    await eventually(lambda: no_locks(owner))


async def test_without_a_page_asking_fails_and_the_status_says_why(
    owner: Page, serving: list[Page]
) -> None:
    for page in serving:
        await page.close()
    told = await run(
        owner,
        """
        from atiha_web.errors import StorageUnavailableError
        try:
            await backend.storage.write({"film": "value"})
        except StorageUnavailableError as error:
            told = f"{error} / {backend.storage_problems()}"
        told
        """,
    )
    assert "no page of this site answers" in told
    assert "('no page of this site answers for its storage now',)" in told
    assert await owner.evaluate("localStorage.length") == 0


async def test_background_work_without_a_page_prints_nothing_and_goes_on_with_the_next(
    owner: Page, serving: list[Page], show: OpenPage
) -> None:
    await run(owner, IN_BACKGROUND)
    for page in serving:
        await page.close()
    await run(owner, until("status.problems"))
    # On a busy machine a cycle may first be ended for making no progress.
    told = await run(owner, until("status.message.startswith('no page of this site')"))
    assert told.startswith("no page of this site answers for its storage: keep the page open")
    await show()
    await run(owner, until("status.state == 'backoff' and not status.problems"))
    assert await run(owner, CLOSE) == "Heard 'no page of this site answers', printed ''"


async def test_kernels_of_two_pages_hear_each_other(owner: Page, serving: list[Page]) -> None:
    other = serving[1]
    await run(other, OPEN)
    await write(other, "film", "value")

    async def hears() -> bool:
        return await run(owner, "str(heard)") == "[('film', 'value')]"

    await eventually(hears)
    assert await run(other, "str(heard)") == "[]"


async def test_a_page_that_loads_the_script_twice_serves_once(owner: Page, show: OpenPage) -> None:
    await show("/twice.html")
    await run(owner, OPEN)
    assert [await locks(owner, state, ":page") for state in ("held", "pending")] == [1, 0]
    assert [await locks(owner, state, ":kernel") for state in ("held", "pending")] == [1, 1]


FOREIGN = """async ([page, name]) => {
    const hello = new BroadcastChannel("atiha-web");
    const channel = new BroadcastChannel(name);
    const answers = [];
    const answered = new Promise((resolve) => {
        channel.onmessage = ({ data }) => {
            if (data?.[0] === "failed" && answers.push(data) === 2) resolve();
        };
    });
    for (const words of [null, 5, "text", {}, [], [null], ["hello"], ["hello", 4, {}], ["x", 4]]) {
        hello.postMessage(words);
        channel.postMessage(words);
    }
    for (const operation of ["constructor", "__proto__"]) {
        channel.postMessage([page, 0, Date.now() + 1000, operation, "x"]);
    }
    await answered;
    return answers.map(([, , error]) => error);
}"""


async def test_what_others_say_on_the_channels_harms_nobody(
    owner: Page, serving: list[Page]
) -> None:
    told = await owner.evaluate_handle(
        """async () => {
            const { held } = await navigator.locks.query();
            const { name } = held.find(({ name }) => name.endsWith(":page"));
            const channel = new BroadcastChannel(name.slice(0, -":page".length));
            const told = { name: channel.name };
            channel.onmessage = ({ data }) => {
                if (data?.[0] === "serving") told.page = data[1];
            };
            return told;
        }"""
    )
    await serving[0].close()
    await owner.wait_for_function("(told) => told.page", arg=told, polling=20)
    page, name = [await told.evaluate(f"(told) => told.{what}") for what in ("page", "name")]
    assert await owner.evaluate(FOREIGN, [page, name]) == ["TypeError", "TypeError"]
    await write(owner, "film", "value")
    assert await owner.evaluate("localStorage.film") == "value"


async def test_the_worker_of_the_readme_keeps_what_it_writes_on_the_page(
    owner: Page, origin: OriginServer, site: Site
) -> None:
    line, worker = printed_worker()
    start = '<script type="module">new Worker("/worker.mjs", { type: "module" })</script>'
    add_file(origin, "/readme.html", PAGE.format(head=line + start), "text/html")
    add_file(origin, "/worker.mjs", worker.replace("/pyodide/", "/"), "text/javascript")
    page = await owner.context.new_page()
    await page.goto(f"{origin.url}/readme.html")
    await page.wait_for_function(
        "Object.values(localStorage).some((text) => text.includes('the-general'))",
        timeout=START_MS,
        polling=100,
    )
    await page.close()
    await owner.evaluate("localStorage.clear()")
    assert site.wheel.name in worker


async def test_a_page_of_another_release_is_named(
    owner: Page, show: OpenPage, origin: OriginServer
) -> None:
    await show(add_older_release(origin))
    told = await run(
        owner,
        """
        from atiha_web.backends.auto import choose_backend
        from atiha_web.errors import PlatformError
        try:
            await choose_backend()
        except PlatformError as error:
            told = str(error)
        told
        """,
    )
    assert told.startswith("the page serves version 1 of atiha_web's serve.js")


async def test_a_worker_that_the_browser_keeps_apart_says_so(owner: Page) -> None:
    told = await run(
        owner,
        """
        from pyodide.code import run_js
        from atiha_web.backends.auto import choose_backend
        from atiha_web.errors import PlatformError
        # As in an opaque origin.
        run_js(
            "navigator.locks.request = async () => {"
            " throw new DOMException('denied', 'SecurityError'); }"
        )
        try:
            await choose_backend()
        except PlatformError as error:
            told = str(error)
        finally:
            run_js("delete navigator.locks.request")
        told
        """,
    )
    assert told.startswith("the browser keeps this worker apart from all pages")
    assert "denied" in told
