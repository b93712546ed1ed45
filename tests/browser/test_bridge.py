"""Where the page backend finds `bridge.js`, under the Content-Security-Policy of a careful page."""

import re
from typing import Any
from zipfile import ZipFile

import pytest
from playwright.async_api import Page
from pytest_pyodide import run_in_pyodide

from demo.assets import Site
from tests.browser.harness import harness  # noqa: F401 - a fixture
from tests.browser.servers import OriginServer, Response

pytestmark = pytest.mark.usefixtures("harness")

STRICT = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"

BOOT = """
async (code) => {
    const { loadPyodide } = await import("/pyodide.mjs");
    const pyodide = await loadPyodide({ packages: ["atiha-web"] });
    return await pyodide.runPythonAsync(code);
}
"""

WRITE = """
import js
from atiha_web.backends.auto import choose_backend
backend = await choose_backend()
await backend.storage.write({"key": "value"})
backend.close()
js.localStorage.getItem("key")
"""


class Pages:
    """The pages of a server, with the wheel's bridge, an older one and a policy."""

    def __init__(self, server: OriginServer, bridge: bytes) -> None:
        self._server = server
        self._serve("/atiha/bridge.js", bridge, "text/javascript")
        stale = re.sub(rb"VERSION = \d+;", b"VERSION = 0;", bridge)
        self._serve("/stale.js", stale, "text/javascript")

    def show(self, head: str = "", policy: str = STRICT) -> str:
        """The URL of a page with something in its head."""
        html = f"<!doctype html><head>{head}</head>".encode()
        self._serve("/page", html, "text/html", policy)
        return f"{self._server.url}/page"

    def bridges_sent(self) -> int:
        return [request.path for request in self._server.requests].count("/atiha/bridge.js")

    def _serve(self, path: str, body: bytes, kind: str, policy: str = "") -> None:
        headers = {"Content-Type": kind, "Content-Security-Policy": policy}
        response = Response(200, body, headers)
        self._server.routes["GET", path] = lambda _: response


@pytest.fixture
def pages(origin_server: OriginServer, site: Site) -> Pages:
    """Pages on the origin of the page that is open."""
    with ZipFile(site.wheel) as wheel:
        return Pages(origin_server, wheel.read("atiha_web/js/bridge.js"))


@run_in_pyodide(packages=["atiha-web"])
async def load(selenium: Any, page: str, bridge_url: str | None = None) -> str:
    from atiha_web.backends.bridge import load_bridge
    from atiha_web.errors import PlatformError
    from page_harness import Documents

    with Documents() as documents:
        js_window = await documents.page(page)
        try:
            js_bridge = await load_bridge(bridge_url, js_window)
        except PlatformError as error:
            return f"refused: {error}"
        js_bridge.writeAs(None)("key", "value")
        return js_window.localStorage.getItem("key")


async def test_what_is_sent_last_does_not_follow_a_redirect_to_another_origin(
    page: Page, pages: Pages, origin_server: OriginServer
) -> None:
    elsewhere = origin_server.url.replace("127.0.0.1", "localhost")
    to = {"Location": f"{elsewhere}/api/stolen", "Access-Control-Allow-Origin": "*"}
    for method in ("POST", "GET"):
        origin_server.routes[method, "/api/last"] = lambda _: Response(307, b"", to)
        origin_server.routes[method, "/api/stolen"] = lambda _: Response(200, b"", to)
    await page.goto(pages.show('<script src="/atiha/bridge.js"></script>', policy=""))
    headers = '{"content-type": "text/plain"}'
    async with page.expect_event(
        "requestfailed", lambda request: request.url.endswith(("/api/last", "/api/stolen"))
    ):
        await page.evaluate(f"atihaBridge.sendLast('/api/last', 'POST', '{headers}', 'secret')")
    asked = [request.path for request in origin_server.requests]
    assert asked[-1] == "/api/last"
    assert "/api/stolen" not in asked


@pytest.mark.parametrize("kind", ["text/javascript", "module"])
def test_a_bridge_that_the_page_loaded_is_used(selenium: Any, pages: Pages, kind: str) -> None:
    page = pages.show(f'<script type="{kind}" src="/atiha/bridge.js"></script>')
    assert load(selenium, page) == "value"
    assert pages.bridges_sent() == 1


def test_a_bridge_is_loaded_from_its_url(selenium: Any, pages: Pages) -> None:
    assert load(selenium, pages.show(), "atiha/bridge.js") == "value"
    assert pages.bridges_sent() == 1


def test_a_stale_bridge_is_replaced(selenium: Any, pages: Pages) -> None:
    page = pages.show('<script src="/stale.js"></script>')
    assert load(selenium, page, "/atiha/bridge.js") == "value"
    assert pages.bridges_sent() == 1


def test_without_a_policy_it_comes_out_of_the_wheel(selenium: Any, pages: Pages) -> None:
    assert load(selenium, pages.show(policy="")) == "value"
    assert pages.bridges_sent() == 0


def test_a_careful_page_without_it_is_told_what_to_do(selenium: Any, pages: Pages) -> None:
    told = load(selenium, pages.show(), "/missing.js")
    assert re.match(r"refused: bridge\.js of version \d+ could not be loaded", told)
    assert '<script src="/atiha/bridge.js"></script>' in told


async def test_python_writes_under_a_strict_policy(page: Page, pages: Pages) -> None:
    await page.goto(pages.show('<script src="/atiha/bridge.js"></script>'))
    assert await page.evaluate(BOOT, WRITE) == "value"
