"""Replaying operations to a REST server that does not know us, in virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from atiha_web import (
    Client,
    InvalidDataError,
    OperationRejectedError,
    SyncConfig,
    WrongUserError,
    connect,
)
from atiha_web.backends.base import Request, Response
from atiha_web.backends.memory import MemoryEnvironment, MemoryOrigin, MemoryStorage
from atiha_web.collections import Collection
from atiha_web.models import Record
from atiha_web.testing.fake_server import (
    FakeDevice,
    FakeServer,
    Fault,
    ManualClock,
    captive_portal,
    lost_request,
    slow,
)
from tests.plain_rest import PlainRest, reply
from tests.unit.sync.samples import turns

RATINGS = "/api/users/ann/ratings"
FAVORITES = "/api/users/ann/favorites"


class Note(Record):
    """Of an app's own."""

    name: str


@pytest.fixture
def rest(wall: ManualClock) -> PlainRest:
    return PlainRest(now_ms=wall)


@pytest.fixture
def phone(rest: PlainRest, wall: ManualClock) -> FakeDevice:
    return FakeDevice(rest, now_ms=wall)


def open_on(device: FakeDevice, *, background: bool = False) -> Any:
    return connect(backend=device.backend(), user_id="ann", protocol="rest", background=background)


@pytest.fixture
async def ann(phone: FakeDevice) -> AsyncIterator[Client]:
    async with open_on(phone) as client:
        yield client


def failing(status: int, **headers: str) -> Fault:
    return Fault(acts=0, reply=reply(status, {"error": status}, headers))


def fail_at(rest: PlainRest, path: str, fault: Fault, method: str = "POST") -> None:
    """Every request of this method and path meets ``fault``."""

    def next_fault(request: Request) -> Fault:
        found = request.method == method and urlsplit(request.url).path == path
        return fault if found else Fault()

    rest.next_fault = next_fault


async def synced(client: Client) -> None:
    """Return once a first cycle is over."""
    async for status in client.statuses():
        if status.last_sync is not None:
            return


async def rate(client: Client, key: str, rating: int = 3) -> None:
    await client.profiles.add_rating("ann", key, rating)


async def test_what_fails_at_one_endpoint_holds_up_no_other(rest: PlainRest, ann: Client) -> None:
    fail_at(rest, RATINGS, failing(500))
    await rate(ann, "m1")
    await ann.profiles.add_favorite("ann", "m1")
    report = await ann.sync()
    assert not report.ok
    assert rest.effects == [("POST", FAVORITES, "m1")]
    assert ann.status.pending == 1


async def test_order_is_kept_at_an_endpoint_that_fails(rest: PlainRest, ann: Client) -> None:
    fail_at(rest, RATINGS, failing(500))
    await rate(ann, "m1")
    await rate(ann, "m2")
    await ann.sync()
    bodies = [json.loads(each.body or b"") for each in rest.requests if each.method == "POST"]
    assert {body["contentId"] for body in bodies} == {"m1"}


async def test_a_write_elsewhere_is_sent_at_once_while_an_endpoint_fails(
    rest: PlainRest, phone: FakeDevice
) -> None:
    async with open_on(phone, background=True) as ann:
        await synced(ann)
        fail_at(rest, RATINGS, failing(500))
        await rate(ann, "m1")
        await asyncio.sleep(3)
        before = asyncio.get_running_loop().time()
        write = await ann.profiles.add_favorite("ann", "m1")
        await write.saved("server")
        assert asyncio.get_running_loop().time() - before < 1


async def test_a_failing_endpoint_is_left_alone_after_one_more_try(
    rest: PlainRest, ann: Client
) -> None:
    fail_at(rest, RATINGS, failing(500))
    await rate(ann, "m1")
    await ann.sync()
    rest.requests.clear()
    await ann.sync()
    assert rest.sent() == [("POST", RATINGS)]


async def test_an_endpoint_that_asks_to_wait_is_left_alone_for_as_long(
    rest: PlainRest, ann: Client
) -> None:
    rest.fail_next(failing(429, **{"retry-after": "120"}))
    await rate(ann, "m1")
    await ann.sync()
    await asyncio.sleep(100)
    rest.requests.clear()
    assert not (await ann.sync()).ok
    assert rest.sent() == []
    assert all(urlsplit(each.url).path != RATINGS for each in rest.requests)
    await asyncio.sleep(21)
    assert (await ann.sync()).sent == 1


