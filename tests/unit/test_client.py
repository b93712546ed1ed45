"""Who is signed in, in this tab and in others, and what is left behind."""

import asyncio
import gc
import json
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Literal

import pytest

from atiha_web import (
    Client,
    ClosedError,
    Conflict,
    InvalidDataError,
    NotSignedInError,
    PendingOperationsError,
    ProblemError,
    Rating,
    StorageFullError,
    StorageUnavailableError,
    UnknownCollectionError,
    WrongUserError,
    connect,
)
from atiha_web.backends.base import StorageChange
from atiha_web.sync.names import SESSION_KEY, SESSION_TIME_KEY
from atiha_web.sync.replica import Row
from atiha_web.sync.signed_in import SignedIn
from atiha_web.testing.fake_server import FakeDevice, FakeServer, ManualClock, lost_request

OpenClient = Callable[..., Awaitable[Client]]
PASSWORD = "long enough"


async def turns(count: int = 60) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def user(client: Client) -> str:
    assert client.user_id is not None
    return client.user_id


async def log_in(client: Client, email: str = "ann@example.org") -> None:
    await client.users.login(email=email, password=PASSWORD)


async def register(client: Client, name: str) -> None:
    await client.users.register_user(email=f"{name}@example.org", password=PASSWORD, name=name)


def views(device: FakeDevice) -> list[str]:
    """What any page may read of a user on this device."""
    listed = ("atiha_watch", "atiha_fav", "atiha_rat", "atiha_prof", "atiha_sync")
    return sorted(key for key in device.origin.items if key.startswith(listed))


async def test_what_is_stored_can_be_looked_at(client: Client) -> None:
    await client.profiles.add_favorite(user(client), "the-general")
    stored = await client.stored("atiha_")
    assert json.loads(stored[f"atiha_favorites_{user(client)}"])[0]["contentId"] == "the-general"
    assert json.loads(stored["atiha_session"]) == {"userId": user(client)}


async def test_connecting_makes_no_request(api: FakeServer, open_client: OpenClient) -> None:
    await open_client(user_id="ann")
    await turns()
    assert api.requests == []


async def test_the_last_user_is_opened_again_without_network(
    api: FakeServer, phone: FakeDevice, client: Client, open_client: OpenClient
) -> None:
    await client.profiles.add_rating(user(client), "m1", 4)
    await client.close()
    phone.set_online(online=False)
    again = await open_client()
    assert again.user_id == "user-1"
    rating = again["ratings"]["m1"]
    assert isinstance(rating, Rating)
    assert rating.rating == 4


async def test_what_fails_in_the_background_is_logged_and_printed_nowhere(
    phone: FakeDevice, caplog: pytest.LogCaptureFixture
) -> None:
    async def persist(ask: bool) -> bool:
        raise RuntimeError("a mistake")

    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    backend = replace(phone.backend(), persist=persist)
    async with connect(backend=backend, user_id="ann", background=False):
        await turns()
    gc.collect()
    assert said == []
    assert [record.message for record in caplog.records] == ["work in the background failed"]


async def test_closing_at_once_leaves_nothing_in_the_background_that_python_complains_of(
    phone: FakeDevice,
) -> None:
    async def persist(ask: bool) -> bool:
        return ask

    async with connect(backend=replace(phone.backend(), persist=persist), user_id="ann"):
        pass
    with warnings.catch_warnings(record=True) as said:
        gc.collect()
    assert said == []


async def test_a_session_holds_no_secret(phone: FakeDevice, client: Client) -> None:
    assert json.loads(phone.origin.items["atiha_session"]) == {"userId": client.user_id}
    assert not [key for key, text in phone.origin.items.items() if "token" in text]


@pytest.mark.parametrize("text", ["", "null", "[]", '{"userId": 5}', '{"userId": "a/b"}', "{"])
async def test_a_broken_session_is_nobody(
    phone: FakeDevice, open_client: OpenClient, text: str
) -> None:
    phone.origin.set("atiha_session", text)
    assert (await open_client()).user_id is None


async def test_nobody_signed_in_reads_and_writes_nothing(open_client: OpenClient) -> None:
    client = await open_client()
    with pytest.raises(NotSignedInError):
        await client.profiles.add_rating("ann", "m1", 4)
    with pytest.raises(NotSignedInError):
        len(client["ratings"])
    with pytest.raises(NotSignedInError):
        await client.sync()


