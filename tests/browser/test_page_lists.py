"""Accounts, lists, ratings, the player and the search of the page."""

import pytest
from playwright.async_api import expect

from tests.browser.viewer import SYNC_MS, Viewer

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE_ELSEWHERE = """async (number) => {
    const { userId } = JSON.parse(localStorage.atiha_session);
    const writer = "0123456789ab";
    const timestamp = `${(Date.now() - 60_000).toString(16).padStart(12, "0")}0000${writer}`;
    const operations = Array.from({ length: 500 }, (_, each) => ({
        id: `${writer}-${number + each}`,
        collection: "ratings",
        key: `film-${number + each}`,
        type: "put",
        timestamp,
        data: { rating: 3, contentType: "movie", title: "A film of another device" },
    }));
    const body = JSON.stringify({ protocol: 1, cursor: 0, limit: 1, operations });
    const headers = { "content-type": "application/json" };
    await fetch(`/api/users/${userId}/sync`, { method: "POST", headers, body });
}"""
"""Another device of theirs rates 500 films."""
CLICK_AS_IT_SYNCS = """async () => {
    const button = document.querySelector('[data-part="watchlist"]');
    const state = () => button.getAttribute("aria-pressed");
    const journal = () => Object.keys(localStorage).filter((key) => key.includes(":j:")).sort();
    const clicks = { stored: 0, waiting: 0 };
    const known = () => pyodide.runPython("len(client['ratings'])");
    const before = known();
    let over = false;
    const syncing = pyodide.runPythonAsync("await client.sync()").finally(() => (over = true));
    const { port1, port2 } = new MessageChannel();
    let shown = "";
    await new Promise((resolve) => {
        port1.onmessage = () => {
            // A click counts once the page has shown what the one before did.
            if (state() !== shown) {
                shown = state();
                const old = journal().join();
                button.click();
                clicks[journal().join() === old ? "waiting" : "stored"] += 1;
            }
            if (over || clicks.stored === 100) resolve();
            else port2.postMessage(null);
        };
        port2.postMessage(null);
    });
    await syncing;
    return { ...clicks, came: known() - before };
}"""
"""Click in as many turns of the browser as possible while all that comes in."""


@pytest.fixture
def viewer(newcomer: Viewer) -> Viewer:
    """A new member on the home page."""
    return newcomer


async def test_a_guest_is_asked_to_log_in(visitor: Viewer) -> None:
    await visitor.film("metropolis-1927")
    await visitor.press("My list")
    await expect(visitor.page.get_by_role("heading", name="Welcome back")).to_be_visible()


async def test_the_client_is_there_for_the_console(visitor: Viewer) -> None:
    kind = await visitor.page.evaluate("pyodide.runPython('type(client).__name__')")
    assert kind == "Client"


async def test_a_wrong_password_is_said_in_words(viewer: Viewer) -> None:
    email = await viewer.page.locator(".menu-who .muted").text_content()
    assert email
    await viewer.ask_to_log_out()
    await expect(viewer.page.locator(".view.landing")).to_be_visible(timeout=SYNC_MS)
    await viewer.go("#/login")
    await viewer.page.get_by_label("Email").fill(email)
    await viewer.page.get_by_label("Password").fill("not my password")
    await viewer.press("Log in")
    await expect(viewer.page.get_by_role("alert")).to_be_visible()
    await viewer.page.get_by_label("Password").fill("correct horse battery")
    await viewer.press("Log in")
    await expect(viewer.page.locator(".view.home")).to_be_visible(timeout=SYNC_MS)


async def test_list_favorite_rating_and_review_reach_the_server(viewer: Viewer) -> None:
    await viewer.keep("nosferatu-1922")
    await viewer.press("Favorite")
    await viewer.rate("nosferatu-1922", 4)
    await viewer.page.get_by_label("Review").fill("The shadow on the stairs.")
    await viewer.press("Save review")
    await expect(viewer.page.locator(".toast")).to_have_text("Review saved.")
    await viewer.saved()
    assert [row["contentId"] for row in await viewer.on_server("watchlist")] == ["nosferatu-1922"]
    assert [row["contentId"] for row in await viewer.on_server("favorites")] == ["nosferatu-1922"]
    [rating] = await viewer.on_server("ratings")
    assert (rating["rating"], rating["review"]) == (4, "The shadow on the stairs.")