async def test_what_a_load_is_asked_to_leave_alone_no_cycle_asks_for(
    rest: PlainRest, ann: Client
) -> None:
    rest.fail_next(failing(503, **{"retry-after": "120"}))
    await ann.service.load(SyncConfig(cache_key="stars", api_endpoint=RATINGS))
    rest.requests.clear()
    assert not (await ann.sync()).ok
    assert all(urlsplit(each.url).path != RATINGS for each in rest.requests)


async def test_what_a_cycle_is_asked_to_leave_alone_no_load_asks_for(
    rest: PlainRest, ann: Client
) -> None:
    fail_at(rest, RATINGS, failing(503, **{"retry-after": "120"}), "GET")
    await ann.sync()
    rest.requests.clear()
    assert await ann.service.load(SyncConfig(cache_key="stars", api_endpoint=RATINGS)) is None
    assert rest.requests == []


async def test_the_background_comes_back_after_what_was_asked(
    rest: PlainRest, phone: FakeDevice
) -> None:
    async with open_on(phone, background=True) as ann:
        await synced(ann)
        rest.fail_next(failing(503, **{"retry-after": "45"}))
        before = asyncio.get_running_loop().time()
        write = await ann.profiles.add_rating("ann", "m1", 3)
        await write.saved("server")
        assert 45 <= asyncio.get_running_loop().time() - before < 47
        assert len(rest.sent()) == 2


async def test_a_dead_network_is_tried_again_without_limit(
    rest: PlainRest, phone: FakeDevice
) -> None:
    async with open_on(phone, background=True) as ann:
        rest.next_fault = lambda _: lost_request()
        await rate(ann, "m1")
        await asyncio.sleep(1_800)
        assert ann.status.state == "backoff"
        rest.next_fault = lambda _: Fault()
        await asyncio.sleep(61)
        assert [each["contentId"] for each in rest.rows_at(RATINGS)] == ["m1"]


async def test_offline_is_tried_once_and_goes_on_when_online(
    rest: PlainRest, phone: FakeDevice
) -> None:
    async with open_on(phone, background=True) as ann:
        await asyncio.sleep(1)
        phone.set_online(False)
        await rate(ann, "m1")
        assert ann.status.state == "offline"
        assert len(json.loads(phone.origin.items["atiha_sync_queue"])) == 1
        phone.set_online(True)
        await asyncio.sleep(1)
        assert json.loads(phone.origin.items["atiha_sync_queue"]) == []


@pytest.mark.parametrize(
    "portal",
    [
        captive_portal(),
        Fault(acts=0, reply=Response(200, {"content-type": "text/plain"}, b"1")),
        Fault(acts=0, reply=Response(200, {"content-type": "application/json"}, b"<html>")),
        Fault(acts=0, reply=Response(200, {}, b"")),
        Fault(acts=0, reply=Response(304, {}, b"")),
        Fault(acts=0, reply=Response(407, {}, b"")),
    ],
)
async def test_what_is_no_answer_of_the_server_acknowledges_and_refuses_nothing(
    rest: PlainRest, ann: Client, portal: Fault
) -> None:
    fail_at(rest, RATINGS, portal)
    await rate(ann, "m1")
    assert not (await ann.sync()).ok
    assert (ann.status.pending, ann.status.quarantined) == (1, 0)


async def test_no_content_is_success(rest: PlainRest, ann: Client) -> None:
    fail_at(rest, RATINGS, Fault(reply=Response(204, {}, b"")))
    await rate(ann, "m1")
    assert (await ann.sync()).sent == 1


async def test_retries_are_the_same_bytes_after_the_page_was_closed(
    rest: PlainRest, phone: FakeDevice, wall: ManualClock
) -> None:
    rest.next_fault = lambda _: lost_request()
    async with open_on(phone) as ann:
        await ann.profiles.add_to_watch_history(
            "ann", "é/1", "movie", "Élan", progress=12.30, mood={"b": [1.0, "ü"], "a": 1e-7}
        )
        await ann.sync()
    wall.advance(86_400)
    rest.next_fault = lambda _: Fault()
    async with open_on(phone) as ann:
        assert (await ann.sync()).rejected == 1  # it has no column for moods
    sent = [each for each in rest.requests if each.method == "POST"]
    assert len({(each.body, each.headers["idempotency-key"]) for each in sent}) == 1
    assert len(sent) == 4


