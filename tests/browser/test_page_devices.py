"""One viewer on several devices and in several tabs."""

from playwright.async_api import expect

from tests.browser.demo_server import DemoServer
from tests.browser.devices import Devices
from tests.browser.viewer import SYNC_MS, Viewer


async def test_a_second_device_sees_changes_without_a_reload(
    devices: Devices, demo_server: DemoServer
) -> None:
    first = await Viewer.at(await devices.new(), demo_server.url)
    email = await first.register()
    await first.keep("nosferatu-1922")
    await first.saved()
    second = await Viewer.at(await devices.new(), demo_server.url)
    await second.login(email)
    await second.go("#/library/watchlist")
    await expect(second.card("nosferatu-1922")).to_be_visible(timeout=SYNC_MS)
    await first.keep("faust-1926")
    await expect(second.card("faust-1926")).to_be_visible(timeout=SYNC_MS)


async def test_another_tab_sees_changes_at_once(devices: Devices, demo_server: DemoServer) -> None:
    device = await devices.new()
    first = await Viewer.at(device, demo_server.url)
    await first.register()
    second = await Viewer.at(device, demo_server.url, "#/library/watchlist")
    await expect(second.page.get_by_role("heading", name="Your list is empty")).to_be_visible()
    await first.keep("greed-1924")
    await expect(second.card("greed-1924")).to_be_visible()


async def test_logging_out_in_one_tab_logs_out_the_other(
    devices: Devices, demo_server: DemoServer
) -> None:
    device = await devices.new()
    first = await Viewer.at(device, demo_server.url)
    await first.register()
    second = await Viewer.at(device, demo_server.url)
    await expect(second.page.locator(".view.home")).to_be_visible()
    await first.ask_to_log_out()
    await expect(second.page.locator(".view.landing")).to_be_visible(timeout=SYNC_MS)
