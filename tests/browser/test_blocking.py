"""The blocking client in Chromium: on a page, in a worker, and the same script everywhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from playwright.sync_api import Error, Page, Request, sync_playwright

from atiha_web.collections import BUILT_IN
from atiha_web.server import EmbeddedPostgres, create_app
from atiha_web.server.schema import upgrade
from demo.assets import build
from demo.server import COMPRESSED, SCRIPTS
from demo.static_files import StaticFiles
from tests.browser import chromium
from tests.browser.printed import (
    PRINTED,
    on_cpython,
    printed_blocking,
    printed_quickstart,
)
from tests.browser.pythons import open_empty, run_in_worker, run_python, start_python, start_worker
from tests.browser.servers import RefusingProxy
from tests.server.fixtures import PASSWORD, Account, postgres, run, running, sign_up

__all__ = ["postgres", "sign_up"]


@pytest.fixture(scope="module")
def database_url(postgres: EmbeddedPostgres) -> str:
    url = postgres.database_url("postgres")
    run(upgrade(url, BUILT_IN))
    return url


@pytest.fixture(scope="module")
def origin(database_url: str) -> Iterator[str]:
    """The demo over a real database."""
    app = create_app(database_url)
    app.mount("/", StaticFiles(build().root, SCRIPTS, COMPRESSED))
    with running(app) as url:
        yield url


@pytest.fixture(scope="module")
def started(origin: str, refusing_proxy: RefusingProxy) -> Iterator[Page]:
    """A page with Python on its main thread and in a worker, which all tests here share."""
    flags = chromium.flags(refusing_proxy.url)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.executable(), args=flags)
        page = browser.new_page()
        open_empty(page, origin)
        start_python(page)
        start_worker(page)
        yield page
        browser.close()


@pytest.fixture
def python(started: Page) -> Iterator[Page]:
    """The page, on a device where nobody was before."""
    yield started
    started.context.set_offline(False)
    close = "globals().get('client') and client.close()"
    for end in (run_python, run_in_worker):
        end(started, close)
    started.context.clear_cookies()
    started.evaluate(
        """async () => {
          localStorage.clear();
          await new Promise((done) => (indexedDB.deleteDatabase("atiha").onsuccess = done));
        }"""
    )


@pytest.fixture
def ada(origin: str, sign_up: Any) -> Account:
    account: Account = sign_up(origin)
    return account


@pytest.fixture
def log_in(ada: Account) -> str:
    return f"""
from atiha_web import blocking
client = blocking.connect()
ada = client.users.login(email={ada.email!r}, password={PASSWORD!r})
"""


def rows(database_url: str, user: Account, collection: str) -> list[str]:
    """The keys of a collection in PostgreSQL, sorted."""

    async def read() -> list[str]:
        connection = await asyncpg.connect(database_url)
        try:
            query = "SELECT key FROM records WHERE user_id = $1 AND collection = $2 ORDER BY key"
            return [row["key"] for row in await connection.fetch(query, user.id, collection)]
        finally:
            await connection.close()

    return run(read())


def test_the_same_script_runs_everywhere(
    python: Page, origin: str, tmp_path: Path, database_url: str, ada: Account
) -> None:
    script = printed_blocking(origin, ada.email)
    assert on_cpython(script, tmp_path) == ["Sequel 1"]
    assert run_python(python, script, "runPython") == ["Sequel 1, Sequel 2"]
    assert run_in_worker(python, script) == ["Sequel 1, Sequel 2, Sequel 3"]
    everywhere = ["Sequel 1", "Sequel 2", "Sequel 3", "Sequel 4"]
    assert on_cpython(script, tmp_path) == [", ".join(everywhere)]
    assert rows(database_url, ada, "ratings") == everywhere


def test_the_quickstart_runs_in_plain_pyodide(python: Page, origin: str) -> None:
    page, worker = (printed_quickstart(origin, f"{name}@example.org") for name in ("ann", "bob"))
    assert run_python(python, page) == PRINTED
    assert run_in_worker(python, worker) == PRINTED


# -- on a page ---------------------------------------------------------------------------------


def test_a_write_on_a_page_is_in_local_storage_when_the_call_returns(
    python: Page, log_in: str
) -> None:
    look = """
import js
write = client.profiles.add_favorite(ada.id, "m1")
key = f"atiha:{ada.id}:j:{write.operation.id}"
print("m1" in js.localStorage.getItem(key), client.status.pending)
"""
    assert run_python(python, log_in + look, "runPython") == ["True 1"]


def test_calls_ask_by_pyodide_http_and_the_background_by_fetch(python: Page, log_in: str) -> None:
    asked: list[tuple[str, str]] = []

    def note(request: Request) -> None:
        asked.append((request.url.rpartition("/")[2], request.resource_type))

    python.on("request", note)
    run_python(python, log_in, "runPython")
    with python.expect_request_finished(lambda request: request.url.endswith("/sync")):
        run_python(python, "client.profiles.add_favorite(ada.id, 'm1')", "runPython")
    assert asked[0] == ("sessions", "xhr")
    assert set(asked[1:]) == {("sync", "fetch")}
    asked.clear()
    run_python(python, "client.sync()", "runPython")
    python.remove_listener("request", note)
    assert ("sync", "xhr") in asked


def test_a_click_handler_may_block(
    python: Page, log_in: str, ada: Account, database_url: str
) -> None:
    handle = """
