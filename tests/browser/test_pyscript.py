"""PyScript, on the page and in a worker without special headers, keeping one list."""

import pytest
from playwright.async_api import Page, expect

from demo.assets import pins
from demo.pyscript_files import PAGE
from tests.browser.demo_server import DemoServer
from tests.browser.devices import Devices
from tests.browser.viewer import START_MS, Viewer

LONGEST = 15


@pytest.mark.parametrize("name", ["page.py", "reader.py"])
def test_it_takes_no_more_than_fifteen_lines(name: str) -> None:
    lines = (PAGE / name).read_text("utf-8").splitlines()
    assert 0 < sum(bool(line.strip()) for line in lines) <= LONGEST


async def started(page: Page, server: DemoServer) -> None:
    await page.goto(f"{server.url}/pyscript")
    await expect(page.get_by_label("Title of a film")).to_be_enabled(timeout=START_MS)


async def keep(page: Page, title: str) -> None:
    await page.get_by_label("Title of a film").fill(title)
    await page.get_by_role("button", name="Keep").click()
    await expect(page.get_by_label("Title of a film")).to_have_value("")


async def test_the_page_keeps_and_the_worker_marks_and_both_outlive_a_reload(
    page: Page, demo_server: DemoServer
) -> None:
    headers = (await page.context.request.get(f"{demo_server.url}/pyscript/")).headers
    await started(page, demo_server)
    await keep(page, "Nosferatu")
    await keep(page, "<b>Sherlock Jr.")
    marked = page.locator('#films li[data-mark^="★"]')
    await expect(marked).to_have_text(["<b>Sherlock Jr.", "Nosferatu"], timeout=START_MS)
    await page.reload()
    await expect(marked).to_have_text(["<b>Sherlock Jr.", "Nosferatu"], timeout=START_MS)
    assert "cross-origin-embedder-policy" not in headers


async def test_what_was_kept_is_in_postgresql_after_signing_in(
    devices: Devices, demo_server: DemoServer
) -> None:
    device = await devices.new()
    page = await device.new_page()
    await started(page, demo_server)
    await keep(page, "Metropolis")
    await expect(page.locator('#films li[data-mark^="★"]')).to_have_count(1, timeout=START_MS)
    viewer = await Viewer.at(device, demo_server.url)
    await viewer.register()
    await viewer.saved()
    assert [row["contentId"] for row in await viewer.on_server("watchlist")] == ["Metropolis"]
    assert [row["contentId"] for row in await viewer.on_server("ratings")] == ["Metropolis"]


def test_the_release_is_pinned_in_one_place() -> None:
    assert "@pyscript/core" in pins.npm_pins()
