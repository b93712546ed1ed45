"""Storage with a mirror: never slower or more fragile than without, and honest about `disk`."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

import pytest

from atiha_web.backends import mirror
from atiha_web.backends.base import Storage, StorageChange
from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.backends.mirror import MirroredStorage, MirrorPolicy, Recovery
from atiha_web.errors import SaveError, StorageFullError, StorageUnavailableError
from atiha_web.testing.contracts import STORAGE_CHECKS, Check
from tests.unit.simulated_mirror import Database, SimulatedMirror, opening
from tests.unit.sync.samples import turns

BROKEN = StorageUnavailableError("the database is broken")


def bring_back(
    keys: Sequence[str], stored: Mapping[str, str], mirrored: Mapping[str, str], now_ms: int
) -> Recovery:
    return Recovery(
        storage={key: text for key, text in mirrored.items() if key not in stored},
        mirror={key: text for key, text in stored.items() if key not in mirrored},
    )


POLICY = MirrorPolicy("", lambda key: key.startswith("kept:"), bring_back)
LATE = replace(POLICY, is_late=True)


async def mirrored(
    database: Database, origin: MemoryOrigin | None = None, *, seconds: float = 0.0
) -> MirroredStorage:
    storage = MirroredStorage(MemoryStorage(origin), POLICY)
    await storage.open(opening(database, seconds=seconds), 0)
    return storage


class MirroredDocuments:
    """Documents of one origin that share a mirror."""

    def __init__(self) -> None:
        self._origin = MemoryOrigin()
        self._database = Database()

    async def open(self) -> Storage:
        return await mirrored(self._database, self._origin)

    async def clear(self) -> None:
        self._origin.clear()


@pytest.mark.parametrize("check", STORAGE_CHECKS, ids=attrgetter("__name__"))
async def test_it_keeps_the_contract_of_storage(check: Check[MirroredDocuments]) -> None:
    await check(MirroredDocuments())


async def test_what_is_flushed_to_disk_is_in_the_mirror() -> None:
    database = Database()
    storage = await mirrored(database)
    await storage.write({"kept:1": "a", "kept:2": "b", "view": "c"})
    await storage.write({"kept:1": None})
    await storage.flush("disk")
    assert database.entries == {"kept:2": "b"}


async def test_the_writes_of_a_turn_are_one_transaction() -> None:
    database = Database()
    storage = await mirrored(database)
    for number in range(100):
        await storage.write({f"kept:{number}": "text"})
    await storage.flush("disk")
    assert [len(changes) for changes in database.transactions] == [100]


async def test_the_writes_of_a_pause_are_one_transaction() -> None:
    database = Database()
    storage = MirroredStorage(MemoryStorage(), replace(POLICY, pause=0.05))
    await storage.open(opening(database), 0)
    for number in range(3):
        await storage.write({f"kept:{number}": "text"})
        await turns()
    assert database.transactions == []
    await database.reached(1)
    assert database.transactions == [{f"kept:{number}": "text" for number in range(3)}]


async def test_disk_waits_for_no_pause() -> None:
    database = Database()
    storage = MirroredStorage(MemoryStorage(), replace(POLICY, pause=3600))
    await storage.open(opening(database), 0)
    for number in range(2):
        await storage.write({"kept:a": f"{number}"})
        await storage.flush("disk")
    assert database.entries == {"kept:a": "1"}
    await storage.write({"kept:a": "2"})
    storage.close()
    await turns()
    assert database.entries == {"kept:a": "2"}


async def test_writes_during_a_transaction_are_the_next_one() -> None:
    database = Database()
    storage = await mirrored(database)
    database.commits.clear()
    for number in range(3):
        await storage.write({f"kept:{number}": "text"})
        await asyncio.sleep(0)
    database.commits.set()
    await storage.flush("disk")
    assert [list(changes) for changes in database.transactions] == [
        ["kept:0"],
        ["kept:1", "kept:2"],
    ]


async def test_what_waited_long_is_mirrored_as_storage_holds_it_by_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirror, "STALE_SECONDS", 0.0)
    database, origin = Database(), MemoryOrigin()
    storage, other = await mirrored(database, origin), MemoryStorage(origin)
    database.commits.clear()
    await storage.write({"kept:1": "first"})
    await turns()
    await storage.write({"kept:2": "old", "kept:3": "removed by another tab"})
    await other.write({"kept:2": "new", "kept:3": None})
    database.commits.set()
    await storage.flush("disk")
    assert database.entries == {"kept:1": "first", "kept:2": "new"}


async def test_a_write_does_not_wait_for_the_mirror() -> None:
    database = Database()
    storage = await mirrored(database)
    database.commits.clear()
    await storage.write({"kept:1": "a"})
    await storage.flush("local")
    assert await storage.read(["kept:1"]) == ["a"]
    assert database.entries == {}
    storage.lose("the test is over")


async def test_disk_waits_for_the_mirror() -> None:
    database = Database()
    storage = await mirrored(database)
    database.commits.clear()
    await storage.write({"kept:1": "a"})
    flushing = asyncio.ensure_future(storage.flush("disk"))
    await asyncio.wait([flushing], timeout=0.01)
    assert not flushing.done()
    database.commits.set()
    await flushing


async def test_disk_waits_for_nothing_written_later() -> None:
    database = Database()
    storage = await mirrored(database)
    await storage.write({"kept:1": "a"})
    flushing = asyncio.ensure_future(storage.flush("disk"))
    await turns()
    assert "kept:1" in database.entries
    database.commits.clear()
    await storage.write({"kept:2": "b"})
    await flushing
    storage.lose("the test is over")


async def test_server_is_not_promised() -> None:
    storage = await mirrored(Database())
    with pytest.raises(SaveError, match="the server's answer"):
        await storage.flush("server")


async def test_what_a_full_storage_did_not_take_is_not_mirrored() -> None:
    database = Database()
    storage = await mirrored(database, MemoryOrigin(quota=40))
    with pytest.raises(StorageFullError):
        await storage.write({"kept:1": "a", "kept:2": "b" * 100})
    await storage.flush("disk")
    assert database.entries == {"kept:1": "a"}


async def test_what_finds_no_room_again_after_a_clear_stays_in_the_mirror() -> None:
    database, origin = Database(), MemoryOrigin()
    storage = await mirrored(database, origin)
    await storage.write({"kept:1": "a", "kept:2": "b", "kept:3": "c"})
    await storage.flush("disk")
    origin.clear()
    origin.quota = 7
    with pytest.raises(StorageFullError):
        await storage.write({"kept:3": None, "kept:1": "A", "kept:2": "b"})
    await storage.flush("disk")
    assert database.entries == {"kept:1": "A", "kept:2": "b"}


async def test_a_failed_transaction_is_no_error_of_the_write_and_is_told() -> None:
    database = Database()
    storage = await mirrored(database)
    database.failures.extend([BROKEN] * 2)
    await storage.write({"kept:1": "a"})
    with pytest.raises(SaveError, match="the database is broken"):
        await storage.flush("disk")
    (words,) = storage.problems()
    assert words.startswith("the database is broken: ")
    assert "a killed browser may lose it" in words


async def test_what_a_failed_transaction_carried_goes_with_the_next_one() -> None:
    database = Database()
    storage = await mirrored(database)
    database.failures.extend([BROKEN] * 2)
    await storage.write({"kept:1": "a", "kept:2": "b"})
    with pytest.raises(SaveError):
        await storage.flush("disk")
    await storage.write({"kept:1": "new"})
    await storage.flush("disk")
    assert database.entries == {"kept:1": "new", "kept:2": "b"}
    assert storage.problems() == ()


async def test_a_failure_of_the_transaction_before_does_not_fail_a_flush() -> None:
    database = Database()
    storage = await mirrored(database)
    database.commits.clear()
    await storage.write({"kept:1": "a"})
    await asyncio.sleep(0)
    await storage.write({"kept:2": "b"})
    database.failures.append(BROKEN)
    database.commits.set()
    await storage.flush("disk")
    assert database.entries == {"kept:1": "a", "kept:2": "b"}


async def test_a_transaction_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "TRANSACTION_SECONDS", 0.01)
    database = Database()
    storage = await mirrored(database)
    database.commits.clear()
    await storage.write({"kept:1": "a"})
    with pytest.raises(SaveError, match="does not answer"):
        await storage.flush("disk")
    database.commits.set()


async def test_a_database_that_does_not_open_in_time_is_done_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirror, "OPENING_SECONDS", 0.01)
    storage = await mirrored(Database(), seconds=60)
    await storage.write({"kept:1": "a"})
    assert await storage.read(["kept:1"]) == ["a"]
    assert "did not open within" in storage.problems()[0]
    with pytest.raises(SaveError, match="did not open"):
        await storage.flush("disk")


async def test_a_database_that_cannot_be_read_is_done_without() -> None:
    database = Database()
    database.failures.append(BROKEN)
    storage = await mirrored(database)
    await storage.write({"kept:1": "a"})
    assert storage.problems()[0].startswith("the database is broken")
    assert database.transactions == []


async def lost_while_it_commits(database: Database) -> MirroredStorage:
    storage = await mirrored(database)
    database.commits.clear()
    await storage.write({"kept:1": "a"})
    await asyncio.sleep(0)
    storage.lose("the browser's database was deleted")
    return storage


async def test_a_database_that_was_taken_away_is_told() -> None:
    database = Database()
    storage = await lost_while_it_commits(database)
    database.failures.append(BROKEN)
    database.commits.set()
    with pytest.raises(SaveError, match="was deleted"):
        await storage.flush("disk")
    assert storage.problems()[0].startswith("the browser's database was deleted")


async def test_a_database_that_was_taken_away_stays_so_though_what_it_had_begun_ends_well() -> None:
    database = Database()
    storage = await lost_while_it_commits(database)
    database.commits.set()
    await turns()
    assert storage.problems()[0].startswith("the browser's database was deleted")


async def test_closing_begins_what_waits() -> None:
    database = Database()
    storage = await mirrored(database)
    await storage.write({"kept:1": "a"})
    storage.close()
    storage.close()
    await turns()
    assert database.entries == {"kept:1": "a"}


async def test_closing_closes_the_mirror() -> None:
    storage = MirroredStorage(MemoryStorage(), POLICY)
    opened = SimulatedMirror(Database())

    async def open_it() -> SimulatedMirror:
        return opened

    await storage.open(open_it(), 0)
    storage.close()
    assert opened.closed


async def test_opening_brings_back_what_storage_lost_and_the_mirror_lacks() -> None:
    database, origin = Database(entries={"kept:1": "a"}), MemoryOrigin()
    origin.set("kept:2", "b")
    origin.set("view", "c")
    storage = await mirrored(database, origin)
    assert await storage.read(["kept:1"]) == ["a"]
    await storage.flush("disk")
    assert database.entries == {"kept:1": "a", "kept:2": "b"}


async def test_what_finds_no_room_stays_in_the_mirror_and_is_told() -> None:
    database = Database(entries={"kept:1": "a", "kept:2": "b" * 100})
    storage = await mirrored(database, MemoryOrigin(quota=40))
    assert await storage.read(["kept:1", "kept:2"]) == ["a", None]
    await storage.write({"kept:3": "c"})
    await storage.flush("disk")
    assert database.entries["kept:2"] == "b" * 100
    assert "find no room" in storage.problems()[0]


async def late(database: Database, *, seconds: float = 0.0) -> MirroredStorage:
    storage = MirroredStorage(MemoryStorage(), LATE)
    await storage.open(opening(database, seconds=seconds), 0)
    return storage


async def test_a_late_mirror_keeps_nobody_waiting() -> None:
    storage = await late(Database(entries={"kept:1": "a"}))
    assert await storage.read(["kept:1"]) == [None]
    await storage.flush("disk")
    assert await storage.read(["kept:1"]) == ["a"]


async def test_what_a_late_mirror_brings_back_is_told() -> None:
    storage, told = await late(Database(entries={"kept:1": "a"})), list[StorageChange]()
    end = storage.subscribe(told.append)
    await storage.flush("disk")
    assert told == [StorageChange("kept:1", "a")]
    end()


async def test_what_is_written_before_a_late_mirror_opens_goes_there() -> None:
    database = Database(entries={"kept:1": "old", "kept:2": "gone"})
    storage = await late(database)
    await storage.write({"kept:1": "new", "kept:2": None, "kept:3": "c", "view": "d"})
    assert database.transactions == []
    await storage.flush("disk")
    assert database.entries == {"kept:1": "new", "kept:3": "c"}
    assert await storage.read(["kept:1", "kept:2"]) == ["new", None]


async def test_a_late_mirror_that_is_not_open_promises_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirror, "OPENING_SECONDS", 0.01)
    storage = await late(Database(), seconds=3_600)
    await storage.write({"kept:1": "a"})
    with pytest.raises(SaveError, match="not open yet"):
        await storage.flush("disk")
    storage.close()
    await turns()


async def test_closing_ends_the_opening_of_a_late_mirror() -> None:
    database = Database(entries={"kept:1": "a"})
    storage = await late(database)
    storage.close()
    await turns()
    assert await storage.read(["kept:1"]) == [None]