async def test_another_users_data_is_refused(client: Client) -> None:
    with pytest.raises(WrongUserError):
        await client.profiles.add_rating("somebody", "m1", 4)
    with pytest.raises(WrongUserError):
        await client.profiles.get_ratings("somebody")


async def test_a_collection_nobody_declared_is_refused(client: Client) -> None:
    with pytest.raises(UnknownCollectionError):
        client["nothing"]


@pytest.mark.parametrize(
    "wrong",
    [{"base_url": "ftp://x"}, {"user_id": "a/b"}, {"interval": 0}, {"interval": float("nan")}],
    ids=repr,
)
async def test_bad_arguments_are_refused_in_words(phone: FakeDevice, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidDataError):
        await connect(backend=phone.backend(), **wrong)


async def test_logging_out_sends_what_is_pending_and_removes_the_views(
    api: FakeServer, phone: FakeDevice, client: Client
) -> None:
    await client.profiles.add_rating(user(client), "m1", 4)
    await client.users.logout()
    assert [row["rating"] for row in await api.rows_of("user-1", "ratings")] == [4]
    assert (client.user_id, views(phone)) == (None, [])
    assert "atiha_session" not in phone.origin.items


async def test_logging_out_without_network_is_refused_with_a_count(
    phone: FakeDevice, client: Client
) -> None:
    await client.profiles.add_rating(user(client), "m1", 4)
    await client.profiles.add_rating(user(client), "m2", 4)
    phone.set_online(online=False)
    with pytest.raises(PendingOperationsError) as caught:
        await client.users.logout()
    assert caught.value.pending == 2
    assert client.user_id == "user-1"


async def test_what_was_kept_is_sent_after_the_next_sign_in(
    api: FakeServer, phone: FakeDevice, client: Client
) -> None:
    await client.profiles.add_rating(user(client), "m1", 4)
    phone.set_online(online=False)
    await client.users.logout(pending="keep")
    assert views(phone) == []
    phone.set_online(online=True)
    await log_in(client)
    await client.sync()
    assert [row["rating"] for row in await api.rows_of("user-1", "ratings")] == [4]


async def test_views_go_before_it_is_told_that_nobody_is_signed_in(
    phone: FakeDevice, client: Client
) -> None:
    await client.profiles.add_rating(user(client), "m1", 4)
    left: list[list[str]] = []

    def hear(change: StorageChange) -> None:
        if change.key == SESSION_KEY:
            left.append(views(phone))

    phone.backend().storage.subscribe(hear)
    await client.users.logout(pending="keep")
    assert left == [[]]


