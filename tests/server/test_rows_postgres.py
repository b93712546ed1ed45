"""What only PostgreSQL can do wrong: concurrent transactions, conflicts, waiting."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from atiha_web.server import Database
from atiha_web.server.rows import BusyError, Row, SyncState, Transaction, UnknownUserError

STAMP = "0197a0c3d5e000000123456789ab"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        yield database


async def add(transaction: Transaction, key: str) -> None:
    version = transaction.state.counter + 1
    state = SyncState(transaction.state.epoch, version)
    await transaction.write([Row("ratings", key, version, STAMP, {"rating": 5})], state)


async def _until_somebody_waits(database: Database) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while not await database.pool.fetchval(waiting):
        pass


async def test_whoever_waits_too_long_is_told_to_try_again(database: Database) -> None:
    await database.rows.poll("ada", 0, 1)
    blocker = await asyncpg.connect(database.url)
    try:
        async with blocker.transaction():
            await blocker.execute("SELECT * FROM sync_state FOR UPDATE")
            with pytest.raises(BusyError):
                await database.rows.push("ada", lambda transaction: add(transaction, "m1"))
    finally:
        await blocker.close()


@pytest.mark.parametrize(
    "conflict",
    [asyncpg.SerializationError, asyncpg.DeadlockDetectedError],
    ids=lambda e: e.sqlstate,
)
async def test_a_conflict_repeats_the_whole_transaction(
    database: Database, conflict: type[Exception]
) -> None:
    attempts = 0

    async def work(transaction: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        await add(transaction, f"attempt {attempts}")
        if attempts < 4:
            raise conflict

    await database.rows.push("ada", work)
    assert [row.key for row in (await database.rows.poll("ada", 0, 10))[1]] == ["attempt 4"]


async def test_endless_conflicts_end(database: Database) -> None:
    attempts = 0

    async def work(_transaction: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        raise asyncpg.SerializationError

    with pytest.raises(BusyError):
        await database.rows.push("ada", work)
    assert attempts == 4


async def test_one_user_never_holds_more_than_two_connections(database: Database) -> None:
    inside, enough = 0, asyncio.Event()

    async def work(transaction: Transaction) -> None:
        await enough.wait()

    pushes = [asyncio.create_task(database.rows.push("ada", work)) for _ in range(9)]
    await _until_somebody_waits(database)
    await database.rows.poll("bob", 0, 1)
    inside = database.pool.get_size() - database.pool.get_idle_size()
    enough.set()
    await asyncio.gather(*pushes)
    assert inside == 2


async def test_an_idle_poll_takes_no_lock_and_writes_nothing(database: Database) -> None:
    await database.rows.poll("ada", 0, 1)
    blocker = await asyncpg.connect(database.url)
    try:
        async with blocker.transaction():
            await blocker.execute("SELECT * FROM sync_state FOR UPDATE")
            await blocker.execute("LOCK TABLE records IN EXCLUSIVE MODE")
            state, _ = await database.rows.poll("ada", 0, 1)
    finally:
        await blocker.close()
    assert state.counter == 0


async def test_where_accounts_are_kept_too_nobody_else_has_rows(database_url: str) -> None:
    async with Database(database_url, registered_only=True) as database:
        with pytest.raises(UnknownUserError):
            await database.rows.poll("nobody", 0, 10)
        with pytest.raises(UnknownUserError):
            await database.rows.push("nobody", lambda transaction: add(transaction, "m1"))
        assert await database.pool.fetchval("SELECT count(*) FROM sync_state") == 0
