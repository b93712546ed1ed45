"""What comes back after a browser was killed or its storage cleared, and what must not."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atiha_web import Client, connect
from atiha_web.backends.base import StorageChange
from atiha_web.backends.mirror import MirroredStorage
from atiha_web.errors import SaveError, StorageUnavailableError
from atiha_web.sync.names import (
    ASIDE,
    FORGOTTEN,
    GUEST,
    HEIR_KEY,
    QUEUE_KEY,
    SESSION_KEY,
    SESSION_TIME_KEY,
    SIGN_OUT_KEY,
)
from atiha_web.sync.recovery import MARK_DAYS, is_mirrored, recover
from atiha_web.testing.fake_server import FakeDevice, FakeServer, ManualClock, answer
from tests.unit.simulated_mirror import Browser
from tests.unit.sync.samples import turns

W = "0123456789ab"
J = f"atiha:ann:j:{W}-"
Q = f"atiha:ann:q:{W}-"
MARK = f"{FORGOTTEN}ann:{W}-"
DAY_MS = 24 * 3_600_000
NOW = 1_000 * DAY_MS
SESSION = {SESSION_KEY: '{"userId":"ann"}', SESSION_TIME_KEY: "1"}

Entries = dict[str, str]


def after(stored: Entries, mirrored: Entries, *others: str) -> tuple[Entries, Entries]:
    """Storage and mirror after a recovery; `others` are keys in storage that are not mirrored."""
    recovery = recover([*stored, *others], stored, mirrored, NOW)
    found = []
    for before, changes in ((stored, recovery.storage), (mirrored, recovery.mirror)):
        together = {**before, **changes}
        found.append({key: text for key, text in together.items() if text is not None})
    return found[0], found[1]


# -- decided without I/O -----------------------------------------------------------------------


def test_what_no_server_has_and_whose_it_is_are_mirrored_and_nothing_else() -> None:
    mirrored = [J + "1", Q + "1", MARK + "1", HEIR_KEY, f"atiha:%25:j:{W}-1", f"{ASIDE}0123"]
    mirrored += [SESSION_KEY, SESSION_TIME_KEY, SIGN_OUT_KEY]
    others = ["atiha:ann:m", "atiha:ann:b:1", "atiha_ratings_ann", "atiha_sync_queue", "theme"]
    assert [key for key in mirrored + others if is_mirrored(key)] == mirrored


def test_what_only_one_of_both_holds_goes_to_the_other() -> None:
    both = {J + "1": "a", J + "2": "b", Q + "3": "c"}
    assert after({J + "2": "b"}, {J + "1": "a", Q + "3": "c"}) == (both, both)


def test_what_storage_holds_is_not_overwritten() -> None:
    assert after({J + "1": "shifted"}, {J + "1": "a"}) == ({J + "1": "shifted"},) * 2


@pytest.mark.parametrize("key", [J + "1", Q + "1"])
def test_what_is_damaged_in_storage_comes_back_from_the_mirror(key: str) -> None:
    whole = {key: '["ratings","m1",{"rating":4}]'}
    assert after({key: whole[key][:9]}, whole) == (whole, whole)


@pytest.mark.parametrize("copy", ["[1", "no JSON either"])
def test_what_is_damaged_in_both_stays_in_storage_as_it_is(copy: str) -> None:
    stored = {J + "1": "[2"}
    assert after(stored, {J + "1": copy}) == (stored, stored)


@pytest.mark.parametrize(
    ("stored", "mirrored"),
    [
        ({Q + "1": "r"}, {J + "1": "a"}),
        ({J + "1": "a"}, {Q + "1": "r"}),
        ({J + "1": "a", Q + "1": "r"}, {}),
    ],
)
def test_an_operation_in_quarantine_is_not_pending(stored: Entries, mirrored: Entries) -> None:
    assert after(stored, mirrored) == ({Q + "1": "r"},) * 2


@pytest.mark.parametrize("kind", [J, Q])
@pytest.mark.parametrize("behind", ["storage", "mirror"])
def test_a_marked_operation_is_removed_from_the_one_behind(kind: str, behind: str) -> None:
    mark, entry = {MARK + "1": str(NOW)}, {kind + "1": "a"}
    found = after(entry, mark) if behind == "storage" else after(mark, entry)
    assert found == (mark, mark)


def test_views_that_show_what_was_given_up_are_removed() -> None:
    views = ["atiha_ratings_ann", "atiha_ratings_bob", "atiha_sync_queue", "atiha:ann:m"]
    entry, mark = {J + "1": "a"}, {MARK + "1": str(NOW)}
    changes = recover([*entry, *views], entry, mark, NOW).storage
    assert changes == {J + "1": None, MARK + "1": str(NOW), "atiha_ratings_ann": None}


def test_a_mark_is_of_one_operation_of_one_user() -> None:
    entries = {J + "10": "a", f"atiha:bob:j:{W}-1": "b", MARK + "1": str(NOW)}
    assert after({}, entries) == (entries, entries)


def test_a_mark_of_a_writer_is_of_all_it_wrote_by_then() -> None:
    other = {"atiha:ann:j:ba9876543210-1": "c", J + "21": "d", Q + "x": "e"}
    mark = {MARK + "1..20": str(NOW), MARK + "1..3": str(NOW)}
    found, _ = after(mark, {J + "1": "a", Q + "20": "b", **other})
    assert found == mark | other


@pytest.mark.parametrize("text", [str(NOW - (MARK_DAYS + 1) * DAY_MS), "", "x"])
def test_a_mark_goes_when_no_storage_can_be_behind_any_more(text: str) -> None:
    assert after({MARK + "1": text}, {MARK + "2": text}) == ({}, {})


def test_who_was_signed_in_comes_back_with_storage_that_was_cleared() -> None:
    assert after({}, SESSION) == (SESSION, SESSION)


SIGNED_OUT = {SESSION_TIME_KEY: "2", SIGN_OUT_KEY: "1"}


def test_who_signed_out_last_stays_out_though_storage_forgot() -> None:
    assert after(SESSION, SIGNED_OUT) == (SIGNED_OUT, SIGNED_OUT)


def test_who_signed_in_last_stays_in_though_the_mirror_missed_it() -> None:
    again = {**SESSION, SESSION_TIME_KEY: "3"}
    assert after(again, SIGNED_OUT) == (again, again)


def test_what_shows_who_signed_out_is_removed_again() -> None:
    shown = ["atiha_ratings_ann", "atiha:ann:account", "atiha_ratings_bob", "atiha:bob:account"]
    recovery = recover([*SESSION, *shown], SESSION, SIGNED_OUT, NOW)
    assert [key for key in shown if key in recovery.storage] == shown[:2]
    # A page that dies over this leaves to the next one what tells it of that.
    assert list(recovery.storage)[:2] == shown[:2]


KEYS = st.builds(
    lambda kind, user, number: (
        f"{kind}{user}".replace("*", user) + f":{W}-{number}"
        if kind == FORGOTTEN
        else f"atiha:{user}:{kind}:{W}-{number}"
    ),
    st.sampled_from(["j", "q", FORGOTTEN]),
    st.sampled_from(["ann", "bob"]),
    st.integers(1, 4),
)
ENTRIES = st.dictionaries(KEYS, st.just(str(NOW)), max_size=12)


@given(ENTRIES, ENTRIES)
def test_both_agree_afterwards_and_stay_as_they_are(stored: Entries, mirrored: Entries) -> None:
    first, second = after(stored, mirrored)
    assert first == second
    assert after(first, second) == (first, second)


@given(ENTRIES, ENTRIES)
def test_nothing_is_lost_but_what_was_given_up(stored: Entries, mirrored: Entries) -> None:
    known = {**mirrored, **stored}
    found, _ = after(stored, mirrored)
    for key in known.keys() - found.keys():
        _, user, kind, name = key.split(":")
        refused = f"atiha:{user}:q:{name}" in found
        assert f"{FORGOTTEN}{user}:{name}" in known or (kind == "j" and refused)


# -- a browser that is killed ------------------------------------------------------------------

OpenPage = Callable[..., Awaitable[Client]]


@pytest.fixture
def browser(device: FakeDevice) -> Browser:
    return Browser(device)


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Opens the app in a page of the browser, for the last signed-in user unless one is named."""
    opened: list[Client] = []

    async def open_(
        user_id: str | None = "ann", *, opens: bool = True, guest: bool = False
    ) -> Client:
        backend = await browser.backend(opens=opens)
        opened.append(
            await connect(backend=backend, user_id=user_id, guest=guest, background=False)
        )
        return opened[-1]

    yield open_
    for client in opened:
        await client.close()


