"""The contract of row stores, run on each of them."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from atiha_web.server import Database
from atiha_web.server.rows import Row, RowStore, SyncState, Transaction
from atiha_web.server.rows_memory import MemoryRows
from atiha_web.sync.operation import RecordKey

STAMP = "0197a0c3d5e000000123456789ab"
LATER = "0197a0c3d5e100000123456789ab"
AWKWARD = {
    "title": "Ça « va » ? 🎬 'quoted' \"twice\" \\ \n",
    "progress": 0.1,
    "big": 2**70 + 1,
    "none": None,
    "nested": {"list": [1, True, {"a": []}]},
    "tiny": 5e-324,
}


@pytest.fixture(params=["memory", "postgres"])
async def rows(request: pytest.FixtureRequest) -> AsyncIterator[RowStore]:
    if request.param == "memory":
        yield MemoryRows()
        return
    async with Database(request.getfixturevalue("database_url")) as database:
        yield database.rows


def row(key: str, version: int, **data: object) -> Row:
    return Row("ratings", key, version, STAMP, data or {"rating": 5})


async def store(rows: RowStore, user: str, written: Sequence[Row]) -> SyncState:
    async def work(transaction: Transaction) -> SyncState:
        newest = max((found.version for found in written), default=transaction.state.counter)
        state = SyncState(transaction.state.epoch, newest, newest << 60 | 7)
        await transaction.write(written, state)
        return state

    return await rows.push(user, work)


async def read(rows: RowStore, user: str, *keys: str) -> dict[RecordKey, Row]:
    async def work(transaction: Transaction) -> dict[RecordKey, Row]:
        return await transaction.read([RecordKey("ratings", key) for key in keys])

    return await rows.push(user, work)


async def test_a_user_starts_at_version_0_with_an_epoch_that_stays(rows: RowStore) -> None:
    (first, nothing), (second, _) = await rows.poll("ada", 0, 10), await rows.poll("ada", 0, 10)
    assert nothing == []
    assert (first.counter, first.digest) == (0, 0)
    assert first.epoch == second.epoch != ""


async def test_each_user_has_an_epoch_of_their_own(rows: RowStore) -> None:
    (ada, _), (bob, _) = await rows.poll("ada", 0, 10), await rows.poll("bob", 0, 10)
    assert ada.epoch != bob.epoch


async def test_what_was_written_is_read_back_the_same(rows: RowStore) -> None:
    written = Row("ratings", "clé ' \" \\ 🎬", 1, STAMP, AWKWARD, schema=7)
    await store(rows, "ada", [written])
    assert await read(rows, "ada", written.key) == {written.record: written}


async def test_the_state_is_stored_with_the_rows(rows: RowStore) -> None:
    state = await store(rows, "ada", [row("m1", 15)])
    assert state.digest >= 1 << 63
    assert (await rows.poll("ada", 0, 10))[0] == state


async def test_a_row_replaces_the_one_of_the_same_record(rows: RowStore) -> None:
    await store(rows, "ada", [row("m1", 1)])
    newer = Row("ratings", "m1", 2, LATER, {"rating": 1})
    await store(rows, "ada", [newer])
    assert (await rows.poll("ada", 0, 10))[1] == [newer]


async def test_tombstones_are_rows(rows: RowStore) -> None:
    grave = Row("ratings", "m1", 1, STAMP, None)
    await store(rows, "ada", [grave])
    assert await read(rows, "ada", "m1") == {grave.record: grave}
    assert (await rows.poll("ada", 0, 10))[1] == [grave]


async def test_records_that_never_were_are_missing(rows: RowStore) -> None:
    await store(rows, "ada", [row("m1", 1)])
    assert set(await read(rows, "ada", "m1", "m2")) == {RecordKey("ratings", "m1")}
    assert await read(rows, "ada") == {}


async def test_a_poll_brings_what_is_above_the_cursor_in_order(rows: RowStore) -> None:
    await store(rows, "ada", [row("m3", 3), row("m1", 1), row("m2", 2)])
    found = (await rows.poll("ada", 1, 10))[1]
    assert [item.version for item in found] == [2, 3]


async def test_a_poll_brings_at_most_the_limit(rows: RowStore) -> None:
    await store(rows, "ada", [row(f"m{number}", number) for number in range(1, 6)])
    assert [item.version for item in (await rows.poll("ada", 1, 2))[1]] == [2, 3]


async def test_changes_leave_out_what_the_transaction_wrote(rows: RowStore) -> None:
    await store(rows, "ada", [row("m1", 1), row("m2", 2)])

    async def work(transaction: Transaction) -> list[Row]:
        state = SyncState(transaction.state.epoch, 4)
        await transaction.write([row("m1", 3, rating=1), row("m3", 4)], state)
        return await transaction.changes(0, 10)

    assert await rows.push("ada", work) == [row("m2", 2)]


async def test_changes_follow_cursor_and_limit(rows: RowStore) -> None:
    await store(rows, "ada", [row(f"m{number}", number) for number in range(1, 6)])

    async def work(transaction: Transaction) -> list[Row]:
        return await transaction.changes(1, 2)

    assert [item.version for item in await rows.push("ada", work)] == [2, 3]


async def test_a_list_holds_one_collection_live_and_newest_first(rows: RowStore) -> None:
    written = [
        Row("ratings", "old", 1, STAMP, {"rating": 1}),
        Row("ratings", "new", 2, LATER, {"rating": 2}),
        Row("ratings", "gone", 3, LATER, None),
        Row("favorites", "else", 4, LATER, {}),
    ]
    await store(rows, "ada", written)
    assert [item.key for item in await rows.list("ada", "ratings", 10)] == ["new", "old"]
    assert [item.key for item in await rows.list("ada", "ratings", 1)] == ["new"]


async def test_nobody_sees_another_users_rows(rows: RowStore) -> None:
    await store(rows, "ada", [row("m1", 1)])
    assert (await rows.poll("bob", 0, 10))[1] == []
    assert await read(rows, "bob", "m1") == {}
    assert await rows.list("bob", "ratings", 10) == []


async def test_an_exception_changes_nothing(rows: RowStore) -> None:
    before = await store(rows, "ada", [row("m1", 1)])

    async def work(transaction: Transaction) -> None:
        await transaction.write([row("m2", 2)], SyncState(transaction.state.epoch, 2))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await rows.push("ada", work)
    assert await rows.poll("ada", 0, 10) == (before, [row("m1", 1)])


async def test_pushes_of_one_user_run_one_after_another(rows: RowStore) -> None:
    running, most = 0, 0

    async def work(transaction: Transaction) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        version = transaction.state.counter + 1
        await transaction.write(
            [row(f"m{version}", version)], SyncState(transaction.state.epoch, version)
        )
        running -= 1

    await asyncio.gather(*(rows.push("ada", work) for _ in range(8)))
    assert most == 1
    assert (await rows.poll("ada", 0, 10))[0].counter == 8


async def test_a_poll_does_not_wait_for_a_push(rows: RowStore) -> None:
    await store(rows, "ada", [row("m1", 1)])

    async def work(transaction: Transaction) -> list[Row]:
        await transaction.write([row("m2", 2)], SyncState(transaction.state.epoch, 2))
        return (await rows.poll("ada", 0, 10))[1]

    assert await rows.push("ada", work) == [row("m1", 1)]


async def test_renewed_epochs_are_new_and_keep_the_rest(rows: RowStore) -> None:
    before = await store(rows, "ada", [row("m1", 1)])
    assert await rows.renew_epochs() == 1
    after, found = await rows.poll("ada", 0, 10)
    assert (after.counter, after.digest, found) == (before.counter, before.digest, [row("m1", 1)])
    assert after.epoch != before.epoch


async def test_pages_hold_each_live_row_once_in_order_of_collection_and_key(
    rows: RowStore,
) -> None:
    keys = ["é", "b", "Z", "a", "🎬", "\uffee"]
    written = [row(key, number) for number, key in enumerate(keys, 1)]
    favorite = Row("favorites", "z", 7, STAMP, {})
    await store(rows, "ada", [*written, favorite, Row("ratings", "gone", 8, STAMP, None)])
    await store(rows, "bob", [row("theirs", 1)])
    found: list[Row] = []
    while page := await rows.page("ada", found[-1].record if found else None, 2):
        assert len(page) <= 2
        found += page
    assert [item.record for item in found] == [
        favorite.record,
        *(RecordKey("ratings", key) for key in sorted(keys)),
    ]