async def test_nothing_is_coalesced(rest: PlainRest, ann: Client) -> None:
    for rating in (1, 2, 3):
        await rate(ann, "m1", rating)
    assert ann.status.pending == 3
    await ann.sync()
    bodies = [json.loads(each.body or b"") for each in rest.requests if each.method == "POST"]
    assert [body["rating"] for body in bodies] == [1, 2, 3]


async def test_the_body_holds_what_was_stated_and_nothing_of_ours(
    rest: PlainRest, ann: Client
) -> None:
    await ann.profiles.add_to_watch_history("ann", "m1", "movie", "Test", progress=5)
    await ann.sync()
    [request] = [each for each in rest.requests if each.method == "POST"]
    assert json.loads(request.body or b"") == {
        "contentId": "m1",
        "contentType": "movie",
        "title": "Test",
        "progress": 5.0,
        "completed": False,
    }


async def test_a_pending_change_is_shown_over_a_newer_row_of_the_server(
    rest: PlainRest, ann: Client
) -> None:
    fail_at(rest, RATINGS, failing(500))
    await rate(ann, "m1", 2)
    rest.tables[RATINGS] = {
        "m1": {"contentId": "m1", "rating": 5, "updatedAt": "2099-01-01T00:00:00.000Z"}
    }
    await ann.sync()
    [rating] = await ann.profiles.get_ratings("ann")
    assert rating.rating == 2


async def test_a_pending_field_is_shown_over_a_newer_profile_of_the_server(
    rest: PlainRest, ann: Client
) -> None:
    fail_at(rest, "/api/users/ann", failing(500), "PATCH")
    await ann.profiles.update_user_profile("ann", language="fr")
    rest.people["ann"] = {
        "language": "en",
        "subtitles": "off",
        "updatedAt": "2099-01-01T00:00:00.000Z",
    }
    await ann.sync()
    profile = await ann.profiles.get_user_profile("ann")
    assert (profile.language, profile.subtitles) == ("fr", "off")


async def test_one_preference_set_before_a_first_read_takes_no_others_place(
    rest: PlainRest, ann: Client
) -> None:
    rest.people["ann"] = {"language": "en", "preferences": {"theme": "dark"}}
    await ann.profiles.update_user_profile("ann", preferences={"volume": 3})
    await ann.profiles.update_user_profile("ann", preferences={"speed": 2}, language="fr")
    assert (await ann.sync()).ok
    assert rest.people["ann"]["preferences"] == {"theme": "dark", "volume": 3, "speed": 2}
    bodies = [json.loads(each.body or b"") for each in rest.requests if each.method == "PATCH"]
    assert bodies == [
        {"preferences": {"theme": "dark", "volume": 3}},
        {"preferences": {"theme": "dark", "volume": 3, "speed": 2}, "language": "fr"},
    ]


async def test_it_takes_no_others_place_where_there_is_no_room_to_say_so_here(
    rest: PlainRest, phone: FakeDevice, ann: Client
) -> None:
    rest.people["ann"] = {"preferences": {"theme": "dark", "about": "x" * 20_000}}
    await ann.profiles.update_user_profile("ann", preferences={"volume": 3})
    phone.origin.quota = phone.origin.used
    await ann.sync()
    assert set(rest.people["ann"]["preferences"]) == {"theme", "about", "volume"}
    assert ann.status.pending == 0


async def test_a_preference_waits_while_what_it_goes_to_cannot_be_read(
    rest: PlainRest, ann: Client
) -> None:
    fail_at(rest, "/api/users/ann", failing(503), "GET")
    await ann.profiles.update_user_profile("ann", preferences={"volume": 3})
    await rate(ann, "m1")
    await ann.sync()
    assert ann.status.pending == 1
    assert [each.method for each in rest.requests if each.method != "GET"] == ["POST"]


async def test_a_preference_is_sent_to_a_server_that_has_no_profile_to_read(
    rest: PlainRest, ann: Client
) -> None:
    fail_at(rest, "/api/users/ann", failing(404), "GET")
    await ann.profiles.update_user_profile("ann", preferences={"volume": 3})
    await ann.sync()
    assert rest.people["ann"]["preferences"] == {"volume": 3}


async def test_the_order_of_writes_survives_a_clock_set_back_and_a_restart(
    rest: PlainRest, phone: FakeDevice, wall: ManualClock
) -> None:
    async with open_on(phone) as ann:
        await rate(ann, "m1")
        wall.advance(-3_600)
        await rate(ann, "m2")
    async with open_on(phone) as ann:
        await ann.sync()
    assert [effect[2] for effect in rest.effects] == ["m1", "m2"]