def stars(client: Client) -> dict[str, int]:
    return {key: entry.rating for key, entry in client["ratings"].items()}  # type: ignore[attr-defined]


async def rate(client: Client, **ratings: int) -> None:
    for key, rating in ratings.items():
        write = await client.put("ratings", key, {"rating": rating})
    await write.saved("disk")


async def refused(client: Client, server: FakeServer) -> str:
    """The id of an operation in quarantine."""
    await client.sync()
    await client.put("ratings", "m1", {"rating": 1})
    server.fail_next(answer(422))
    await client.sync()
    (entry,) = client.signed_in.engine.quarantined
    return entry.operation.id


async def drop(client: Client, *operation_ids: str) -> None:
    await client.signed_in.engine.drop_quarantined(operation_ids)


async def server_rows(server: FakeServer) -> dict[str, int]:
    return {row["contentId"]: row["rating"] for row in await server.rows_of("ann", "ratings")}


async def test_a_write_that_is_on_the_disk_survives_a_killed_browser(
    browser: Browser, open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page()
    browser.reach_disk()
    await rate(page, m1=5, m2=3)
    browser.kill()
    page = await open_page()
    assert (stars(page), page.status.pending) == ({"m1": 5, "m2": 3}, 2)
    await page.sync()
    assert await server_rows(server) == {"m1": 5, "m2": 3}


@pytest.mark.parametrize("crash", range(1, 9))
async def test_what_was_on_the_disk_survives_a_kill_at_any_transaction(
    browser: Browser, open_page: OpenPage, server: FakeServer, crash: int
) -> None:
    page = await open_page()
    promised: dict[str, int] = {}

    async def use() -> None:
        for number in range(1, 5):
            stated = {f"m{number}": number, "again": number}
            await rate(page, **stated)
            promised.update(stated)
            await page.sync()
            await page.signed_in.engine.local.backend.storage.flush("disk")

    using = asyncio.ensure_future(use())
    crashing = asyncio.ensure_future(browser.database.reached(crash))
    await asyncio.wait([using, crashing], return_when=asyncio.FIRST_COMPLETED)
    assert crashing.done()
    using.cancel()
    browser.kill()
    page = await open_page()
    await page.sync()
    found = await server_rows(server)
    assert {key: value for key, value in found.items() if key in promised}.keys() == promised.keys()
    assert all(found[key] >= value for key, value in promised.items())
    assert stars(page) == found


async def test_an_acknowledged_operation_that_comes_back_changes_nothing(
    browser: Browser, open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page()
    await page.sync()
    await rate(page, m1=5)
    browser.database.commits.clear()
    await page.sync()
    browser.reach_disk()
    browser.kill()
    browser.database.commits.set()
    before = await server.rows_of("ann", "ratings")
    page = await open_page()
    assert page.status.pending == 1
    report = await page.sync()
    assert (report.ok, report.sent, page.status.pending) == (True, 1, 0)
    assert await server.rows_of("ann", "ratings") == before
    await page.signed_in.engine.local.backend.storage.flush("disk")
    assert not any(":j:" in key for key in browser.database.entries)


async def test_an_older_operation_that_comes_back_does_not_hide_the_newer_one(
    browser: Browser, open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page()
    await rate(page, m1=1)
    browser.database.commits.clear()
    await page.put("ratings", "m1", {"rating": 2})
    browser.reach_disk()
    browser.kill()
    browser.database.commits.set()
    page = await open_page()
    assert (stars(page), page.status.pending) == ({"m1": 2}, 2)
    await page.sync()
    assert await server_rows(server) == {"m1": 2}


async def test_a_refused_operation_does_not_come_back_as_pending(
    browser: Browser, open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page()
    await page.sync()
    await rate(page, m1=1)
    browser.reach_disk()
    server.fail_next(answer(422))
    await page.sync()
    await page.signed_in.engine.local.backend.storage.flush("disk")
    browser.kill()
    page = await open_page()
    assert (page.status.pending, page.status.quarantined) == (0, 1)


async def test_a_dropped_operation_does_not_come_back_with_storage_that_is_behind(
    browser: Browser, open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page()
    dropped = await refused(page, server)
    browser.reach_disk()
    await drop(page, dropped)
    browser.kill()
    page = await open_page()
    assert (page.status.pending, page.status.quarantined) == (0, 0)


async def test_dropping_returns_after_the_mirror_confirmed(
    browser: Browser, open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page()
    dropped = await refused(page, server)
    await turns()
    browser.database.commits.clear()
    dropping = asyncio.ensure_future(drop(page, dropped))
    await turns()
    assert not dropping.done()
    browser.database.commits.set()
    await dropping
    assert not any(":q:" in key for key in browser.database.entries)


async def test_what_was_dropped_without_the_mirror_does_not_come_back_from_it(
    browser: Browser, open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page()
    dropped = await refused(page, server)
    await page.close()
    page = await open_page(opens=False)
    assert page.status.quarantined == 1
    await drop(page, dropped)
    await page.close()
    assert any(":q:" in key for key in browser.database.entries)
    page = await open_page()
    assert (page.status.pending, page.status.quarantined) == (0, 0)


async def test_a_retried_operation_is_not_in_quarantine_after_a_kill(
    browser: Browser, open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page()
    name = await refused(page, server)
    browser.reach_disk()
    await page.signed_in.engine.retry_quarantined(name, {"rating": 4})
    browser.kill()
    page = await open_page()
    assert (stars(page), page.status.quarantined) == ({"m1": 4}, 0)


async def signed_in(page: Client, name: str = "ann") -> str:
    email, password = f"{name}@example.org", "correct horse battery"
    user = await page.users.register_user(email=email, password=password, name=name)
    return user.id


@pytest.mark.parametrize("opens", [True, False])
async def test_what_was_discarded_at_logout_does_not_come_back(
    browser: Browser, open_page: OpenPage, *, opens: bool
) -> None:
    page = await open_page(None)
    user_id = await signed_in(page)
    browser.device.break_network()
    await rate(page, m1=1, m2=2)
    await page.close()
    page = await open_page(None, opens=opens)
    browser.reach_disk()
    await page.users.logout(pending="discard")
    # Where there is no mirror, nothing but storage itself can promise it.
    if not opens:
        browser.reach_disk()
    browser.kill()
    page = await open_page(user_id)
    assert (stars(page), page.status.pending) == ({}, 0)


async def test_what_was_sent_without_the_mirror_and_then_discarded_does_not_come_back_from_it(
    browser: Browser, open_page: OpenPage
) -> None:
    page = await open_page(None)
    user_id = await signed_in(page)
    await rate(page, m1=1)
    mirrored = page.signed_in.engine.local.backend.storage
    assert isinstance(mirrored, MirroredStorage)
    mirrored.lose("the browser closed the database")
    await page.sync()
    await page.users.logout(pending="discard")
    await page.close()
    assert any(":j:" in key for key in browser.database.entries)
    page = await open_page(None)
    await turns()
    kept = {**browser.device.origin.items, **browser.database.entries}
    assert not any(key.startswith(f"atiha:{user_id}:j:") for key in kept)


@pytest.mark.parametrize("reachable", [True, False])
async def test_a_browser_killed_right_after_a_sign_out_opens_signed_out(
    browser: Browser, open_page: OpenPage, *, reachable: bool
) -> None:
    page = await open_page(None)
    user_id = await signed_in(page)
    await rate(page, m1=1)
    await page.sync()
    browser.reach_disk()
    browser.device.break_network(broken=not reachable)
    await page.users.logout(pending="keep")
    browser.kill()
    page = await open_page(None)
    assert page.user_id is None
    assert f"atiha_ratings_{user_id}" not in browser.device.origin.items


async def test_who_signed_out_by_a_clock_set_back_stays_out_after_a_clear_and_a_kill(
    browser: Browser, open_page: OpenPage, wall: ManualClock
) -> None:
    page = await open_page(None)
    await signed_in(page)
    browser.reach_disk()
    browser.device.origin.clear()
    await turns()
    wall.advance(-86_400)
    await page.users.logout(pending="keep")
    browser.kill()
    assert (await open_page(None)).user_id is None


async def test_the_server_hears_of_a_sign_out_that_a_killed_browser_forgot(
    browser: Browser, open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page(None)
    await signed_in(page)
    browser.reach_disk()
    browser.device.break_network()
    await page.users.logout(pending="keep")
    browser.kill()
    browser.device.break_network(broken=False)
    page = await open_page(None)
    browser.device.set_online(online=True)
    await turns()
    assert server.requests[-1].method == "DELETE"
    assert SIGN_OUT_KEY not in browser.device.origin.items


async def test_what_an_earlier_app_left_and_nobody_can_send_survives_a_cleared_storage(
    browser: Browser, open_page: OpenPage
) -> None:
    browser.device.origin.items[QUEUE_KEY] = json.dumps([{"type": "create", "data": {}}])
    page = await open_page()
    [kept] = [key for key in browser.device.origin.items if key.startswith(ASIDE)]
    text = browser.device.origin.items[kept]
    await turns()
    await page.close()
    browser.device.origin.clear()
    page = await open_page()
    assert browser.device.origin.items[kept] == text
    assert kept in page.status.problems[0]


async def test_one_users_operations_stay_when_another_signs_in(
    browser: Browser, open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page()
    await rate(page, m1=1)
    browser.kill()
    page = await open_page("bob")
    assert (stars(page), page.status.pending) == ({}, 0)
    await rate(page, m1=5)
    browser.kill()
    for user_id, rating in (("ann", 1), ("bob", 5)):
        page = await open_page(user_id)
        assert (stars(page), page.status.pending) == ({"m1": rating}, 1)


async def test_a_guests_operations_survive_a_kill(browser: Browser, open_page: OpenPage) -> None:
    page = await open_page(None, guest=True)
    await rate(page, m1=1)
    browser.kill()
    page = await open_page(None, guest=True)
    assert (page.guest_id, stars(page), page.status.pending) == (GUEST, {"m1": 1}, 1)


async def test_what_was_a_guests_does_not_come_back_for_the_next_user(
    browser: Browser, open_page: OpenPage
) -> None:
    page = await open_page(None, guest=True)
    await rate(page, m1=1)
    browser.reach_disk()
    ann = await signed_in(page)
    await rate(page, m2=2)
    browser.kill()
    page = await open_page(None, guest=True)
    assert (page.user_id, stars(page)) == (ann, {"m1": 1, "m2": 2})
    await page.users.logout(pending="keep")
    assert (page.user_id, stars(page)) == (None, {})
    await signed_in(page, "bob")
    assert (stars(page), page.status.pending) == ({}, 0)
    page = await open_page(ann)
    assert (stars(page), page.status.pending) == ({"m1": 1, "m2": 2}, 2)


# -- storage that is cleared -------------------------------------------------------------------


async def test_storage_that_was_cleared_comes_back_with_who_was_signed_in(
    browser: Browser, open_page: OpenPage
) -> None:
    page = await open_page(None)
    user_id = await signed_in(page)
    browser.device.break_network()
    await rate(page, m1=4)
    await page.close()
    browser.device.origin.clear()
    page = await open_page(None)
    assert (page.user_id, stars(page), page.status.pending) == (user_id, {"m1": 4}, 1)


@pytest.mark.parametrize("told", [True, False])
async def test_storage_that_is_cleared_while_running_is_written_again(
    browser: Browser, open_page: OpenPage, *, told: bool
) -> None:
    page = await open_page(None)
    user_id = await signed_in(page)
    browser.device.break_network()
    await rate(page, m1=4)
    before = {
        key: text
        for key, text in browser.device.origin.items.items()
        if ":j:" in key or key == SESSION_KEY
    }
    if told:
        browser.device.origin.clear()
        await turns()
    else:
        # The page's own console: no event tells of it.
        browser.device.origin.items.clear()
        await page.sync()
    items = browser.device.origin.items
    assert {key: items.get(key) for key in before} == before
    assert json.loads(items[f"atiha_ratings_{user_id}"])[0]["rating"] == 4


async def test_what_a_later_write_says_too_leaves_the_mirror_after_a_clear_nobody_told_of(
    browser: Browser, open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page()
    await rate(page, m1=1)
    browser.database.commits.clear()
    await page.put("ratings", "m1", {"rating": 2})
    browser.reach_disk()
    browser.kill()
    browser.database.commits.set()
    page = await open_page()
    assert page.status.pending == 2
    browser.device.origin.items.clear()
    await page.sync()
    assert await server_rows(server) == {"m1": 2}
    await page.signed_in.engine.local.backend.storage.flush("disk")
    assert not any(":j:" in key for key in browser.database.entries)


async def test_what_finds_no_room_after_a_clear_survives_a_killed_browser(
    browser: Browser, open_page: OpenPage
) -> None:
    page = await open_page(None)
    user_id = await signed_in(page)
    browser.device.break_network()
    await rate(page, m1=4)
    browser.device.origin.quota = 0
    browser.device.origin.clear()
    await turns()
    assert browser.device.origin.items == {}
    browser.kill()
    browser.device.origin.quota = None
    page = await open_page(None)
    assert (page.user_id, stars(page), page.status.pending) == (user_id, {"m1": 4}, 1)


async def test_who_is_signed_in_comes_back_though_base_was_stored_before_the_clear_was_heard_of(
    browser: Browser, open_page: OpenPage
) -> None:
    page = await open_page(None)
    await signed_in(page)
    await rate(page, m1=4)
    await page.sync()
    local, origin = page.signed_in.engine.local, browser.device.origin
    session = origin.items[SESSION_KEY]
    origin.items.clear()
    async with local.mutex:
        await local.store.base.save(local.memory.base, [])
    assert SESSION_KEY not in origin.items
    for document in origin.documents:
        document.deliver(StorageChange(None, None))
    await turns()
    assert origin.items[SESSION_KEY] == session


async def test_two_pages_one_opening_while_the_other_writes_and_sends(
    browser: Browser, open_page: OpenPage, server: FakeServer
) -> None:
    first = await open_page()
    await rate(first, m1=1)
    browser.database.commits.clear()
    await first.sync()
    await first.put("ratings", "m2", {"rating": 2})
    second = await open_page()
    browser.database.commits.set()
    await turns()
    for page in (first, second):
        await page.sync()
        assert (stars(page), page.status.pending) == ({"m1": 1, "m2": 2}, 0)
    await second.signed_in.engine.local.backend.storage.flush("disk")
    assert await server_rows(server) == {"m1": 1, "m2": 2}
    assert not any(":j:" in key for key in browser.database.entries)


async def test_a_page_hears_of_what_another_one_recovers(
    browser: Browser, open_page: OpenPage
) -> None:
    first = await open_page(opens=False)
    browser.database.entries.update(
        {J + "1": json.dumps(["ratings", "m9", {"rating": 3}, "0" * 28, 1])}
    )
    await open_page()
    await turns()
    assert stars(first) == {"m9": 3}


# -- honest about it ---------------------------------------------------------------------------


async def test_without_the_database_the_status_says_so_and_disk_is_refused(
    open_page: OpenPage,
) -> None:
    page = await open_page(opens=False)
    assert "did not open within 2 s" in page.status.problems[0]
    write = await page.put("ratings", "m1", {"rating": 1})
    await write.saved("local")
    with pytest.raises(SaveError, match="'disk' cannot be promised"):
        await write.saved("disk")


async def test_a_full_database_is_told_and_no_error_of_the_write(
    browser: Browser, open_page: OpenPage
) -> None:
    page = await open_page()
    browser.database.failures.extend([StorageUnavailableError("the database is full")] * 9)
    await page.put("ratings", "m1", {"rating": 1})
    await turns()
    assert page.status.problems[0].startswith("the database is full")


async def test_marks_are_kept_only_where_something_can_come_back(
    device: FakeDevice, server: FakeServer, wall: ManualClock
) -> None:
    async with connect(backend=device.backend(), user_id="ann", background=False) as page:
        await drop(page, await refused(page, server))
        assert not any(key.startswith(FORGOTTEN) for key in device.origin.items)