async def test_removed_entries_leave_the_server(viewer: Viewer) -> None:
    await viewer.keep("detour-1945")
    await viewer.rate("detour-1945", 2)
    await viewer.saved()
    await viewer.press("My list")
    await viewer.press("Remove rating")
    await expect(viewer.page.get_by_role("button", name="Remove rating")).to_be_hidden()
    await viewer.saved()
    assert await viewer.on_server("watchlist") == []
    assert await viewer.on_server("ratings") == []


async def test_a_click_right_before_a_reload_is_kept(viewer: Viewer) -> None:
    await viewer.film("metropolis-1927")
    # One turn of the browser: nothing can run between the click and the end of the page.
    await viewer.page.evaluate(
        """() => {
            document.querySelector('[data-part="watchlist"]').click();
            location.reload();
        }"""
    )
    await viewer.started()
    await expect(viewer.listed).to_have_attribute("aria-pressed", "true")


async def test_clicks_are_stored_within_their_turn_while_thousands_of_records_come_in(
    viewer: Viewer,
) -> None:
    await viewer.film("metropolis-1927")
    for number in range(0, 3_000, 500):
        await viewer.page.evaluate(RATE_ELSEWHERE, number)
    clicks = await viewer.page.evaluate(CLICK_AS_IT_SYNCS)
    assert (clicks["waiting"], clicks["came"]) == (0, 3_000)
    assert clicks["stored"] > 5
    await viewer.drained()


async def test_the_player_remembers_where_it_stopped(viewer: Viewer) -> None:
    await viewer.go("#/watch/sherlock-jr-1924")
    await viewer.page.get_by_label("Speed").select_option("300")
    await viewer.press("Play")
    await expect(viewer.page.locator(".saved")).to_contain_text("Your place is kept")
    await viewer.press("Pause")
    await viewer.page.get_by_label("Close the player").click()
    await expect(viewer.page.get_by_text("Resume")).to_be_visible()
    await viewer.go("#/")
    row = viewer.page.locator("section.row", has_text="Continue watching")
    await expect(row.locator(".card-title")).to_have_text(["Sherlock Jr."])
    await viewer.saved()
    [entry] = await viewer.on_server("watch_history")
    assert entry["duration"] == 45 * 60
    assert 0 < entry["progress"] < 45 * 60


async def test_a_film_played_to_its_end_is_completed(viewer: Viewer) -> None:
    await viewer.go("#/watch/the-skeleton-dance-1929")
    await viewer.page.get_by_label("Speed").select_option("300")
    await viewer.press("Play")
    await expect(viewer.page.locator(".clock")).to_have_text("6:00 / 6:00")
    await viewer.go("#/library/history")
    await expect(viewer.page.locator(".card-meta")).to_have_text(["Watched to the end"])


async def test_a_seek_is_saved(viewer: Viewer) -> None:
    await viewer.go("#/watch/metropolis-1927")
    await viewer.page.get_by_label("Position").focus()
    await viewer.page.keyboard.press("End")
    await viewer.press("Back 30 seconds")
    await expect(viewer.page.locator(".saved")).to_have_text("Your place is kept: 2:32:30")


async def test_the_search_ignores_accents_and_finds_directors(viewer: Viewer) -> None:
    await viewer.page.keyboard.press("/")
    # Slowly enough for the view to change while the word is being typed.
    await viewer.page.keyboard.type("haxan", delay=300)
    await expect(viewer.page.locator(".card-title")).to_have_text(["Häxan"])
    await viewer.page.get_by_label("Search").fill("lupino 1953")
    await expect(viewer.page.locator(".card-title")).to_have_text(["The Hitch-Hiker"])
    await viewer.page.get_by_label("Search").fill("no such film")
    await expect(viewer.page.get_by_role("heading", name="No film matches")).to_be_visible()


async def test_filters_narrow_the_catalogue_and_stay_in_the_address(viewer: Viewer) -> None:
    await viewer.go("#/browse")
    await expect(viewer.page.locator(".card")).to_have_count(100)
    await viewer.page.get_by_label("Genre").select_option("Horror")
    await viewer.page.get_by_label("Sound").select_option("silent")
    titles = ["The Cabinet of Dr. Caligari", "The Golem: How He Came into the World"]
    titles += ["Nosferatu", "The Phantom of the Opera"]
    await expect(viewer.page.locator(".card-title")).to_have_text(titles)
    await viewer.reload()
    await expect(viewer.page.locator(".card-title")).to_have_text(titles)