async def test_a_cycle_that_goes_on_shows_nothing_of_who_is_signing_out(
    phone: FakeDevice, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, forget = client.signed_in.engine.local, SignedIn.forget
    left: list[list[str]] = []

    async def renders_meanwhile(stored: SignedIn) -> None:
        await forget(stored)
        async with local.mutex:
            await local.render(local.registry, anew=True)
        left.append(views(phone))

    await client.profiles.add_rating(user(client), "m1", 4)
    monkeypatch.setattr(SignedIn, "forget", renders_meanwhile)
    await client.users.logout(pending="keep")
    assert left == [[]]


async def test_who_could_not_be_signed_out_is_shown_again(
    phone: FakeDevice, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_: SignedIn) -> None:
        raise StorageUnavailableError("the browser is out of order")

    await client.profiles.add_rating(user(client), "m1", 4)
    before = views(phone)
    monkeypatch.setattr(SignedIn, "forget", fails)
    with pytest.raises(StorageUnavailableError):
        await client.users.logout(pending="keep")
    assert (client.user_id, views(phone)) == ("user-1", before)


async def test_what_was_discarded_is_gone(
    api: FakeServer, phone: FakeDevice, client: Client
) -> None:
    await client.profiles.add_rating(user(client), "m1", 4)
    phone.set_online(online=False)
    await client.users.logout(pending="discard")
    assert not [key for key, text in phone.origin.items.items() if "m1" in text]
    phone.set_online(online=True)
    await log_in(client)
    await client.sync()
    assert await api.rows_of("user-1", "ratings") == []


async def test_another_user_on_the_same_device_sees_and_sends_nothing_of_the_first(
    api: FakeServer, phone: FakeDevice, client: Client
) -> None:
    await client.profiles.add_rating(user(client), "m1", 4)
    phone.set_online(online=False)
    await client.users.logout(pending="keep")
    phone.set_online(online=True)
    await register(client, "bob")
    await client.sync()
    assert (len(client["ratings"]), client.status.pending) == (0, 0)
    assert await api.rows_of("user-2", "ratings") == []
    assert json.loads(phone.origin.items["atiha_sync_queue"]) == []


async def test_signing_in_as_another_user_hides_the_first_ones_views(
    phone: FakeDevice, client: Client
) -> None:
    await client.profiles.add_rating(user(client), "m1", 4)
    await register(client, "bob")
    assert not [key for key in views(phone) if key.endswith("user-1")]


async def test_an_unfinished_sign_out_reaches_the_server_once_online(
    api: FakeServer, phone: FakeDevice, client: Client
) -> None:
    phone.set_online(online=False)
    await client.users.logout(pending="keep")
    phone.set_online(online=True)
    await turns()
    assert api.requests[-1].method == "DELETE"
    assert not [key for key in phone.origin.items if "sign-out" in key]


async def test_a_second_tab_follows_the_sign_in_and_the_sign_out(
    client: Client, open_client: OpenClient
) -> None:
    other = await open_client()
    assert other.user_id == client.user_id
    await client.users.logout()
    await turns()
    assert other.user_id is None
    await log_in(client)
    await turns()
    assert other.user_id == client.user_id


async def test_a_second_tab_writes_no_views_of_who_signed_out(
    phone: FakeDevice, client: Client, open_client: OpenClient
) -> None:
    other = await open_client()
    await client.profiles.add_rating(user(client), "m1", 4)
    await client.users.logout(pending="keep")
    await turns()
    assert other.user_id is None
    assert views(phone) == []


async def test_what_a_tab_that_died_showed_of_who_signed_out_is_removed(
    phone: FakeDevice, client: Client
) -> None:
    key = f"atiha_ratings_{user(client)}"
    await client.users.logout(pending="keep")
    # A page of another process did that, and died, before either heard of the other.
    await phone.backend().storage.write({key: "[]"})
    await turns()
    assert key not in phone.origin.items


async def test_what_another_tab_shows_of_who_signed_in_again_stays(
    phone: FakeDevice, client: Client, open_client: OpenClient
) -> None:
    other = await open_client()
    await client.users.logout(pending="keep")
    await turns()
    await log_in(other)
    await other.profiles.add_rating(user(other), "m1", 4)
    await turns()
    assert client.user_id == other.user_id
    assert f"atiha_ratings_{user(other)}" in phone.origin.items


def clear_after(word: str, phone: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a person clear storage as soon as it was next asked, or told, who is signed in."""
    real = getattr(SignedIn, word)

    async def cleared(stored: SignedIn, *about: str) -> str | None:
        told: str | None = await real(stored, *about)
        monkeypatch.setattr(SignedIn, word, real)
        phone.origin.clear()
        return told

    monkeypatch.setattr(SignedIn, word, cleared)


@pytest.mark.parametrize("opens", ["before", "after"])
async def test_a_tab_shows_nobody_where_storage_is_cleared_as_it_learns_who_signed_in(
    phone: FakeDevice, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch, opens: str
) -> None:
    tab = await open_client() if opens == "before" else None
    clear_after("user", phone, monkeypatch)
    # By a page that is gone since: nobody is left who would write it again.
    await phone.backend().storage.write({SESSION_KEY: '{"userId":"user-1"}'})
    tab = tab or await open_client()
    await turns()
    assert (tab.user_id, views(phone)) == (None, [])


async def test_who_signs_in_as_storage_is_cleared_leaves_nothing_there(
    phone: FakeDevice, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.users.logout()
    clear_after("remember", phone, monkeypatch)
    await log_in(client)
    assert (client.user_id, phone.origin.items) == (None, {})
    await log_in(client)
    assert client.user_id == "user-1"


async def test_no_view_comes_back_after_a_clear_before_who_is_signed_in_does(
    phone: FakeDevice, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client._session.current is not None
    base = client._session.current.engine.local.store.base
    real, heard = base.sweep, list[str | None]()

    async def cleared() -> bool:
        monkeypatch.setattr(base, "sweep", real)
        phone.origin.clear()
        await turns()
        return await real()

    monkeypatch.setattr(base, "sweep", cleared)
    phone.backend().storage.subscribe(lambda change: heard.append(change.key))
    await client.sync()
    await turns()
    # A page that died in between would leave views of somebody whom nothing names.
    assert heard.index(SESSION_KEY) < heard.index("atiha_ratings_user-1")


@pytest.mark.parametrize("cleared", [False, True])
async def test_a_tab_that_slept_shows_nothing_of_what_another_discarded(
    phone: FakeDevice, client: Client, open_client: OpenClient, *, cleared: bool
) -> None:
    await client.profiles.add_rating(user(client), "m1", 4)
    await client.sync()
    other = await open_client()
    asleep = phone.origin.documents.pop()
    await client.users.logout(pending="discard")
    heard = []
    if cleared:
        manifest = f"atiha:{user(other)}:m"
        discard = StorageChange(manifest, phone.origin.items[manifest])
        heard = [StorageChange(SESSION_KEY, None), discard, StorageChange(None, None)]
        phone.origin.clear()
    await log_in(client)
    phone.origin.documents.append(asleep)
    heard.append(StorageChange(SESSION_KEY, phone.origin.items[SESSION_KEY]))
    for change in heard:
        asleep.deliver(change)
    await turns()
    assert (other.user_id, len(other["ratings"])) == (client.user_id, 0)


@pytest.mark.parametrize("room", range(5, 46, 10))
async def test_where_there_is_no_room_nobody_is_signed_in_by_half(
    phone: FakeDevice, client: Client, room: int
) -> None:
    await client.users.logout()
    async with connect(backend=replace(phone.backend(), is_mirrored=True)) as mirrored:
        before = dict(phone.origin.items)
        phone.origin.quota = phone.origin.used + room
        with pytest.raises(StorageFullError):
            await log_in(mirrored)
        assert (mirrored.user_id, phone.origin.items) == (None, before)
        phone.origin.quota = None
        await log_in(mirrored)
        assert mirrored.user_id == "user-1"


@pytest.mark.parametrize("pending", ["drain", "keep", "discard"])
@pytest.mark.parametrize("forgotten", [SESSION_TIME_KEY, "nothing"])
async def test_who_signs_out_where_there_is_no_room_is_signed_out(
    phone: FakeDevice, client: Client, forgotten: str, pending: Literal["drain", "keep", "discard"]
) -> None:
    await client.users.logout()
    async with connect(backend=replace(phone.backend(), is_mirrored=True)) as mirrored:
        await log_in(mirrored)
        await mirrored.profiles.add_rating(user(mirrored), "m1", 4)
        await mirrored.sync()
        phone.origin.set(forgotten, None)
        phone.origin.quota = phone.origin.used
        await mirrored.users.logout(pending=pending)
        assert (mirrored.user_id, SESSION_KEY in phone.origin.items) == (None, False)


@pytest.mark.parametrize("room", [0, 8, 16])
async def test_where_nothing_makes_room_nobody_is_signed_out_by_half(
    phone: FakeDevice, room: int
) -> None:
    stored = SignedIn(replace(phone.backend(), is_mirrored=True))
    await stored.remember("ann")
    phone.origin.set(SESSION_TIME_KEY, None)
    phone.origin.quota = phone.origin.used + room
    before = dict(phone.origin.items)
    with pytest.raises(StorageFullError):
        await stored.forget()
    assert phone.origin.items == before


async def test_what_storage_lacks_is_told_where_nobody_is_signed_in(phone: FakeDevice) -> None:
    backend = replace(phone.backend(), storage_problems=lambda: ("no database here",))
    async with connect(backend=backend) as client:
        assert client.status.problems == ("no database here",)


async def test_wrong_credentials_change_nothing(client: Client) -> None:
    with pytest.raises(ProblemError) as caught:
        await client.users.login(email="ann@example.org", password="wrong")
    assert caught.value.code == "wrong_credentials"
    assert client.user_id == "user-1"


async def test_a_revoked_session_keeps_everything_and_goes_on_after_signing_in(
    api: FakeServer, client: Client
) -> None:
    await client.profiles.add_rating(user(client), "m1", 4)
    api.revoke_tokens()
    await client.sync()
    assert (client.status.state, client.status.pending) == ("needs_auth", 1)
    await log_in(client)
    await client.sync()
    assert client.status.pending == 0


async def test_closing_releases_everything(phone: FakeDevice, client: Client) -> None:
    await client.close()
    await client.close()
    assert phone.origin.documents == []
    with pytest.raises(ClosedError):
        await client.sync()


def rows_in_memory() -> int:
    return sum(isinstance(held, Row) for held in gc.get_objects())


async def test_closing_frees_the_rows_without_the_collector(phone: FakeDevice) -> None:
    gc.collect()
    before = rows_in_memory()
    client = await connect(backend=phone.backend(), background=False)
    await register(client, "bea")
    for number in range(5):
        await client.profiles.add_rating(user(client), f"m{number}", 4)
    await client.sync()
    assert rows_in_memory() >= before + 5
    gc.disable()
    try:
        await client.close()
        assert rows_in_memory() == before
    finally:
        gc.enable()


async def test_closing_keeps_what_is_pending(
    api: FakeServer, client: Client, open_client: OpenClient
) -> None:
    await client.profiles.add_rating(user(client), "m1", 4)
    await client.close()
    again = await open_client()
    assert again.status.pending == 1


async def test_closing_leaves_no_task(open_client: OpenClient) -> None:
    before = asyncio.all_tasks()
    client = await open_client(user_id="ann", background=True)
    await turns()
    await client.close()
    await turns()
    assert asyncio.all_tasks() <= before


async def test_a_mapping_reads_newest_first(client: Client) -> None:
    for name in ("m1", "m2", "m3"):
        await client.profiles.add_rating(user(client), name, 4)
    assert list(client["ratings"]) == ["m3", "m2", "m1"]
    assert "m1" in client["ratings"]
    with pytest.raises(KeyError):
        client["ratings"]["m4"]


async def test_watching_tells_of_each_change(client: Client) -> None:
    watching = client.watch("ratings")
    assert dict(await anext(watching)) == {}
    await client.profiles.add_rating(user(client), "m1", 4)
    assert list(await anext(watching)) == ["m1"]
    await client.users.logout()
    assert dict(await anext(watching)) == {}


async def lose_a_rating(api: FakeServer, client: Client, open_client: OpenClient) -> None:
    """``client`` rates a title, and somewhere else it is rated again, later."""
    tv = await open_client(FakeDevice(api, now_ms=lambda: api.now_ms() + 1_500))
    await log_in(tv)
    await tv.sync()
    await client.sync()
    await client.profiles.add_rating(user(client), "m1", 1, review="between us")
    await tv.profiles.add_rating(user(tv), "m1", 5)
    await tv.sync()
    await client.sync()


async def test_a_lost_conflict_is_told(
    api: FakeServer, client: Client, open_client: OpenClient
) -> None:
    await lose_a_rating(api, client, open_client)
    conflict = await anext(client.conflicts())
    assert (conflict.operation.data or {})["rating"] == 1
    assert (conflict.winner.data or {})["rating"] == 5


async def test_a_listener_hears_of_each_conflict_whatever_it_does(
    api: FakeServer, phone: FakeDevice, open_client: OpenClient
) -> None:
    heard: list[Conflict] = []

    def listen(conflict: Conflict) -> None:
        heard.append(conflict)
        raise ValueError("a mistake of the app")

    client = await open_client(phone, on_conflict=listen)
    await register(client, "ann")
    for _ in range(2):
        await lose_a_rating(api, client, open_client)
    await turns()
    assert [conflict.operation.key for conflict in heard] == ["m1", "m1"]


async def test_inspecting_tells_what_happened_and_nothing_private(open_client: OpenClient) -> None:
    clock = ManualClock()
    api = FakeServer(anyone=False, now_ms=clock)
    client = await open_client(FakeDevice(api, now_ms=clock))
    await register(client, "ann")
    await client.profiles.add_rating(user(client), "m1", 1, review="between us")
    await client.sync()
    api.fail_next(*[lost_request()] * 3)
    await client.profiles.add_favorite(user(client), "m2", title="Between us too")
    clock.advance(5)
    await client.sync()
    found = client.inspect()
    assert [(each["collection"], each["key"]) for each in found["pending"]] == [("favorites", "m2")]
    assert found["lag"] == 5
    assert found["status"]["state"] == "backoff"
    assert [event["kind"] for event in found["events"]] == ["sync", "state"]
    assert found["live"]["ratings"] == 1
    assert "etween us" not in json.dumps(found)


async def test_the_status_says_what_is_wrong(api: FakeServer, client: Client) -> None:
    await client.profiles.add_rating(user(client), "m1", 4)
    api.fail_next(*[lost_request()] * 3)
    report = await client.sync()
    assert not report.ok
    assert (client.status.state, client.status.pending) == ("backoff", 1)
    assert client.status.message
