"""A tab of the demo for one test after another: to start Python takes longer than most tests."""

import asyncio

from playwright.async_api import expect

from tests.browser.devices import Devices
from tests.browser.viewer import START_MS, Viewer

LEAVE = """
if client.user_id:
    await client.users.logout(pending="discard")
"""


class SharedTab:
    """One tab on one device, as somebody finds it whom nobody here knows.

    Python in it runs on. What a test may find of those before: what a browser caches, and the
    service worker. Who wants a first visit opens a device of their own.
    """

    def __init__(self, devices: Devices, url: str) -> None:
        self._devices = devices
        self._url = url
        self._viewer: Viewer | None = None

    async def enter(self) -> Viewer:
        """The tab that was left in order, else a new one; nobody is signed in."""
        if self._viewer is None:
            self._viewer = await Viewer.at(await self._devices.new(), self._url)
        return self._viewer

    async def leave(self) -> None:
        """Undo what a test did: close its other tabs, let requests through, sign out.

        Where that fails, the next to enter gets a new tab.
        """
        viewer, self._viewer = self._viewer, None
        if viewer is None:
            return
        page, device = viewer.page, viewer.page.context
        for other in device.pages:
            if other is not page:
                await other.close()
        await page.unroute_all()
        await device.set_offline(False)
        async with asyncio.timeout(START_MS / 1000):
            await viewer.python(LEAVE)
        await viewer.go("#/")
        await expect(page.locator(".view.landing")).to_be_visible()
        self._viewer = viewer
