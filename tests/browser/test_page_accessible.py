"""What axe-core finds on the page in each of its states, light and dark: nothing."""

from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from playwright.async_api import expect

from tests.browser.viewer import SYNC_MS, Viewer

pytestmark = pytest.mark.asyncio(loop_scope="module")

Scheme = Literal["light", "dark"]
ADDRESSES = [
    "#/",
    "#/browse?genre=Horror",
    "#/film/metropolis-1927",
    "#/watch/metropolis-1927",
    "#/library/ratings",
    "#/library/favorites",
    "#/refused",
]


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> Scheme:
    scheme: Scheme = request.param
    return scheme


async def check(viewer: Viewer, what: str) -> None:
    found = await Axe().run(viewer.page)
    assert found.violations_count == 0, f"{what}: {found.generate_report()}"


async def refuse(viewer: Viewer) -> None:
    """Put a change into quarantine that holds every kind of field."""
    await viewer.python(
        """
from atiha_web.sync.replica import Quarantined
write = await client.put("watch_history", "nosferatu-1922", {"progress": 40, "note": {"a": 1},
    "completed": True, "title": "Nosferatu", "words": "long " * 20})
entry = Quarantined(write.operation, "invalid", "This server takes no notes.")
await client.signed_in.engine.reconciler.refuse(entry)
"""
    )


async def test_each_view(member: Viewer, scheme: Scheme) -> None:
    await member.page.emulate_media(color_scheme=scheme)
    await member.rate("metropolis-1927", 4)
    for address in ADDRESSES:
        await member.go(address)
        await check(member, f"{address}, {scheme}")


async def test_refused_changes_and_the_questions_about_them(member: Viewer, scheme: Scheme) -> None:
    page = member.page
    await page.emulate_media(color_scheme=scheme)
    await page.context.set_offline(True)
    await refuse(member)
    await expect(member.status).to_have_text("1 change could not be saved", timeout=SYNC_MS)
    await member.go("#/")
    await page.locator("#status-details summary").click()
    await check(member, f"the status, {scheme}")
    await page.get_by_role("button", name="Look at what was refused").click()
    await check(member, f"a refused change, {scheme}")
    await member.press("Drop…")
    await check(member, f"the question before it is dropped, {scheme}")
    await page.get_by_role("button", name="Drop it for good").click()
    await page.context.set_offline(False)
