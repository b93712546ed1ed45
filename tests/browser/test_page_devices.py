"""One viewer on several devices and in several tabs."""

import pytest
from playwright.async_api import expect

from tests.browser.devices import Devices
from tests.browser.viewer import SYNC_MS, Viewer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_second_device_sees_changes_without_a_reload(
    visitor: Viewer, module_devices: Devices
) -> None:
    email = await visitor.join()
    await visitor.keep("nosferatu-1922")
    await visitor.saved()
    async with await module_devices.new() as device:
        second = await Viewer.at(device, visitor.url)
        await second.login(email)
        await second.go("#/library/watchlist")
        await expect(second.card("nosferatu-1922")).to_be_visible(timeout=SYNC_MS)
        await visitor.keep("faust-1926")
        await expect(second.card("faust-1926")).to_be_visible(timeout=SYNC_MS)


async def test_another_tab_sees_changes_at_once(newcomer: Viewer) -> None:
    second = await Viewer.at(newcomer.page.context, newcomer.url, "#/library/watchlist")
    await expect(second.page.get_by_role("heading", name="Your list is empty")).to_be_visible()
    await newcomer.keep("greed-1924")
    await expect(second.card("greed-1924")).to_be_visible()


async def test_logging_out_in_one_tab_logs_out_the_other(newcomer: Viewer) -> None:
    second = await Viewer.at(newcomer.page.context, newcomer.url)
    await expect(second.page.locator(".view.home")).to_be_visible()
    await newcomer.ask_to_log_out()
    await expect(second.page.locator(".view.landing")).to_be_visible(timeout=SYNC_MS)