import js
from pyodide.ffi.wrappers import add_event_listener

def rate(_):
    client.profiles.add_rating(ada.id, "m1", 4).saved("server")
    js.document.title = f"{client.status.pending} to send"

js.document.body.innerHTML = "<button>Rate</button>"
add_event_listener(js.document.querySelector("button"), "click", rate)
"""
    run_python(python, log_in + handle, "runPython")
    python.get_by_role("button", name="Rate").click()
    assert python.title() == "0 to send"
    assert rows(database_url, ada, "ratings") == ["m1"]


def test_without_network_a_page_keeps_what_was_written(python: Page, log_in: str) -> None:
    run_python(python, log_in, "runPython")
    python.context.set_offline(True)
    write = """
client.profiles.add_favorite(ada.id, "m1")
print(client.sync().ok, client.status.pending)
"""
    assert run_python(python, write, "runPython") == ["False 1"]
    python.context.set_offline(False)
    assert run_python(python, "print(client.sync().ok)", "runPython") == ["True"]


def test_what_a_page_lost_comes_back_although_nobody_could_wait(python: Page, log_in: str) -> None:
    lose = """
import js
client.profiles.add_favorite(ada.id, "m1").saved("disk")
client.close()
for key in [key for key in js.Object.keys(js.localStorage) if ":j:" in key]:
    js.localStorage.removeItem(key)
"""
    without_background = log_in.replace("connect()", "connect(background=False)")
    run_python(python, without_background + lose)
    opened = "client = blocking.connect(background=False)\nprint(client.status.pending)"
    assert run_python(python, opened, "runPython") == ["0"]
    said: list[str] = []
    while said != ["1"]:
        python.evaluate("new Promise(requestAnimationFrame)")
        said = run_python(python, "print(client.status.pending)", "runPython")


def test_what_cannot_be_waited_for_is_refused_with_a_sentence(python: Page, log_in: str) -> None:
    run_python(python, log_in, "runPython")
    write = 'client.profiles.add_favorite(ada.id, "m1").saved("disk")'
    with pytest.raises(Error, match="no call can wait for it here"):
        run_python(python, write, "runPython")
    run_python(python, write, "runPythonAsync")


def test_without_bridge_js_a_page_is_told_what_to_add(python: Page) -> None:
    python.evaluate("globalThis.hidden = atihaBridge; delete globalThis.atihaBridge")
    try:
        with pytest.raises(Error, match=r'<script src="/atiha/bridge\.js"></script>'):
            run_python(python, CONNECT, "runPython")
    finally:
        python.evaluate("globalThis.atihaBridge = hidden")


CONNECT = "from atiha_web import blocking\nblocking.connect()"

# -- in a worker -------------------------------------------------------------------------------


def test_a_worker_blocks_where_the_browser_lets_it_wait(
    python: Page, log_in: str, ada: Account, database_url: str
) -> None:
    work = """
client.profiles.add_rating(ada.id, "m1", 4).saved("disk")
def rate():
    return client.profiles.add_rating(ada.id, "m2", 3)
rate().saved("server")
print(list(client["ratings"]), client.status.pending)
"""
    assert run_in_worker(python, log_in + work) == ["['m2', 'm1'] 0"]
    assert rows(database_url, ada, "ratings") == ["m1", "m2"]


def test_other_tasks_go_on_while_a_worker_asks_again_and_again(python: Page, log_in: str) -> None:
    ask = """
import asyncio
import time

async def work():
    await asyncio.sleep(0)
    return "done"

task = asyncio.ensure_future(work())
until = time.monotonic() + 5
while not task.done() and time.monotonic() < until:
    client.status
print(task.done() and task.result())
"""
    assert run_in_worker(python, log_in + ask) == ["done"]


def test_calls_of_a_worker_ask_by_pyodide_http(python: Page, log_in: str) -> None:
    with python.expect_request(lambda request: request.url.endswith("/sessions")) as asked:
        run_in_worker(python, log_in)
    assert asked.value.resource_type == "xhr"


def test_a_worker_that_may_not_wait_is_refused_with_a_sentence(python: Page) -> None:
    with pytest.raises(Error, match="use the asynchronous client here, await atiha_web"):
        run_in_worker(python, CONNECT, "runPython")
