"""How the page starts: at once, with what is known, and honest when it cannot."""

import asyncio
import re

from playwright.async_api import Route, expect

from tests.browser.demo_server import DemoServer
from tests.browser.devices import Devices
from tests.browser.viewer import Viewer


async def test_shows_a_skeleton_and_bytes_while_python_loads(
    devices: Devices, demo_server: DemoServer
) -> None:
    page = await (await devices.new()).new_page()
    arrived = asyncio.Event()

    async def hold(route: Route) -> None:
        await arrived.wait()
        await route.continue_()

    await page.route("**/pyodide.asm.wasm", hold)
    await page.goto(demo_server.url)
    words = page.locator("#boot-words")
    await expect(words).to_have_text(re.compile(r"Loading Python: [1-9]\d*\.\d of \d\.\d MB"))
    await expect(page.locator("#skeleton .bone-card").first).to_be_visible()
    arrived.set()
    await Viewer(page, demo_server.url).started()


async def test_paints_the_last_known_lists_before_python_is_up(
    devices: Devices, demo_server: DemoServer
) -> None:
    # Without a service worker the test can hold the files of Python back.
    device = await devices.new(service_workers="block")
    viewer = await Viewer.at(device, demo_server.url)
    await viewer.register()
    await viewer.keep("nosferatu-1922")
    arrived = asyncio.Event()

    async def hold(route: Route) -> None:
        await arrived.wait()
        await route.continue_()

    await viewer.page.route("**/pyodide.asm.wasm", hold)
    await viewer.page.reload()
    await expect(viewer.page.locator("#boot-rows h2")).to_have_text(["My list"])
    await expect(viewer.card("nosferatu-1922")).to_be_visible()
    arrived.set()
    await viewer.started()


async def test_says_what_failed_and_starts_on_a_second_try(
    devices: Devices, demo_server: DemoServer
) -> None:
    page = await (await devices.new()).new_page()
    await page.route("**/pyodide.asm.wasm", lambda route: route.abort())
    await page.goto(demo_server.url)
    await expect(page.locator("#boot-title")).to_have_text("The film tore")
    await expect(page.locator("#boot-words")).to_contain_text("nothing you saved is lost")
    await page.unroute("**/pyodide.asm.wasm")
    await page.get_by_role("button", name="Try again").click()
    await Viewer(page, demo_server.url).started()
