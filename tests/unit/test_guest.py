"""What is done before signing in belongs to who signs in then, once, and to nobody else."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atiha_web import (
    GUEST,
    Client,
    NotSignedInError,
    Rating,
    SaveError,
    UserProfile,
    WatchHistoryEntry,
    WrongUserError,
    connect,
)
from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.sync.names import FORGOTTEN, HEIR_KEY, is_user_id
from atiha_web.testing.fake_server import FakeDevice, FakeServer, Fault, ManualClock, answer
from tests.unit.sync.samples import CrashError, CrashingStorage

OpenClient = Callable[..., Awaitable[Client]]
PASSWORD = "long enough"
ANN = "user-1"
BOB = "user-2"


@pytest.fixture
def wall() -> ManualClock:
    return ManualClock()


@pytest.fixture
def api(wall: ManualClock) -> FakeServer:
    return FakeServer(anyone=False, now_ms=wall)


@pytest.fixture
def phone(api: FakeServer, wall: ManualClock) -> FakeDevice:
    return FakeDevice(api, now_ms=wall, random=random.Random(1))


@pytest.fixture
async def guest(open_client: OpenClient) -> Client:
    """A client nobody signed in to."""
    return await open_client(guest=True)


@pytest.fixture
async def account(api: FakeServer, wall: ManualClock, open_client: OpenClient) -> Client:
    """Ann's own account, on another device."""
    made = await open_client(FakeDevice(api, now_ms=wall, random=random.Random(2)))
    await register(made, "ann")
    return made


async def turns(count: int = 100) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def register(client: Client, name: str) -> None:
    await client.users.register_user(email=f"{name}@example.org", password=PASSWORD, name=name)


async def log_in(client: Client, name: str = "ann") -> None:
    await client.users.login(email=f"{name}@example.org", password=PASSWORD)


def stars(client: Client) -> dict[str, int]:
    """The ratings a client shows."""
    return {key: each.rating for key, each in client["ratings"].items() if isinstance(each, Rating)}


def journal(origin: MemoryOrigin, user_id: str) -> dict[str, list[Any]]:
    """The pending operations of a user by id."""
    prefix = f"atiha:{user_id}:j:"
    return {
        key.removeprefix(prefix): json.loads(text)
        for key, text in origin.items.items()
        if key.startswith(prefix)
    }


def shown(origin: MemoryOrigin, user_id: str) -> list[str]:
    """The views of a user that any page can read."""
    return [key for key in origin.items if key.endswith(f"_{user_id}")]


def test_no_user_can_be_called_like_the_guest() -> None:
    assert not is_user_id(GUEST)


async def test_an_app_that_keeps_no_guests_data_has_none(open_client: OpenClient) -> None:
    client = await open_client()
    assert client.guest_id is None
    with pytest.raises(NotSignedInError):
        await client.profiles.add_rating(GUEST, "m1", 4)


async def test_a_guest_reads_what_they_wrote_and_nothing_is_sent(
    api: FakeServer, phone: FakeDevice, open_client: OpenClient
) -> None:
    guest = await open_client(guest=True, background=True)
    await guest.profiles.add_rating(GUEST, "m1", 4)
    await guest.profiles.update_user_profile(GUEST, language="fr")
    phone.set_online(online=True)
    await turns()
    assert (guest.guest_id, guest.user_id, stars(guest)) == (GUEST, None, {"m1": 4})
    assert (await guest.profiles.get_user_profile(GUEST)).language == "fr"
    assert api.requests == []


async def test_the_status_of_a_guest_counts_and_says_why_nothing_is_sent(guest: Client) -> None:
    await guest.put("ratings", "m1", {"rating": 4})
    status = guest.status
    assert (status.user_id, status.state, status.pending) == (None, "needs_auth", 1)
    assert "nobody is signed in" in status.message


async def test_watching_goes_on_from_the_guest_to_the_user(guest: Client) -> None:
    watching = guest.watch("ratings")
    assert dict(await anext(watching)) == {}
    await guest.profiles.add_rating(GUEST, "m1", 4)
    assert list(await anext(watching)) == ["m1"]
    await register(guest, "ann")
    async for seen in watching:
        if guest.user_id == ANN and list(seen) == ["m1"]:
            break


