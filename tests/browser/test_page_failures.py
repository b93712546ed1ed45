"""What the page does about bad answers, on one tab: nothing is lost, nothing arrives twice."""

import json
import re
from collections import Counter
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Request, Route, expect

from atiha_web.sync.outcomes import HEADER
from tests.browser.viewer import SYNC_MS, Viewer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SYNC = "**/sync"
OURS = {HEADER: "1", "content-type": "application/problem+json"}
WAITING = "Atiha does not answer: 1 change kept on this device"


@pytest_asyncio.fixture(loop_scope="module")
async def viewer(newcomer: Viewer) -> Viewer:
    """A new member, with nothing pending."""
    await newcomer.saved()
    return newcomer


def operations(request: Request) -> list[dict[str, Any]]:
    """What a sync carries."""
    body = request.post_data_json
    assert isinstance(body, dict)
    sent: list[dict[str, Any]] = body.get("operations", [])
    return sent


def problem(status: int) -> dict[str, Any]:
    """An answer of our server that says no."""
    document = {"code": "scripted", "detail": f"scripted {status}", "status": status}
    return {"status": status, "headers": OURS, "body": json.dumps(document)}


async def rated(viewer: Viewer, prefix: str) -> Counter[str]:
    """The rated films of a test, as the server has them."""
    rows = await viewer.on_server("ratings")
    return Counter(row["contentId"] for row in rows if row["contentId"].startswith(prefix))


async def rate_all(viewer: Viewer, prefix: str, count: int, review: str = "") -> list[str]:
    """Rate so many films in Python, in one turn."""
    await viewer.python(
        f"""
for number in range({count}):
    await client.put("ratings", f"{prefix}-{{number:04}}", {{"rating": 4, "review": {review!r}}})
"""
    )
    return [f"{prefix}-{number:04}" for number in range(count)]


@pytest.mark.parametrize("reason", ["failed", "connectionrefused", "timedout"])
async def test_aborted_requests_keep_the_change_though_the_browser_says_online(
    viewer: Viewer, reason: str
) -> None:
    async def abort(route: Route) -> None:
        await route.abort(reason)

    await viewer.page.route(SYNC, abort)
    [film] = await rate_all(viewer, f"abort-{reason}", 1)
    await expect(viewer.status).to_have_text(WAITING, timeout=SYNC_MS)
    assert await viewer.page.evaluate("navigator.onLine") is True
    await viewer.page.unroute_all()
    await viewer.saved()
    assert await rated(viewer, film) == {film: 1}


async def test_a_captive_portal_is_not_taken_for_the_server(viewer: Viewer) -> None:
    async def welcome(route: Route) -> None:
        await route.fulfill(
            status=200, content_type="text/html", body="<html>Welcome to the hotel</html>"
        )

    await viewer.page.route(SYNC, welcome)
    [film] = await rate_all(viewer, "portal", 1)
    await expect(viewer.status).to_have_text(WAITING, timeout=SYNC_MS)
    await viewer.page.unroute_all()
    await viewer.saved()
    assert await rated(viewer, film) == {film: 1}


async def test_a_batch_too_large_for_a_proxy_is_halved(viewer: Viewer) -> None:
    sizes: list[int] = []

    async def refuse(route: Route) -> None:
        sizes.append(len(operations(route.request)))
        if sizes[-1] > 4:
            await route.fulfill(status=413, content_type="text/html", body="<h1>413</h1>")
        else:
            await route.continue_()

    await viewer.page.route(SYNC, refuse)
    films = await rate_all(viewer, "halved", 10)
    await viewer.saved()
    assert sizes[:3] == [10, 5, 2]
    assert await rated(viewer, "halved") == Counter(films)


async def test_one_change_too_large_for_the_server_blocks_no_other(viewer: Viewer) -> None:
    async def refuse(route: Route) -> None:
        large = len(route.request.post_data or "") > 4_000
        await (route.fulfill(**problem(413)) if large else route.continue_())

    await viewer.page.route(SYNC, refuse)
    [large] = await rate_all(viewer, "large", 1, review="x" * 4_500)
    films = await rate_all(viewer, "small", 5)
    await viewer.drained()
    await expect(viewer.status).to_have_text("1 change could not be saved", timeout=SYNC_MS)
    assert await rated(viewer, "small") == Counter(films)
    assert await viewer.python("[each.operation.key for each in client.quarantined]") == [large]


async def test_a_server_that_asks_to_slow_down_is_left_alone_for_as_long(viewer: Viewer) -> None:
    moments: list[float] = []

    async def busy(route: Route) -> None:
        moments.append(await viewer.page.evaluate("performance.now()"))
        if len(moments) > 1:
            await route.continue_()
            return
        answer = problem(429)
        await route.fulfill(**{**answer, "headers": {**OURS, "Retry-After": "4"}})

    await viewer.page.route(SYNC, busy)
    [film] = await rate_all(viewer, "busy", 1)
    await expect(viewer.status).to_have_text(WAITING)
    await expect(viewer.page.locator("#status-panel")).to_contain_text("scripted 429")
    await viewer.saved()
    assert 4_000 <= moments[1] - moments[0] < 10_000
    assert await rated(viewer, film) == {film: 1}


async def test_a_reply_that_is_lost_is_no_reason_to_rate_twice(viewer: Viewer) -> None:
    taken: list[dict[str, Any]] = []

    async def lose_the_reply(route: Route) -> None:
        if not taken and operations(route.request):
            taken.extend(operations(route.request))
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    await viewer.page.route(SYNC, lose_the_reply)
    films = await rate_all(viewer, "lost", 3)
    await viewer.saved()
    assert [each["key"] for each in taken] == films
    assert await rated(viewer, "lost") == Counter(films)


async def test_a_session_that_ends_in_the_middle_of_a_drain_loses_and_doubles_nothing(
    viewer: Viewer,
) -> None:
    page = viewer.page
    answers: list[tuple[int, int]] = []
    email = await page.locator(".menu-who .muted").text_content()
    assert email is not None

    async def end_after_the_first_batch(route: Route) -> None:
        reply = await route.fetch()
        if carried := operations(route.request):
            answers.append((len(carried), reply.status))
            await page.context.clear_cookies()
        await route.fulfill(response=reply)

    await page.context.set_offline(True)
    films = await rate_all(viewer, "drain", 700)
    await page.route(SYNC, end_after_the_first_batch)
    await page.context.set_offline(False)
    await expect(viewer.status).to_have_text(re.compile("Log in again: "), timeout=SYNC_MS)
    [(taken, first), (_, second)] = answers
    assert (first, second) == (200, 401)
    assert await viewer.pending() == len(films) - taken > 0
    await page.unroute_all()
    await viewer.sign_in_again(email)
    await viewer.saved()
    assert await rated(viewer, "drain") == Counter(films)
