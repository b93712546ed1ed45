"""The README's first lines as they are printed, in PyScript; test_lab.py runs them in a cell."""

import itertools

import pytest
from playwright.async_api import ConsoleMessage, Page, Route

from demo.pyscript_files import POLICY
from tests.browser.demo_server import DemoServer
from tests.browser.printed import PRINTED, QUICKSTART, printed_quickstart
from tests.browser.viewer import START_MS

PAGE = """<!doctype html><title>Quickstart</title><link rel=icon href=data:,>
<script src="/atiha/serve.js"></script>
<script type="module" src="/pyscript/core/core.js"></script>
<script type="py" src="/quickstart.py" config="/pyscript/pyscript.json" {worker}></script>"""
LONGEST = 15
_numbers = itertools.count()


@pytest.fixture
def address() -> str:
    """An e-mail address nobody has on the server all tests share."""
    return f"quick{next(_numbers)}@example.org"


def test_they_are_at_most_fifteen() -> None:
    assert 0 < sum(bool(line.strip()) for line in QUICKSTART.splitlines()) <= LONGEST


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
