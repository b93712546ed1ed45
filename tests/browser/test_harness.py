"""The fixtures of this folder: a guard that cannot fail would guard nothing."""

import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.browser.demo_server import DemoServer
from tests.browser.devices import Devices
from tests.browser.servers import OriginServer, RefusingProxy, Request, Response


@pytest.mark.parametrize("turn", ["first", "second"])
def test_each_test_in_pyodide_starts_with_empty_storage(selenium: Any, turn: str) -> None:
    databases = "(await indexedDB.databases()).length"
    assert selenium.run_js(f"return [localStorage.length, {databases}]") == [0, 0]
    selenium.run_js(
        f"""
        localStorage.setItem("turn", "{turn}");
        await new Promise(resolve => {{
            const opening = indexedDB.open("turn");
            opening.onsuccess = () => {{ opening.result.close(); resolve(); }};
        }});
        """
    )


def test_a_route_answers_on_the_origin_of_the_page(
    selenium: Any, origin_server: OriginServer
) -> None:
    def double(request: Request) -> Response:
        return Response(201, request.body * 2, {"Atiha-Protocol": "1"})

    origin_server.routes["POST", "/api/double"] = double
    answer = selenium.run_js(
        """
        const reply = await fetch("/api/double?x=1", { method: "POST", body: "ab" });
        return [reply.status, reply.headers.get("Atiha-Protocol"), await reply.text()];
        """
    )
    assert answer == [201, "1", "abab"]
    assert [request.path for request in origin_server.requests] == ["/api/double?x=1"]


def test_a_foreign_request_of_pyodide_is_refused_and_noticed(
    selenium: Any, refusing_proxy: RefusingProxy
) -> None:
    selenium.run_js("await fetch('http://films.example/a', { mode: 'no-cors' })")
    assert refusing_proxy.refused == ["GET http://films.example/a HTTP/1.1"]
    refusing_proxy.refused.clear()


async def test_a_foreign_request_of_a_page_is_refused_and_noticed(
    page: Page, session_origin_server: OriginServer, refusing_proxy: RefusingProxy
) -> None:
    await page.goto(f"{session_origin_server.url}/test.html")
    await page.evaluate("fetch('http://films.example/b', { mode: 'no-cors' })")
    assert refusing_proxy.refused == ["GET http://films.example/b HTTP/1.1"]
    refusing_proxy.refused.clear()


async def test_a_profile_keeps_its_storage(
    devices: Devices, session_origin_server: OriginServer, tmp_path: Path
) -> None:
    url = f"{session_origin_server.url}/test.html"
    device = await devices.new(tmp_path)
    page = await device.new_page()
    await page.goto(url)
    await page.evaluate("localStorage.setItem('kept', 'yes')")
    await device.close()

    page = await (await devices.new(tmp_path)).new_page()
    await page.goto(url)
    assert await page.evaluate("localStorage.getItem('kept')") == "yes"


async def test_two_devices_share_no_storage(
    devices: Devices, session_origin_server: OriginServer
) -> None:
    for _ in range(2):
        page = await (await devices.new()).new_page()
        await page.goto(f"{session_origin_server.url}/test.html")
        assert await page.evaluate("localStorage.length") == 0
        await page.evaluate("localStorage.setItem('mine', 'yes')")


async def test_an_uncaught_error_of_a_page_is_kept(devices: Devices, page: Page) -> None:
    async with page.context.expect_event("weberror"):
        await page.evaluate("setTimeout(() => { throw new Error('lost click') })")
    assert len(devices.errors) == 1
    assert "lost click" in devices.errors.pop()


def status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as reply:  # noqa: S310 - an http URL of this test
        return int(reply.status)


def test_the_demo_server_can_be_stopped_and_started_again(own_demo_server: DemoServer) -> None:
    url = f"{own_demo_server.url}/healthz"
    assert status(url) == 200
    own_demo_server.stop()
    with pytest.raises(urllib.error.URLError, match="refused"):
        status(url)
    own_demo_server.start()
    assert status(url) == 200