async def test_a_guest_cannot_sync_nor_have_a_write_on_the_server(guest: Client) -> None:
    write = await guest.profiles.add_rating(GUEST, "m1", 4)
    await write.saved("local")
    with pytest.raises(SaveError, match="nobody is signed in"):
        await write.saved("server")
    with pytest.raises(NotSignedInError):
        await guest.sync()


async def test_a_guest_is_no_user_and_a_user_no_guest(guest: Client) -> None:
    with pytest.raises(NotSignedInError):
        await guest.profiles.add_rating("ann", "m1", 4)
    await register(guest, "ann")
    assert guest.guest_id is None
    with pytest.raises(WrongUserError):
        await guest.profiles.add_rating(GUEST, "m1", 4)


async def test_a_guests_data_is_there_at_the_next_start(
    phone: FakeDevice, guest: Client, open_client: OpenClient
) -> None:
    await guest.profiles.add_rating(GUEST, "m1", 4)
    await guest.profiles.update_user_profile(GUEST, language="fr")
    await guest.close()
    again = await open_client(guest=True)
    assert (stars(again), again.status.pending, again.status.problems) == ({"m1": 4}, 2, ())
    assert "atiha_sync_queue" not in phone.origin.items


async def test_logging_out_as_a_guest_changes_nothing_even_if_discarding(guest: Client) -> None:
    await guest.profiles.add_rating(GUEST, "m1", 4)
    await register(guest, "ann")
    await guest.sync()
    await guest.users.logout()
    await guest.profiles.add_rating(GUEST, "m2", 2)
    await guest.users.logout(pending="discard")
    assert (guest.guest_id, stars(guest)) == (GUEST, {"m2": 2})


async def test_signing_in_takes_over_what_the_guest_did(
    api: FakeServer, phone: FakeDevice, guest: Client
) -> None:
    await guest.profiles.add_rating(GUEST, "m1", 4)
    await guest.profiles.update_user_profile(GUEST, language="fr")
    before = journal(phone.origin, GUEST)
    await register(guest, "ann")
    assert stars(guest) == {"m1": 4}
    after = journal(phone.origin, ANN)
    assert {name: each[3] for name, each in after.items()} == {
        name: each[3] for name, each in before.items()
    }
    assert (await guest.sync()).ok
    assert [row["contentId"] for row in await api.rows_of(ANN, "ratings")] == ["m1"]
    profile = guest["profile"][ANN]
    assert isinstance(profile, UserProfile)
    assert profile.language == "fr"
    assert guest.status.problems == ()


async def test_nothing_of_the_guest_is_left_after_that(phone: FakeDevice, guest: Client) -> None:
    await guest.profiles.add_rating(GUEST, "m1", 4)
    await register(guest, "ann")
    left = [key for key in phone.origin.items if GUEST in key]
    assert left == [f"atiha:{GUEST}:m"]
    await guest.sync()
    await guest.users.logout()
    assert (guest.guest_id, stars(guest), guest.status.pending) == (GUEST, {}, 0)


async def test_what_the_guest_said_before_never_comes_back_from_a_mirror(phone: FakeDevice) -> None:
    backend = replace(phone.backend(), is_mirrored=True)
    async with connect(backend=backend, guest=True) as client:
        writes = [await client.profiles.add_rating(GUEST, "m1", each) for each in (3, 4)]
        await register(client, "ann")
    given_up = {each.operation.id for each in writes if each.operation}
    marks = {f"{FORGOTTEN}{GUEST}:{name}" for name in given_up}
    assert (len(marks), marks & phone.origin.items.keys()) == (2, marks)


async def test_what_the_account_has_that_is_newer_wins(
    wall: ManualClock, guest: Client, account: Client
) -> None:
    await guest.profiles.add_rating(GUEST, "m1", 1)
    wall.advance(60)
    await account.profiles.add_rating(ANN, "m1", 5)
    await account.profiles.add_rating(ANN, "m2", 5)
    await account.sync()
    wall.advance(60)
    await guest.profiles.add_rating(GUEST, "m2", 2)
    await log_in(guest)
    await guest.sync()
    await account.sync()
    assert stars(guest) == stars(account) == {"m1": 5, "m2": 2}


async def test_what_the_guest_took_back_takes_nothing_from_the_account(
    wall: ManualClock, guest: Client, account: Client
) -> None:
    await account.profiles.add_rating(ANN, "m1", 5)
    await account.sync()
    wall.advance(60)
    await guest.profiles.add_rating(GUEST, "m1", 1)
    await guest.profiles.remove_rating(GUEST, "m1")
    await log_in(guest)
    await guest.sync()
    assert stars(guest) == {"m1": 5}


