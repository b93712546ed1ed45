"""Browser contexts for end-to-end tests: each is a device with storage of its own."""

from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Playwright, WebError

from tests.browser import chromium


class Devices:
    """Opens devices in Chromium and keeps what went wrong in their pages.

    `errors` holds uncaught exceptions and refusals by the Content-Security-Policy; a test that
    means to cause one removes it. What pages write to their console is printed, so that pytest
    shows it beside a failure.
    """

    def __init__(self, playwright: Playwright, proxy: str) -> None:
        self.errors: list[str] = []
        self._chromium = playwright.chromium
        self._flags = chromium.flags(proxy)
        self._browser: Browser | None = None
        self._open: list[BrowserContext] = []

    async def new(self, profile: Path | None = None, **options: Any) -> BrowserContext:
        """Open a device.

        Args:
            profile: A folder that keeps the device's storage after it is closed; the browser is
                then a process of its own. Without one all is forgotten.
            **options: What Playwright's `new_context` takes, such as `viewport`.
        """
        if profile is not None:
            context = await self._chromium.launch_persistent_context(
                profile, executable_path=chromium.executable(), args=self._flags, **options
            )
        else:
            if self._browser is None:
                self._browser = await self._chromium.launch(
                    executable_path=chromium.executable(), args=self._flags
                )
            context = await self._browser.new_context(**options)
        context.on("weberror", self._on_error)
        context.on("console", self._on_console)
        self._open.append(context)
        return context

    async def close(self) -> None:
        """Close every device that is still open; new ones may be opened again."""
        while self._open:
            await self._open.pop().close()
        browser, self._browser = self._browser, None
        if browser is not None:
            await browser.close()

    def _on_error(self, error: WebError) -> None:
        self.errors.append(f"{error.error}")

    def _on_console(self, message: ConsoleMessage) -> None:
        print(f"console.{message.type}: {message.text}")  # noqa: T201 - for pytest to capture
        if "Content Security Policy" in message.text:
            self.errors.append(message.text)
