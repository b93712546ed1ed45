"""The README's first lines as they are printed, in a notebook and in PyScript."""

import itertools

import pytest
from playwright.async_api import ConsoleMessage, Page, Route

from demo.pyscript_files import POLICY
from tests.browser.demo_server import DemoServer
from tests.browser.devices import Devices
from tests.browser.notebook import Notebook
from tests.browser.printed import PRINTED, printed_blocking, printed_quickstart
from tests.browser.viewer import START_MS

PAGE = """<!doctype html><title>Quickstart</title><link rel=icon href=data:,>
<script src="/atiha/serve.js"></script>
<script type="module" src="/pyscript/core/core.js"></script>
<script type="py" src="/quickstart.py" config="/pyscript/pyscript.json" {worker}></script>"""
_numbers = itertools.count()


@pytest.fixture
def address() -> str:
    """An e-mail address nobody has on the server all tests share."""
    return f"quick{next(_numbers)}@example.org"


async def test_they_run_in_a_cell_of_a_notebook(
    devices: Devices, demo_server: DemoServer, address: str
) -> None:
    notebook = await Notebook.fresh(await devices.new(), demo_server.url)
    said = await notebook.run(printed_quickstart(demo_server.url, address))
    assert said.splitlines() == PRINTED
    said = await notebook.run(printed_blocking(demo_server.url, address))
    assert said == "the-general, Sequel 2"


@pytest.mark.parametrize("worker", ["", "worker"], ids=["page", "worker"])
async def test_the_quickstart_runs_in_pyscript(
    page: Page, demo_server: DemoServer, address: str, worker: str
) -> None:
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        said.extend(message.text.splitlines())

    page.on("console", hear)
    code = printed_quickstart(demo_server.url, address)
    await serve(page, "/quickstart.html", PAGE.format(worker=worker), "text/html")
    await serve(page, "/quickstart.py", f"{code}\nprint('the end')", "text/plain")
    async with page.expect_console_message(
        lambda message: "the end" in message.text, timeout=START_MS
    ):
        await page.goto(f"{demo_server.url}/quickstart.html")
    assert [line for line in said if line in PRINTED] == PRINTED


async def serve(page: Page, path: str, body: str, kind: str) -> None:
    """Answer a GET of the page's context, under the policy of the demo's page for PyScript."""

    async def answer(route: Route) -> None:
        headers = {"Content-Type": kind, "Content-Security-Policy": "; ".join(POLICY)}
        await route.fulfill(body=body, headers=headers)

    await page.context.route(f"**{path}", answer)