async def test_what_the_guest_took_back_stays_so_if_what_they_said_next_is_refused(
    api: FakeServer, wall: ManualClock, guest: Client, account: Client
) -> None:
    await account.profiles.add_rating(ANN, "m1", 5)
    await account.sync()
    wall.advance(60)
    await guest.profiles.add_rating(GUEST, "m1", 1)
    await guest.profiles.remove_rating(GUEST, "m1")
    await guest.profiles.add_rating(GUEST, "m1", 2, "a review nobody takes")
    api.next_fault = lambda request: (
        replace(answer(422), acts=0) if b"nobody takes" in (request.body or b"") else Fault()
    )
    await log_in(guest)
    await guest.sync()
    assert (stars(guest), len(guest.quarantined)) == ({"m1": 5}, 1)


async def test_viewings_are_merged_one_by_one(
    wall: ManualClock, guest: Client, account: Client
) -> None:
    async def watch(client: Client, user_id: str, key: str, progress: float) -> None:
        await client.profiles.add_to_watch_history(user_id, key, "movie", "M", progress=progress)
        wall.advance(60)

    await watch(guest, GUEST, "old", 10)
    await watch(account, ANN, "old", 20)
    await watch(guest, GUEST, "old", 30)
    await watch(account, ANN, "new", 40)
    await watch(guest, GUEST, "new", 50)
    await account.sync()
    await log_in(guest)
    await guest.sync()
    history = guest["watch_history"]
    progress = {
        key: each.progress for key, each in history.items() if isinstance(each, WatchHistoryEntry)
    }
    assert progress == {"old": 20, "new": 50}


async def test_a_rest_server_is_told_in_the_order_of_the_writes(open_client: OpenClient) -> None:
    client = await open_client(guest=True, protocol="rest")
    for key, rating in (("m1", 1), ("m2", 2), ("m1", 3)):
        await client.profiles.add_rating(GUEST, key, rating)
    await client.delete("ratings", "m2")
    await client.close()
    client = await open_client(guest=True, protocol="rest", user_id=ANN)
    pending = client.signed_in.engine.local.memory.pending.values()
    assert [each.data["rating"] for each in pending if each.data is not None] == [1, 3]
    assert stars(client) == {"m1": 3}


async def test_a_rest_server_is_told_the_heirs_preferences_with_the_guests(
    open_client: OpenClient,
) -> None:
    client = await open_client(protocol="rest", user_id=ANN)
    await client.profiles.update_user_profile(ANN, preferences={"a": 1})
    await client.close()
    client = await open_client(guest=True, protocol="rest")
    await client.profiles.update_user_profile(GUEST, preferences={"b": 2})
    await client.close()
    client = await open_client(guest=True, protocol="rest", user_id=ANN)
    pending = client.signed_in.engine.local.memory.pending.values()
    told = [each.data["preferences"] for each in pending if each.data is not None]
    assert told == [{"a": 1}, {"a": 1, "b": 2}]


async def test_other_tabs_follow_with_what_they_wrote_last(
    phone: FakeDevice, guest: Client, open_client: OpenClient
) -> None:
    other = await open_client(guest=True)
    await guest.profiles.add_rating(GUEST, "m1", 4)
    await turns()
    assert stars(other) == {"m1": 4}
    signing_in = asyncio.ensure_future(register(guest, "ann"))
    while "atiha_session" not in phone.origin.items:
        if other.guest_id is not None:
            await other.profiles.add_rating(GUEST, "m2", 2)
        await asyncio.sleep(0)
    await signing_in
    await turns()
    assert (other.user_id, stars(other), stars(guest)) == (ANN, {"m1": 4, "m2": 2}, stars(other))
    assert (journal(phone.origin, GUEST), shown(phone.origin, GUEST)) == ({}, [])
    assert len(json.loads(phone.origin.items["atiha_sync_queue"])) == guest.status.pending


async def test_a_tab_that_never_heard_brings_nothing_back(
    phone: FakeDevice, guest: Client, open_client: OpenClient
) -> None:
    deaf = await open_client(guest=True)
    await guest.profiles.add_rating(GUEST, "m1", 4)
    await turns()
    left = deaf.opened
    deaf._backend.storage.deliver = lambda change: None  # type: ignore[attr-defined]
    await register(guest, "ann")
    await left.sync()
    assert (left.status().pending, journal(phone.origin, GUEST)) == (0, {})


