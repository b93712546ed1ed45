"""Somebody who uses the demo's page, in the words of the page."""

import asyncio
import itertools
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, Locator, Page, expect

PASSWORD = "correct horse battery"
START_MS = 60_000
SYNC_MS = 30_000
"""Within this time a change of one device is to be seen on another."""
PYTHON = """
async (code) => {
    const value = await pyodide.runPythonAsync(code);
    return value && value.toJs ? value.toJs({ dict_converter: Object.fromEntries }) : value;
}
"""
NOTHING_PENDING = """
async for status in client.statuses():
    if not status.pending:
        break
"""
_numbers = itertools.count()
# A machine that runs much else at the same time is slow, not wrong.
expect.set_options(timeout=20_000)


class Viewer:
    """One tab of the demo.

    Args:
        page: An empty tab.
        url: The origin of the demo.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    @classmethod
    async def at(cls, device: BrowserContext, url: str, address: str = "#/") -> "Viewer":
        """Open a new tab and wait until it is there."""
        viewer = cls(await device.new_page(), url)
        await viewer.page.goto(f"{url}/{address}")
        await viewer.started()
        return viewer

    async def started(self) -> None:
        """Wait until Python has the page."""
        await expect(self.page.locator("#skeleton")).to_have_count(0, timeout=START_MS)

    async def reload(self) -> None:
        """Load the page anew."""
        await self.page.reload()
        await self.started()

    async def go(self, address: str) -> None:
        """Follow a link inside the page."""
        await self.page.evaluate("address => { location.hash = address }", address)

    async def register(self) -> str:
        """Join as somebody new; returns the email address."""
        email = self._new_email()
        await self.go("#/register")
        await self.page.get_by_label("Name", exact=True).fill("Ada Lovelace")
        await self._sign(email, "Create my account")
        return email

    async def join(self) -> str:
        """Register as somebody new without the form, from the home page; returns the email."""
        email = self._new_email()
        await self.python(
            f"""
await client.users.register_user(email={email!r}, password={PASSWORD!r}, name="Ada Lovelace")
"""
        )
        await expect(self.page.locator(".view.home")).to_be_visible(timeout=START_MS)
        await expect(self.page.locator(".menu-who .muted")).to_have_text(email)
        return email

    def _new_email(self) -> str:
        return f"viewer{next(_numbers)}.{urlsplit(self.url).port}@example.org"

    async def login(self, email: str, password: str = PASSWORD) -> None:
        """Log in and wait for the home page."""
        await self.go("#/login")
        await self._sign(email, "Log in", password)

    async def _sign(self, email: str, button: str, password: str = PASSWORD) -> None:
        await self.page.get_by_label("Email").fill(email)
        await self.page.get_by_label("Password").fill(password)
        await self.page.locator("main").get_by_role("button", name=button).click()
        await expect(self.page.locator(".view.home")).to_be_visible(timeout=START_MS)

    async def sign_in_again(self, email: str) -> None:
        """Follow the status bar's invitation, after the session has ended on the server."""
        await self.page.locator("#status-bar").get_by_role("button", name="Log in").click()
        await self._sign(email, "Log in")

    async def ask_to_log_out(self) -> None:
        """Press the button in the profile menu."""
        await self.page.locator(".menu summary").click()
        await self.page.get_by_role("button", name="Log out").click()

    async def film(self, film_id: str) -> None:
        """Open the page of a film."""
        await self.go(f"#/film/{film_id}")
        link = self.page.locator(f'.view.film [data-part="play"][href="#/watch/{film_id}"]')
        await expect(link).to_be_visible()

    async def press(self, name: str) -> None:
        """Press a button of the view, by its words."""
        await self.page.locator("main").get_by_role("button", name=name, exact=True).click()

    async def rate(self, film_id: str, stars: int) -> None:
        """Rate a film."""
        await self.film(film_id)
        await self.page.locator(f"label[for=star-{stars}]").click()
        await expect(self.page.get_by_role("button", name="Remove rating")).to_be_visible()

    async def keep(self, film_id: str) -> None:
        """Put a film on the list."""
        await self.film(film_id)
        await self.press("My list")
        await expect(self.listed).to_have_attribute("aria-pressed", "true")

    @property
    def listed(self) -> Locator:
        """The button that puts the film on the list."""
        return self.page.get_by_role("button", name="My list", exact=True)

    def card(self, film_id: str) -> Locator:
        """The cards of a film in the view."""
        return self.page.locator(f'main .card-link[href="#/film/{film_id}"]')

    @property
    def status(self) -> Locator:
        """What the status bar says."""
        return self.page.locator("#status-headline")

    async def saved(self) -> None:
        """Wait until everything is on the server, and the page says so."""
        # A moment after a change the page may still say what held before it.
        await self.drained()
        await expect(self.status).to_have_text("Everything is saved", timeout=SYNC_MS)

    async def drained(self) -> None:
        """Wait until nothing is pending: the server took it, or refused it for good."""
        async with asyncio.timeout(SYNC_MS / 1000):
            await self.python(NOTHING_PENDING)

    async def python(self, code: str) -> Any:
        """Run Python in the page; returns the value of its last expression, as JSON would."""
        return await self.page.evaluate(PYTHON, code)

    async def pending(self) -> int:
        """How many changes the client has that the server does not."""
        count: int = await self.page.evaluate("pyodide.globals.get('client').status.pending")
        return count

    async def on_server(self, collection: str) -> list[dict[str, Any]]:
        """What the server has in a list of this viewer."""
        user_id = await self.page.evaluate("JSON.parse(localStorage.atiha_session).userId")
        path = collection.replace("_", "-")
        reply = await self.page.context.request.get(f"{self.url}/api/users/{user_id}/{path}")
        assert reply.ok
        rows: list[dict[str, Any]] = next(iter((await reply.json()).values()))
        return rows
