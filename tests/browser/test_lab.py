"""JupyterLite below /lab, served by the demo."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Route, expect

from tests.browser.demo_server import DemoServer
from tests.browser.devices import Devices
from tests.browser.notebook import START_MS, Notebook
from tests.browser.printed import PRINTED, on_cpython, printed_blocking, printed_quickstart
from tests.browser.viewer import Viewer
from tests.server.fixtures import Account, sign_up

__all__ = ["sign_up"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOIN = """
client = await atiha_web.connect(background=False)
await client.users.register_user(
    email="lab@example.org", password="correct horse battery", name="Ada"
)
client
"""
RATE_AND_WAIT = """
import asyncio
await client.profiles.add_rating(client.user_id, "detour-1945", 4)
while not await client.stored("released"):
    await asyncio.sleep(0.1)
"""
AGAIN = "await client.close(); client = await atiha_web.connect(interval=0.5)"
AGAIN_AND_SHOW = "client = await atiha_web.connect()\nclient"
RATE = """
await client.profiles.add_rating(client.user_id, "charade-1963", 5)
print(client.user_id)
"""
LEAVE = """
client = await atiha_web.connect()
await client.users.logout()
await client.close()
"""
LISTEN = """
import logging
records = []
handler = logging.Handler()
handler.emit = lambda record: records.append(record.getMessage())
logging.getLogger("atiha_web").addHandler(handler)
"""
TELL = """
print(client.status.state, client.status.message)
print(records[0])
"""


class Asked(list[str]):
    """The addresses that anything on a device asks for, workers included."""

    def __init__(self, device: BrowserContext, url: str) -> None:
        super().__init__()
        self._local = (url, "data:", f"blob:{url}")
        device.on("request", lambda request: self.append(request.url))

    def of_others(self) -> list[str]:
        return [address for address in self if not address.startswith(self._local)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fresh(module_devices: Devices, demo_server: DemoServer) -> tuple[Notebook, Asked]:
    """A fresh notebook that tests here share, and all that its device asks for."""
    device = await module_devices.new()
    asked = Asked(device, demo_server.url)
    return await Notebook.fresh(device, demo_server.url), asked


async def test_a_fresh_notebook_connects_without_an_argument_and_asks_nobody_else(
    fresh: tuple[Notebook, Asked],
) -> None:
    notebook, asked = fresh
    code = "import atiha_web; client = await atiha_web.connect(); print(client.status.state)"
    assert await notebook.run(code) == "idle"
    assert asked.of_others() == []
    assert any(address.endswith("pyodide.asm.wasm") for address in asked)


async def test_what_is_shown_of_a_client_changes_while_a_cell_awaits_and_between_cells(
    fresh: tuple[Notebook, Asked],
) -> None:
    notebook, _ = fresh
    await notebook.run(JOIN)
    card = notebook.page.locator(".atiha-status")
    await expect(card).to_contain_text("pending0")
    await expect(card).to_contain_text("M characters")
    rating = asyncio.create_task(notebook.run(RATE_AND_WAIT))
    await expect(card).to_contain_text("pending1")
    assert not rating.done()
    await notebook.page.evaluate("localStorage.setItem('released', 'yes')")
    await rating
    await notebook.run("sending = asyncio.create_task(client.sync())")
    await expect(card).to_contain_text("pending0")
    await notebook.run("await client.close()")
    await expect(card).to_contain_text("this client was closed")


async def test_what_was_rated_without_a_network_is_sent_once_it_is_back(
    fresh: tuple[Notebook, Asked], demo_server: DemoServer
) -> None:
    notebook, _ = fresh
    device = notebook.page.context
    await notebook.run(AGAIN_AND_SHOW)
    card = notebook.page.locator(".atiha-status").last
    await expect(card).to_contain_text("pending0")
    await device.set_offline(True)
    await expect(card).to_contain_text("offline")
    user = await notebook.run(RATE)
    await expect(card).to_contain_text("pending1")
    await device.set_offline(False)
    await expect(card).to_contain_text("pending0")
    reply = await device.request.get(f"{demo_server.url}/api/users/{user}/ratings")
    rows = (await reply.json())["ratings"]
    assert [row["rating"] for row in rows if row["contentId"] == "charade-1963"] == [5]
    await notebook.run("await client.close()")


async def test_what_goes_wrong_in_the_background_is_logged_and_in_no_output(
    fresh: tuple[Notebook, Asked],
) -> None:
    notebook, _ = fresh
    device = notebook.page.context

    async def answer(route: Route) -> None:
        await route.fulfill(status=200, headers={"Atiha-Protocol": "1"}, body="no JSON")

    await device.route("**/sync", answer)
    await notebook.run(AGAIN)
    shown = await notebook.outputs.all_inner_texts()
    await syncs(device, 3)
    assert await notebook.outputs.all_inner_texts() == shown
    await notebook.run(LISTEN)
    await syncs(device, 1)
    told = await notebook.run(TELL)
    await notebook.run("await client.close()")
    await device.unroute("**/sync")
    assert told.startswith("backoff the server's answer cannot be read")
    assert "unreadable reply of the server" in told


async def syncs(device: BrowserContext, number: int) -> None:
    """Return once so many more have been answered."""
    for _ in range(number):
        await device.wait_for_event(
            "requestfinished", predicate=lambda request: request.url.endswith("/sync")
        )


async def test_the_first_lines_of_the_readme_run_in_a_cell(
    fresh: tuple[Notebook, Asked], demo_server: DemoServer
) -> None:
    notebook, _ = fresh
    said = await notebook.run(printed_quickstart(demo_server.url, "first-lines@example.org"))
    assert said.splitlines() == PRINTED


async def test_ten_lines_run_after_pip_install_and_then_on_cpython(
    fresh: tuple[Notebook, Asked],
    demo_server: DemoServer,
    sign_up: Callable[[str], Account],
    tmp_path: Path,
) -> None:
    notebook, asked = fresh
    await notebook.run(LEAVE)
    await notebook.restart()
    assert await notebook.run("import sys; print('atiha_web' in sys.modules)") == "False"
    await notebook.run("%pip install atiha-web")
    printed = await notebook.run("import importlib.metadata as m; print(m.version('atiha-web'))")
    assert printed == "0.1.0"
    lines = printed_blocking(demo_server.url, sign_up(demo_server.url).email)
    assert await notebook.run(lines) == "Sequel 1"
    assert on_cpython(lines, tmp_path) == ["Sequel 1, Sequel 2"]
    assert await notebook.run(lines) == "Sequel 1, Sequel 2, Sequel 3"
    assert asked.of_others() == []


async def test_the_page_leads_to_the_notebook_and_its_service_worker_leaves_it_alone(
    module_devices: Devices, demo_server: DemoServer
) -> None:
    viewer = await Viewer.at(await module_devices.new(), demo_server.url)
    await viewer.page.evaluate("navigator.serviceWorker.ready.then(() => {})")
    await viewer.reload()
    async with viewer.page.expect_popup() as opened:
        await viewer.page.get_by_role("link", name="notebook").click()
    tab = (await opened.value).get_by_role("tab", name="atiha_web.ipynb")
    await expect(tab).to_be_visible(timeout=START_MS)
