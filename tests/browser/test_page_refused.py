"""What the server refused: the page lists it, and its owner edits, sends, saves or drops it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Route, expect

from tests.browser.viewer import SYNC_MS, Viewer

pytestmark = pytest.mark.asyncio(loop_scope="module")

REASON = "Reviews with <b>tags</b> are refused."


async def refuse_tags(route: Route) -> None:
    """The server, as if it took no review with a tag in it."""
    asked = route.request.post_data_json or {}
    sent = asked.get("operations", [])
    good = [each for each in sent if "<b>" not in json.dumps(each)]
    refused = {"status": "rejected", "code": "tags", "message": REASON}
    reply = await route.fetch(post_data={**asked, "operations": good})
    answer = await reply.json()
    results = [*answer.get("results", [])]
    results += [{"id": each["id"], **refused} for each in sent if each not in good]
    await route.fulfill(response=reply, json={**answer, "results": results})


@pytest_asyncio.fixture(loop_scope="module")
async def viewer(member: Viewer) -> AsyncIterator[Viewer]:
    """The member, whose review of Metropolis was refused."""
    await member.page.route("**/sync", refuse_tags)
    await member.go("#/")
    await member.python(
        """
await client.put("ratings", "metropolis-1927",
    {"rating": 4, "review": "<b>Grand</b>", "title": "Metropolis"})
"""
    )
    await expect(member.status).to_have_text("1 change could not be saved", timeout=SYNC_MS)
    await member.page.locator("#status-details summary").click()
    await member.page.get_by_role("button", name="Look at what was refused").click()
    yield member
    await member.page.unroute_all()
    await member.python(
        """
await client.drop_quarantined([each.operation.id for each in client.quarantined])
await client.delete("ratings", "metropolis-1927")
await client.sync()
"""
    )


@pytest.fixture
def item(viewer: Viewer) -> Locator:
    """The form of the refused review."""
    return viewer.page.get_by_role("form", name="Rating: Metropolis")


async def test_it_is_listed_with_the_reason_and_what_it_says(item: Locator) -> None:
    await expect(item.get_by_text(REASON)).to_be_visible()
    await expect(item.locator(".eyebrow")).to_have_text("Rating, just now")
    await expect(item.get_by_label("Review")).to_have_value("<b>Grand</b>")
    await expect(item.get_by_label("Rating", exact=True)).to_have_value("4")


async def test_it_is_put_right_and_sent_again(viewer: Viewer, item: Locator) -> None:
    await item.get_by_label("Review").fill("Grand")
    await item.get_by_role("button", name="Send again").click()
    await expect(viewer.page.get_by_role("heading", name="Nothing was refused")).to_be_visible()
    await viewer.saved()
    [row] = await viewer.on_server("ratings")
    assert (row["rating"], row["review"], row["title"]) == (4, "Grand", "Metropolis")


async def test_with_the_keyboard_alone(viewer: Viewer, item: Locator) -> None:
    press = viewer.page.keyboard.press
    await viewer.page.locator("#view").focus()
    await press("Tab")
    await press("Tab")
    await expect(item.get_by_label("Review")).to_be_focused()
    await press("Control+A")
    await viewer.page.keyboard.type("Grand")
    await press("Tab")
    await press("Tab")
    await expect(item.get_by_role("button", name="Send again")).to_be_focused()
    await press("Enter")
    await viewer.saved()
    await expect(viewer.page.locator("#view")).to_be_focused()
    assert [row["review"] for row in await viewer.on_server("ratings")] == ["Grand"]


async def test_what_is_wrong_in_the_form_is_said_and_nothing_is_sent(
    viewer: Viewer, item: Locator
) -> None:
    for text, words in (("many", "Rating: please enter a number."), ("6", "less than or equal")):
        await item.get_by_label("Rating", exact=True).fill(text)
        await item.get_by_role("button", name="Send again").click()
        await expect(item.get_by_role("status")).to_contain_text(words)
    assert await viewer.python("client.status.quarantined") == 1
    assert await viewer.pending() == 0


async def test_it_is_dropped_once_that_is_confirmed(viewer: Viewer, item: Locator) -> None:
    dialog = viewer.page.get_by_role("dialog")
    await item.get_by_role("button", name="Drop").click()
    await expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    await viewer.page.keyboard.press("Escape")
    await item.get_by_role("button", name="Drop").click()
    await dialog.get_by_role("button", name="Keep it").click()
    await expect(item).to_be_visible()
    await item.get_by_role("button", name="Drop").click()
    await dialog.get_by_role("button", name="Drop it for good").click()
    await expect(item).to_have_count(0)
    await viewer.saved()
    assert await viewer.on_server("ratings") == []


async def test_all_are_saved_to_a_file(viewer: Viewer, tmp_path: Path) -> None:
    async with viewer.page.expect_download() as started:
        await viewer.press("Download all as JSON")
    download = await started.value
    assert download.suggested_filename == "atiha-not-saved.json"
    await download.save_as(tmp_path / "saved")
    [entry] = json.loads((tmp_path / "saved").read_text())
    assert (entry["key"], entry["message"]) == ("metropolis-1927", REASON)
    assert entry["data"]["review"] == "<b>Grand</b>"