async def test_where_there_is_no_room_the_guests_data_stays_until_there_is(
    phone: FakeDevice, guest: Client, open_client: OpenClient
) -> None:
    for number in range(20):
        await guest.put("ratings", f"m{number}", {"rating": 4, "review": "x" * 1_000})
    before = journal(phone.origin, GUEST)
    await guest.close()
    phone.origin.quota = phone.origin.used + 2_000
    full = await open_client(guest=True, user_id=ANN)
    assert journal(phone.origin, GUEST) == before
    assert any("no room" in problem for problem in full.status.problems)
    await full.close()
    closed = await open_client(guest=True)
    assert closed.guest_id is None
    await closed.close()
    phone.origin.quota = None
    await open_client(guest=True, user_id=BOB)
    assert (journal(phone.origin, GUEST), journal(phone.origin, BOB)) == ({}, {})
    assert journal(phone.origin, ANN).keys() == before.keys()


async def test_a_guest_sees_nothing_of_who_was_signed_in_before(
    phone: FakeDevice, guest: Client
) -> None:
    await register(guest, "ann")
    await guest.profiles.add_rating(ANN, "m1", 4)
    phone.set_online(online=False)
    await guest.users.logout(pending="keep")
    phone.set_online(online=True)
    assert (stars(guest), guest.status.pending, shown(phone.origin, ANN)) == ({}, 0, [])
    await guest.profiles.add_rating(GUEST, "m2", 2)
    await register(guest, "bob")
    await guest.sync()
    assert stars(guest) == {"m2": 2}
    await guest.users.logout()
    await log_in(guest)
    assert (stars(guest), guest.status.pending) == ({"m1": 4}, 1)


async def test_another_users_sign_in_keeps_what_is_pending_for_the_first_ones_next(
    api: FakeServer, phone: FakeDevice, client: Client
) -> None:
    phone.break_network()
    await client.profiles.add_rating(ANN, "m1", 4)
    before = journal(phone.origin, ANN)
    phone.break_network(broken=False)
    await register(client, "bob")
    await client.profiles.add_rating(BOB, "m2", 2)
    assert (client.status.pending, stars(client), shown(phone.origin, ANN)) == (1, {"m2": 2}, [])
    assert [item["userId"] for item in json.loads(phone.origin.items["atiha_sync_queue"])] == [BOB]
    await client.sync()
    assert (journal(phone.origin, ANN), await api.rows_of(ANN, "ratings")) == (before, [])
    assert [row["contentId"] for row in await api.rows_of(BOB, "ratings")] == ["m2"]
    await log_in(client)
    assert (client.status.pending, stars(client), shown(phone.origin, BOB)) == (1, {"m1": 4}, [])
    await client.sync()
    assert [row["contentId"] for row in await api.rows_of(ANN, "ratings")] == ["m1"]


async def left_by_a_guest(wall: ManualClock) -> dict[str, str]:
    """What a guest's writes leave in storage."""
    device = FakeDevice(FakeServer(), now_ms=wall, random=random.Random(3))
    async with connect(backend=device.backend(), guest=True, background=False) as guest:
        for key, rating in (("m1", 1), ("m2", 2), ("m1", 3), ("m3", 4)):
            await guest.profiles.add_rating(GUEST, key, rating)
            wall.advance(1)
        await guest.profiles.remove_rating(GUEST, "m3")
        await guest.profiles.add_to_watch_history(GUEST, "m1", "movie", "M", completed=True)
        await guest.profiles.update_user_profile(GUEST, language="fr", autoplay=False)
        await guest.profiles.update_user_profile(GUEST, language="en")
    return dict(device.origin.items)


