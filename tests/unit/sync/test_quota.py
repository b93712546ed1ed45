"""Little room: what is given up, in which order, and that no accepted write is ever lost."""

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress

import pytest

from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.collections import BUILT_IN, Registry
from atiha_web.errors import StorageFullError
from atiha_web.sync import pages, room
from atiha_web.sync.local_store import LocalStore
from atiha_web.sync.names import Names
from atiha_web.sync.pages import Manifest, decode_manifest
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import FakeDevice, FakeServer, ManualClock, answer
from tests.unit.sync.samples import OpenTab, queue_of, rating, turns

NAMES = Names("ann")
KEYS = [f"m{number}" for number in range(12)]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a few rows: what is said of many pages needs no megabytes."""
    monkeypatch.setattr(pages, "PAGE_UNITS", 400)


async def rate(tab: Synchronizer, key: str, stars: int, size: int = 100) -> None:
    await tab.write("ratings", key, {"rating": stars, "review": "x" * size})


@pytest.fixture
async def tab(open_tab: OpenTab) -> Synchronizer:
    """A tab in step with the server, its base on several pages."""
    tab = await open_tab()
    await tab.sync()
    for key in KEYS:
        await rate(tab, key, 3)
    await tab.sync()
    return tab


def stored_manifest(device: FakeDevice) -> Manifest:
    manifest = decode_manifest(device.origin.items.get(NAMES.manifest))
    assert manifest is not None
    return manifest


def views(device: FakeDevice) -> list[str]:
    return [
        key for key in device.origin.items if key.startswith("atiha_") and key != "atiha_last_sync"
    ]


async def fill_up(device: FakeDevice, tab: Synchronizer) -> None:
    """Leave room for nothing, and let one write find that."""
    device.origin.quota = device.origin.used
    await rate(tab, "new", 5)


async def test_views_go_first_and_base_stays_whole(device: FakeDevice, tab: Synchronizer) -> None:
    before = stored_manifest(device)
    await fill_up(device, tab)
    assert views(device) == []
    assert stored_manifest(device) == before
    assert (tab.status().partial, tab.status().state, queue_of(tab)) == (False, "idle", 1)


async def test_then_the_oldest_pages_go_one_after_the_other(
    device: FakeDevice, tab: Synchronizer
) -> None:
    before = list(stored_manifest(device).pages)
    await fill_up(device, tab)
    device.origin.quota = device.origin.used
    await rate(tab, "newer", 4, size=300)
    manifest = stored_manifest(device)
    assert 0 < len(manifest.pages) < len(before)
    assert list(manifest.pages) == before[-len(manifest.pages) :]
    assert (manifest.partial, manifest.epoch, manifest.cursor) == (True, None, 0)
    assert tab.status().partial
    assert [rating(tab, key) for key in [*KEYS, "new", "newer"]] == [3] * len(KEYS) + [5, 4]


async def test_a_write_without_room_is_refused_in_words_and_changes_nothing(
    device: FakeDevice, tab: Synchronizer
) -> None:
    device.break_network()
    device.origin.quota = 0
    with pytest.raises(StorageFullError, match="full"):
        await rate(tab, "m1", 5)
    status = tab.status()
    assert (status.state, status.pending, rating(tab, "m1")) == ("storage_full", 0, 3)
    assert "sync" in status.message
    device.origin.quota = device.origin.used + 1_000
    await rate(tab, "m1", 5)
    assert (tab.status().state, rating(tab, "m1")) == ("idle", 5)


async def test_operations_that_left_the_journal_end_storage_full(
    device: FakeDevice, tab: Synchronizer
) -> None:
    await fill_up(device, tab)
    device.origin.quota = 0
    with pytest.raises(StorageFullError):
        await rate(tab, "m1", 5)
    assert (await tab.sync()).ok
    assert (tab.status().state, queue_of(tab)) == ("idle", 0)


async def test_without_room_and_without_a_session_one_is_asked_to_sign_in(
    device: FakeDevice, tab: Synchronizer, server: FakeServer
) -> None:
    await fill_up(device, tab)
    device.origin.quota = 0
    with pytest.raises(StorageFullError):
        await rate(tab, "m1", 5)
    server.fail_next(answer(401))
    assert not (await tab.sync()).ok
    assert (tab.status().state, queue_of(tab)) == ("needs_auth", 1)


async def test_the_journal_drains_though_base_cannot_be_stored(
    device: FakeDevice, tab: Synchronizer, server: FakeServer
) -> None:
    await fill_up(device, tab)
    assert (await tab.sync()).ok
    assert (queue_of(tab), tab.status().partial, rating(tab, "new")) == (0, True, 5)
    assert len(await server.rows_of("ann", "ratings")) == len(KEYS) + 1


async def test_nothing_is_written_back_before_there_is_room_and_then_everything(
    device: FakeDevice, tab: Synchronizer, open_tab: OpenTab
) -> None:
    await fill_up(device, tab)
    await tab.sync()
    before = dict(device.origin.items)
    device.origin.quota = device.origin.used + room.ROOM_UNITS - 1
    await tab.sync()
    assert device.origin.items == before
    device.origin.quota = device.origin.used + room.ROOM_UNITS + 100
    await tab.sync()
    assert (tab.status().partial, stored_manifest(device).partial) == (False, False)
    assert len(views(device)) > 0
    device.break_network()
    again = await open_tab()
    assert {key: rating(again, key) for key in [*KEYS, "new"]} == dict.fromkeys(KEYS, 3) | {
        "new": 5
    }


async def test_room_is_not_measured_at_writes(
    device: FakeDevice, tab: Synchronizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill_up(device, tab)
    device.break_network()
    await tab.sync()
    device.origin.quota = None
    for number in range(5):
        await rate(tab, "again", 1 + number)
    assert views(device) == []
    await tab.sync()
    assert views(device) != []


async def test_a_partial_base_is_pulled_again_at_the_next_start(
    device: FakeDevice, tab: Synchronizer, open_tab: OpenTab
) -> None:
    await fill_up(device, tab)
    device.origin.quota = device.origin.used
    await rate(tab, "newer", 4, size=300)
    await tab.stop()
    again = await open_tab()
    shown = [key for key in KEYS if rating(again, key) is not None]
    assert 0 < len(shown) < len(KEYS)
    assert again.status().partial
    await again.sync()
    assert [rating(again, key) for key in KEYS] == [3] * len(KEYS)
    assert again.status().partial
    device.origin.quota = None
    await again.sync()
    assert not again.status().partial


async def test_another_tab_does_not_take_the_room_that_was_made(
    device: FakeDevice, tab: Synchronizer, open_tab: OpenTab
) -> None:
    other = await open_tab()
    await fill_up(device, tab)
    device.origin.quota = device.origin.used
    await rate(tab, "newer", 4, size=300)
    device.origin.quota = device.origin.used + 5_000
    await turns()
    before = stored_manifest(device)
    await other.sync()
    await tab.sync()
    assert stored_manifest(device) == before
    assert (other.status().partial, tab.status().partial) == (True, True)
    assert [rating(other, key) for key in [*KEYS, "newer"]] == [3] * len(KEYS) + [4]
    device.origin.quota = None
    await other.sync()
    await turns()
    await tab.sync()
    assert (other.status().partial, tab.status().partial) == (False, False)


async def test_base_may_take_the_room_of_the_one_it_replaces(
    device: FakeDevice, tab: Synchronizer
) -> None:
    device.origin.quota = device.origin.used + 200
    local = tab.engine.local
    async with local.mutex:
        await local.store.base.replace(local.memory.base)
    assert (local.store.base.partial, stored_manifest(device).cursor) == (False, len(KEYS))


async def test_a_refused_operation_without_room_for_quarantine_stays_pending(
    device: FakeDevice, tab: Synchronizer, server: FakeServer
) -> None:
    await rate(tab, "m1", 5)
    device.origin.quota = 0
    server.fail_next(answer(422))
    report = await tab.sync()
    assert (report.ok, tab.status().state, queue_of(tab)) == (False, "storage_full", 1)
    device.origin.quota = None
    server.fail_next(answer(422))
    await tab.sync()
    assert (queue_of(tab), tab.status().quarantined) == (0, 1)


# -- storage that is cleared, and has no room ---------------------------------------------------


@pytest.mark.parametrize("synced", [False, True], ids=["without a base", "with a base"])
@pytest.mark.parametrize("told", [False, True], ids=["unheard", "heard"])
async def test_what_is_pending_waits_in_memory_and_is_stored_when_there_is_room(
    device: FakeDevice, open_tab: OpenTab, *, synced: bool, told: bool
) -> None:
    tab = await open_tab()
    if synced:
        await tab.sync()
    device.break_network()
    await rate(tab, "m1", 5)
    journal = {key: text for key, text in device.origin.items.items() if ":j:" in key}
    clear(device, told=told)
    for _ in range(2):
        await turns()
        await tab.sync()
        status = tab.status()
        assert (status.state, status.pending, status.partial) == ("storage_full", 1, True)
    device.origin.quota = None
    await tab.sync()
    assert len(journal) == 1
    assert journal.items() <= device.origin.items.items()
    assert (tab.status().state, tab.status().partial) == ("backoff", False)


@pytest.mark.parametrize("told", [False, True], ids=["unheard", "heard"])
async def test_what_is_pending_is_sent_though_storage_was_cleared_and_has_no_room(
    device: FakeDevice, tab: Synchronizer, server: FakeServer, *, told: bool
) -> None:
    await rate(tab, "new", 5)
    clear(device, told=told)
    await turns()
    assert (await tab.sync()).ok
    assert (tab.status().state, queue_of(tab), rating(tab, "new")) == ("idle", 0, 5)
    assert len(await server.rows_of("ann", "ratings")) == len(KEYS) + 1


async def test_after_a_clear_base_is_not_stored_before_there_was_room_for_the_journal(
    device: FakeDevice, tab: Synchronizer
) -> None:
    device.break_network()
    await rate(tab, "new", 5)
    clear(device, told=True)
    await turns()
    device.origin.quota = None
    local = tab.engine.local
    async with local.mutex:
        local.store.room.measure_again()
        await local.write_back()
    assert device.origin.items == {}
    await tab.sync()
    assert (queue_of(tab), stored_manifest(device).partial) == (1, False)
    assert any(":j:" in key for key in device.origin.items)


def clear(device: FakeDevice, *, told: bool) -> None:
    """Somebody clears storage, and somebody else takes all the room."""
    device.origin.quota = 0
    if told:
        device.origin.clear()
    else:
        device.origin.items.clear()


# -- whatever happens --------------------------------------------------------------------------


class CrashError(Exception):
    """The browser died."""


class MortalStorage(MemoryStorage):
    """Dies at the ``left``-th change of a key: that one is not made, and nothing after it."""

    def __init__(self, origin: MemoryOrigin, left: int) -> None:
        super().__init__(origin)
        self.left = left

    @property
    def dead(self) -> bool:
        return self.left <= 0

    async def read(self, keys: Sequence[str]) -> list[str | None]:
        self._check()
        return await super().read(keys)

    async def keys(self, prefix: str) -> list[str]:
        self._check()
        return await super().keys(prefix)

    async def write(self, changes: Mapping[str, str | None]) -> None:
        for key, text in changes.items():
            self.left -= 1
            self._check()
            await super().write({key: text})

    def _check(self) -> None:
        if self.dead:
            raise CrashError


class Life:
    """Two tabs of one user on a device with little room, and what was promised to the user."""

    def __init__(self, seed: int, server: FakeServer, wall: ManualClock) -> None:
        self.random = random.Random(seed)
        self.wall = wall
        quota = self.random.choice([500, 1_000, 2_000, 4_000, 8_000])
        self.device = FakeDevice(
            server, now_ms=wall, random=self.random, origin=MemoryOrigin(quota)
        )
        self.tabs: list[tuple[Synchronizer, MortalStorage] | None] = [None, None]
        self.allowed: dict[str, set[int | None]] = {key: {None} for key in KEYS}

    async def tab(self, number: int, left: int) -> tuple[Synchronizer, MortalStorage] | None:
        found = self.tabs[number]
        if found is not None and not found[1].dead:
            return found
        await self.close(number)
        storage = MortalStorage(self.device.origin, left)
        registry = Registry(BUILT_IN)
        tab = Synchronizer(
            self.device.backend(storage), registry, "ann", base_url="", headers=dict, interval=30.0
        )
        with suppress(StorageFullError, CrashError):
            await tab.start(background=False)
            self.tabs[number] = tab, storage
            return self.tabs[number]
        storage.close()
        return None

    async def close(self, number: int) -> None:
        found = self.tabs[number]
        if found is not None:
            await found[0].stop()
            found[1].close()
        self.tabs[number] = None

    async def step(self) -> None:
        self.wall.advance(1)
        number = self.random.randrange(2)
        found = await self.tab(number, self.random.choice([40, 200, 10_000]))
        if found is None:
            return
        action = self.random.choices(["write", "sync", "restart", "network"], [8, 4, 1, 2])[0]
        if action == "write":
            await self.write(*found)
        elif action == "sync":
            report = await found[0].sync()
            assert found[1].dead or "unexpectedly" not in report.message, report
        elif action == "restart":
            await self.close(number)
        else:
            self.device.break_network(broken=self.random.random() < 0.5)
        await turns(10)

    async def write(self, tab: Synchronizer, storage: MortalStorage) -> None:
        key, stars = self.random.choice(KEYS), self.random.randint(1, 5)
        before = rating(tab, key)
        try:
            await rate(tab, key, stars, self.random.choice([0, 50, 300]))
        except StorageFullError:
            assert rating(tab, key) == before
            assert tab.status().state == "storage_full"
        except CrashError:
            self.allowed[key] |= {stars}
        else:
            assert storage.dead or rating(tab, key) == stars
            self.allowed[key] = {stars}

    async def make_room(self) -> None:
        self.device.origin.quota = None
        self.device.break_network(broken=False)
        for number in (0, 1, 0, 1):
            found = await self.tab(number, 1_000_000)
            assert found is not None
            found[1].left = 1_000_000
            assert (await found[0].sync()).ok
            await turns()


async def test_a_crash_between_manifest_and_page_leaves_no_claim_of_what_is_gone(
    device: FakeDevice, tab: Synchronizer
) -> None:
    before = stored_manifest(device)
    storage = MortalStorage(device.origin, left=2)
    store = LocalStore(storage, NAMES, "0" * 12, {})
    with pytest.raises(CrashError):
        await store.base.give_up_pages()
    manifest = stored_manifest(device)
    assert list(manifest.pages) == list(before.pages)[1:]
    assert (manifest.partial, manifest.cursor) == (True, 0)
    assert all(NAMES.pages + name in device.origin.items for name in before.pages)
    storage.close()


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_happens_no_accepted_write_is_lost(
    seed: int, server: FakeServer, wall: ManualClock
) -> None:
    life = Life(seed, server, wall)
    for _ in range(80):
        await life.step()
    await life.make_room()
    rows = {row["contentId"]: row["rating"] for row in await server.rows_of("ann", "ratings")}
    assert all(rows.get(key) in allowed for key, allowed in life.allowed.items())
    await life.close(1)
    life.device.break_network()
    assert await life.tab(1, 1_000_000) is not None
    for found in life.tabs:
        assert found is not None
        assert {key: rating(found[0], key) for key in rows} == rows
        assert (queue_of(found[0]), found[0].status().partial) == (0, False)
    for number in (0, 1):
        await life.close(number)