async def test_rows_gone_on_the_server_disappear_unless_pending(
    rest: PlainRest, ann: Client
) -> None:
    await rate(ann, "m1")
    await rate(ann, "m2")
    await ann.sync()
    fail_at(rest, RATINGS, failing(500))
    await rate(ann, "m2", 4)
    rest.tables[RATINGS].clear()
    await ann.sync()
    assert list(ann["ratings"]) == ["m2"]


async def test_a_row_that_nobody_can_read_is_named_and_stops_nothing(
    rest: PlainRest, ann: Client
) -> None:
    rest.tables[RATINGS] = {
        "bad": {"rating": 3},
        "worse": 7,  # type: ignore[dict-item]
        "m1": {"contentId": "m1", "rating": 3},
    }
    assert (await ann.sync()).ok
    assert list(ann["ratings"]) == ["m1"]
    assert any("contentId" in problem for problem in ann.status.problems)


async def test_an_endpoint_the_server_does_not_have_stops_nothing(
    rest: PlainRest, ann: Client
) -> None:
    fail_at(rest, FAVORITES, failing(404), "GET")
    assert (await ann.sync()).ok
    assert any(FAVORITES in problem for problem in ann.status.problems)


async def test_a_late_acknowledgement_undoes_nothing_that_came_after_it(
    rest: PlainRest, phone: FakeDevice
) -> None:
    locks_of_its_own = replace(phone.backend(), environment=MemoryEnvironment(MemoryOrigin()))
    other = connect(backend=locks_of_its_own, user_id="ann", protocol="rest", background=False)
    async with open_on(phone) as ann, other as tab:
        await rate(ann, "m1")
        rest.fail_next(slow(after=5))
        told_late = asyncio.ensure_future(ann.sync())
        await asyncio.sleep(1)
        await tab.profiles.remove_rating("ann", "m1")
        fail_at(rest, RATINGS, failing(500), "GET")
        await tab.sync()
        assert [effect[0] for effect in rest.effects] == ["POST", "DELETE"]
        await told_late
        assert list(ann["ratings"]) == []


@pytest.mark.parametrize("later", [0.0, 1e-6])
async def test_what_is_acknowledged_as_another_tab_reads_its_first_list_stays_in_view(
    rest: PlainRest, phone: FakeDevice, later: float
) -> None:
    def next_fault(request: Request) -> Fault:
        if request.method == "POST":
            return slow(after=1)
        is_first = request.url.endswith("/watch-history")
        return slow(after=1 + later) if is_first else failing(500)

    locks_of_its_own = replace(phone.backend(), environment=MemoryEnvironment(MemoryOrigin()))
    other = connect(backend=locks_of_its_own, user_id="ann", protocol="rest", background=False)
    async with open_on(phone) as ann, other as tab:
        rest.next_fault = next_fault
        reading = asyncio.ensure_future(tab.sync())
        await turns()
        await rate(ann, "m1")
        await ann.sync()
        await reading
        assert [list(each["ratings"]) for each in (ann, tab)] == [["m1"], ["m1"]]


async def test_what_a_page_of_another_release_has_acknowledged_stays_in_view(
    rest: PlainRest, phone: FakeDevice
) -> None:
    def release(schema: int) -> Any:
        notes = Collection("notes", Note, key="name", schema=schema)
        return connect(
            backend=phone.backend(),
            user_id="ann",
            protocol="rest",
            background=False,
            collections=[notes],
        )

    async with release(1) as before, release(2) as now:
        await before.sync()
        # Of a later shape: its numbers mean nothing to the other one.
        for number in range(3):
            rest.documents["/api/users/ann/notes"] = {"notes": [{"name": "n1", "size": number}]}
            await now.sync()
        await now.profiles.add_favorite("ann", "m1")
        await turns()
        fail_at(rest, FAVORITES, failing(500), "GET")
        await before.sync()
        await turns()
        assert rest.effects[-1] == ("POST", FAVORITES, "m1")
        assert list(now["favorites"]) == ["m1"]


class SlowStorage(MemoryStorage):
    """Of a tab that takes a second to write cached data."""

    async def write(self, changes: Mapping[str, str | None]) -> None:
        if any(key.startswith("atiha:ann:b:") for key in changes):
            await asyncio.sleep(1)
        await super().write(changes)


