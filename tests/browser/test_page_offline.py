"""The page without a network and without a server: nothing is lost, and it says so."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.demo_server import DemoServer
from tests.browser.devices import Devices
from tests.browser.viewer import SYNC_MS, Viewer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def kept_for_offline(viewer: Viewer) -> None:
    """Wait until the service worker has everything."""
    await viewer.page.evaluate("navigator.serviceWorker.ready.then(() => {})")


async def test_changes_made_offline_survive_a_reload_and_arrive_once(newcomer: Viewer) -> None:
    viewer, device = newcomer, newcomer.page.context
    await viewer.saved()
    await kept_for_offline(viewer)
    await device.set_offline(True)
    await viewer.keep("nosferatu-1922")
    await viewer.rate("metropolis-1927", 5)
    await expect(viewer.status).to_have_text("Offline: 2 changes kept on this device")
    await viewer.reload()
    await viewer.rate("detour-1945", 3)
    await viewer.rate("detour-1945", 4)
    await expect(viewer.status).to_have_text(re.compile("Offline: [34] changes kept"))
    await device.set_offline(False)
    await viewer.saved()
    ratings = {row["contentId"]: row["rating"] for row in await viewer.on_server("ratings")}
    assert ratings == {"metropolis-1927": 5, "detour-1945": 4}
    assert [row["contentId"] for row in await viewer.on_server("watchlist")] == ["nosferatu-1922"]


async def test_a_stopped_server_stops_nobody(
    module_devices: Devices, own_demo_server: DemoServer
) -> None:
    viewer = await Viewer.at(await module_devices.new(), own_demo_server.url)
    await viewer.register()
    await viewer.saved()
    await kept_for_offline(viewer)
    own_demo_server.stop()
    await viewer.keep("charade-1963")
    await viewer.reload()
    await expect(viewer.listed).to_have_attribute("aria-pressed", "true")
    await viewer.rate("charade-1963", 5)
    await expect(viewer.status).to_have_text(re.compile("2 changes kept on this device"))
    own_demo_server.start()
    await viewer.page.get_by_role("button", name="Sync now").click()
    await viewer.saved()
    assert [row["contentId"] for row in await viewer.on_server("watchlist")] == ["charade-1963"]
    assert [row["rating"] for row in await viewer.on_server("ratings")] == [5]
    await viewer.page.context.close()


async def test_logging_out_with_unsent_changes_asks_first(visitor: Viewer) -> None:
    viewer, device = visitor, visitor.page.context
    email = await viewer.join()
    await viewer.saved()
    await device.set_offline(True)
    await viewer.keep("wings-1927")
    await viewer.ask_to_log_out()
    dialog = viewer.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("One change is not on the server yet", timeout=SYNC_MS)
    await dialog.get_by_role("button", name="Log out, keep them").click()
    await expect(viewer.page.locator(".view.landing")).to_be_visible()
    await device.set_offline(False)
    await viewer.login(email)
    await viewer.saved()
    assert [row["contentId"] for row in await viewer.on_server("watchlist")] == ["wings-1927"]


async def test_a_question_to_somebody_who_left_in_another_tab_is_taken_back(
    visitor: Viewer,
) -> None:
    viewer, device = visitor, visitor.page.context
    await viewer.join()
    await viewer.saved()
    other = await Viewer.at(device, viewer.url)
    await device.set_offline(True)
    await viewer.keep("wings-1927")
    await viewer.ask_to_log_out()
    dialog = viewer.page.get_by_role("dialog")
    await expect(dialog).to_be_visible(timeout=SYNC_MS)
    await other.ask_to_log_out()
    await other.page.get_by_role("button", name="Throw them away").click(timeout=SYNC_MS)
    await expect(viewer.page.locator(".view.landing")).to_be_visible()
    await expect(dialog).to_have_count(0)
    await device.set_offline(False)
    await other.page.close()