class Shared:
    """A browser profile a guest wrote in, that dies again and again; Ann and Bob have accounts."""

    def __init__(self, items: dict[str, str], wall: ManualClock) -> None:
        self.api = FakeServer(anyone=False, now_ms=wall)
        self.device = FakeDevice(self.api, now_ms=wall, random=random.Random(4))
        for key, text in items.items():
            self.device.origin.set(key, text)
        self.wall = wall

    async def make_accounts(self) -> None:
        other = FakeDevice(self.api, now_ms=self.wall)
        async with connect(backend=other.backend(), background=False) as client:
            await register(client, "ann")
            await register(client, "bob")

    async def sign_in(self, name: str, after: int = -1, *, mirrored: bool = False) -> None:
        """Start, sign in and stop; dies at the ``after``-th change of a key."""
        storage = CrashingStorage(self.device.origin, after)
        backend = replace(self.device.backend(storage), is_mirrored=mirrored)
        opening = connect(backend=backend, guest=True, background=False)
        try:
            client = await opening
        except CrashError:
            await turns(5)
        else:
            try:
                await log_in(client, name)
            except CrashError:
                await turns(5)
            await client.close()
        storage.close()

    def held(self) -> tuple[set[str], set[str], set[str]]:
        """The ids in the journals of guest, Ann and Bob."""
        guest, ann, bob = (set(journal(self.device.origin, user)) for user in (GUEST, ANN, BOB))
        return guest, ann, bob


async def shared(wall: ManualClock) -> Shared:
    made = Shared(await left_by_a_guest(ManualClock()), wall)
    await made.make_accounts()
    return made


@given(st.lists(st.integers(0, 40), max_size=4))
async def test_crashes_anywhere_change_nothing_in_the_end(crashes: list[int]) -> None:
    calm = await shared(ManualClock())
    await calm.sign_in("ann")
    expected = journal(calm.device.origin, ANN)
    device = await shared(ManualClock())
    for after in crashes:
        await device.sign_in("ann", after)
        guest, ann, _ = device.held()
        assert expected.keys() <= guest | ann
    await device.sign_in("ann")
    await device.sign_in("ann")
    assert journal(device.device.origin, ANN) == expected
    assert len(expected) == 5
    assert (journal(device.device.origin, GUEST), shown(device.device.origin, GUEST)) == ({}, [])
    assert HEIR_KEY not in device.device.origin.items


@pytest.mark.parametrize("after", range(34))
async def test_after_a_crash_no_operation_belongs_to_two_users(after: int) -> None:
    device = await shared(ManualClock())
    live = 5
    await device.sign_in("ann", after)
    device.device.origin.set("atiha_session", None)
    await device.sign_in("bob")
    guest, ann, bob = device.held()
    assert (guest, len(ann | bob), ann & bob) == (set(), live, set())
    assert not ann or not bob


@pytest.mark.parametrize("after", range(60))
async def test_after_a_crash_all_that_left_the_guests_journal_is_marked(after: int) -> None:
    device = await shared(ManualClock())
    before, _, _ = device.held()
    await device.sign_in("ann", after, mirrored=True)
    guest, _, _ = device.held()
    items = device.device.origin.items
    assert [name for name in before - guest if f"{FORGOTTEN}{GUEST}:{name}" not in items] == []


class Recording(MemoryStorage):
    """Remembers what was written, changed or not: all of it goes to a mirror."""

    def __init__(self, origin: MemoryOrigin) -> None:
        super().__init__(origin)
        self.written: set[str] = set()

    async def write(self, changes: Mapping[str, str | None]) -> None:
        self.written |= {key for key, text in changes.items() if text is not None}
        await super().write(changes)


async def test_what_a_page_handed_over_before_it_died_is_written_again_for_a_mirror() -> None:
    device = await shared(ManualClock())
    origin = device.device.origin
    origin.set(HEIR_KEY, ANN)
    name = "97b73ceb3ffd-3"
    handed_over = f"atiha:{ANN}:j:{name}"
    origin.set(handed_over, origin.items[f"atiha:{GUEST}:j:{name}"])
    storage = Recording(origin)
    backend = replace(device.device.backend(storage), is_mirrored=True)
    async with connect(backend=backend, guest=True, background=False):
        assert handed_over in storage.written


async def test_doing_it_again_after_the_server_has_it_changes_nothing() -> None:
    device = await shared(ManualClock())
    before = dict(device.device.origin.items)
    for _ in range(2):
        for key, text in before.items():
            device.device.origin.set(key, text)
        async with connect(backend=device.device.backend(), guest=True, background=False) as client:
            await log_in(client)
            assert (await client.sync()).ok
            assert stars(client) == {"m1": 3, "m2": 2}
            rows = await device.api.rows_of(ANN, "ratings")
            assert {row["contentId"]: row["rating"] for row in rows} == {"m1": 3, "m2": 2}