async def test_what_is_acknowledged_as_another_tab_stores_what_it_read_stays_in_view(
    rest: PlainRest, phone: FakeDevice
) -> None:
    locks_of_its_own = MemoryEnvironment(MemoryOrigin())
    slowly = replace(phone.backend(SlowStorage(phone.origin)), environment=locks_of_its_own)
    other = connect(backend=slowly, user_id="ann", protocol="rest", background=False)
    async with open_on(phone) as ann, other as tab:
        await ann.profiles.add_favorite("ann", "m1")
        await ann.sync()
        rest.tables[FAVORITES]["m2"] = {**rest.tables[FAVORITES]["m1"], "contentId": "m2"}
        reading = asyncio.ensure_future(tab.sync())
        await asyncio.sleep(0.5)
        await rate(ann, "m3")
        rest.next_fault = lambda request: failing(500) if request.method == "GET" else Fault()
        await ann.sync()
        await reading
        await turns()
        for each in (ann, tab):
            assert (list(each["ratings"]), set(each["favorites"])) == (["m3"], {"m1", "m2"})


async def test_rows_asked_for_before_an_acknowledgement_are_discarded(
    rest: PlainRest, phone: FakeDevice
) -> None:
    rest.documents["/api/free/list"] = {}
    async with open_on(phone) as ann:
        await ann.sync()
        config = SyncConfig(cache_key="stars", api_endpoint=RATINGS)
        rest.fail_next(slow(after=5))
        loading = asyncio.ensure_future(ann.service.load(config))
        await asyncio.sleep(1)
        await rate(ann, "m1")
        await ann.sync()
        assert [row["contentId"] for row in await loading] == ["m1"]


async def test_a_row_just_acknowledged_is_not_hidden_by_an_older_load(
    rest: PlainRest, phone: FakeDevice
) -> None:
    slow_lists = [True]

    def next_fault(request: Request) -> Fault:
        late = request.method == "GET" and request.url.endswith("ratings") and slow_lists
        return slow(after=5) if late else Fault()

    async with open_on(phone) as ann, open_on(phone) as other:
        await ann.sync()
        rest.next_fault = next_fault
        reading = asyncio.ensure_future(ann.sync())
        await asyncio.sleep(1)
        slow_lists.clear()
        phone.origin.locks.clear()  # the browser broke the lock
        await rate(other, "m1")
        await other.sync()
        await reading
        assert list(ann["ratings"]) == ["m1"]


async def test_what_was_read_is_shown_at_the_next_start_without_network(
    rest: PlainRest, phone: FakeDevice
) -> None:
    rest.tables[RATINGS] = {"m1": {"contentId": "m1", "rating": 3}}
    async with open_on(phone) as ann:
        await ann.sync()
    phone.break_network()
    async with open_on(phone) as ann:
        assert list(ann["ratings"]) == ["m1"]


async def test_a_saved_write_that_is_refused_says_why(rest: PlainRest, ann: Client) -> None:
    rest.fail_next(failing(409))
    write = await ann.profiles.add_rating("ann", "m1", 3)
    await ann.sync()
    with pytest.raises(OperationRejectedError, match="409"):
        await write.saved("server")


async def test_a_refused_update_is_sent_again_as_it_was_stated(
    rest: PlainRest, ann: Client
) -> None:
    await rate(ann, "m1")
    await ann.sync()
    rest.fail_next(failing(409))
    change = ann.service.create_operation("update", RATINGS, {"contentId": "m1", "rating": 5})
    await ann.service.add_to_queue(change)
    await ann.sync()
    [refused] = ann.signed_in.engine.quarantined
    await ann.signed_in.engine.retry_quarantined(refused.operation.id)
    assert (await ann.sync()).sent == 1
    sent = [each.body for each in rest.requests if each.method == "PATCH"]
    assert len(sent) == 2
    assert len(set(sent)) == 1


async def test_a_refused_call_of_any_endpoint_is_sent_again(rest: PlainRest, ann: Client) -> None:
    rest.fail_next(failing(409))
    await ann.service.add_to_queue(
        ann.service.create_operation("create", "/api/free/notes", {"id": 1})
    )
    await ann.sync()
    [refused] = ann.signed_in.engine.quarantined
    await ann.signed_in.engine.retry_quarantined(refused.operation.id, {"id": 2})
    await ann.sync()
    assert rest.effects == [("POST", "/api/free/notes", "2")]


async def test_a_deletion_names_what_it_deletes(rest: PlainRest, ann: Client) -> None:
    for data in ({"contentId": "a b", "title": "x"}, {"id": 7}):
        operation = ann.service.create_operation("delete", "/api/free/notes", data)
        await ann.service.add_to_queue(operation)
    await ann.sync()
    urls = [each.url for each in rest.requests if each.method == "DELETE"]
    assert urls == ["/api/free/notes?contentId=a%20b", "/api/free/notes?id=7"]


async def test_a_deletion_that_would_name_nothing_is_refused_at_the_call(ann: Client) -> None:
    operation = ann.service.create_operation("delete", "/api/free/notes", {"id": [1, 2]})
    with pytest.raises(InvalidDataError):
        await ann.service.add_to_queue(operation)
    assert ann.status.pending == 0


@pytest.mark.parametrize(
    "endpoint",
    ["https://evil.test/x", "//evil.test/x", "/\\evil.test", "x", "", "/a b", "/a/../b", "/a\n"],
)
def test_an_endpoint_that_leads_elsewhere_is_refused_at_the_call(
    ann: Client, endpoint: str
) -> None:
    with pytest.raises(InvalidDataError):
        ann.service.create_operation("create", endpoint, {})


async def test_another_users_endpoint_is_refused(ann: Client) -> None:
    operation = ann.service.create_operation("create", "/api/users/bob/free", {"id": 1})
    with pytest.raises(WrongUserError):
        await ann.service.add_to_queue(operation)


async def test_the_account_is_never_deleted_from_the_queue(ann: Client) -> None:
    operation = ann.service.create_operation("delete", "/api/users/ann", {})
    with pytest.raises(InvalidDataError, match="delete_user"):
        await ann.service.add_to_queue(operation)
    with pytest.raises(InvalidDataError, match="delete_user"):
        await ann.delete("profile", "ann")


async def test_two_tabs_send_each_operation_once(rest: PlainRest, phone: FakeDevice) -> None:
    async with open_on(phone) as one, open_on(phone) as other:
        await rate(one, "m1")
        await rate(other, "m2")
        await turns()
        await asyncio.gather(one.sync(), other.sync())
        assert sorted(rest.effects) == [("POST", RATINGS, "m1"), ("POST", RATINGS, "m2")]
        assert len(rest.sent()) == 2
        assert one.status.pending == other.status.pending == 0


async def test_the_pages_last_request_is_the_oldest_change(rest: PlainRest, ann: Client) -> None:
    await rate(ann, "m1")
    await rate(ann, "m2")
    cycle = ann.signed_in._cycle
    request = cycle.parting_request()
    assert request is not None
    assert json.loads(request.body or b"")["contentId"] == "m1"
    assert cycle.parting_request() is None
    await rest.answer(request)
    await ann.sync()
    assert [effect[2] for effect in rest.effects] == ["m1", "m2"]


@pytest.mark.parametrize("name", ["rest ", "", "REST"])
async def test_an_unknown_protocol_is_refused(phone: FakeDevice, name: str) -> None:
    with pytest.raises(InvalidDataError):
        await connect(backend=phone.backend(), protocol=name)  # type: ignore[arg-type]


async def test_what_was_queued_over_rest_waits_while_our_own_server_is_spoken_to(
    rest: PlainRest, phone: FakeDevice, server: FakeServer, wall: ManualClock
) -> None:
    async with open_on(phone) as ann:
        await ann.service.add_to_queue(
            ann.service.create_operation("create", "/api/free/notes", {"id": 1})
        )
        await rate(ann, "m1")
    moved = FakeDevice(server, now_ms=wall, origin=phone.origin)
    async with connect(backend=moved.backend(), user_id="ann", background=False) as ann:
        assert (await ann.sync()).sent == 1
        assert ann.status.pending == 1
    async with open_on(phone) as ann:
        await ann.sync()
    assert rest.effects == [("POST", "/api/free/notes", "1")]


async def test_our_own_server_is_read_anew_after_another_one_was_spoken_to(
    phone: FakeDevice, server: FakeServer, wall: ManualClock
) -> None:
    async with open_on(phone) as ann:
        await rate(ann, "m1")
        await ann.sync()
    moved = FakeDevice(server, now_ms=wall, origin=phone.origin)
    async with connect(backend=moved.backend(), user_id="ann", background=False) as ann:
        assert (await ann.sync()).ok
        assert list(ann["ratings"]) == []
