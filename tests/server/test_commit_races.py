"""Transactions commit in another order than they began; a reader must not miss what comes late."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import asyncpg
import pytest

from tests.server.commit_races import (
    CounterFeed,
    Feed,
    Pool,
    SequenceFeed,
    UpdatedAtFeed,
    Writers,
)

KEYS = "abcde"
"""In the order in which they begin."""
KNOWN = "ace"
"""Records that are there before, so that both inserts and updates are overtaken."""
NewFeed = Callable[[Pool], Awaitable[Feed]]


async def counter(pool: Pool) -> Feed:
    return CounterFeed(pool)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Connections that wait for each other as long as it takes."""
    settings = {"lock_timeout": "60s"}
    async with asyncpg.create_pool(
        database_url, min_size=1, max_size=12, server_settings=settings
    ) as pool:
        yield pool


def overtaken(committed: str) -> set[str]:
    """Who committed after somebody that had begun later."""
    pairs = itertools.combinations(committed, 2)
    return {later for earlier, later in pairs if later < earlier}


@pytest.mark.parametrize("order", ["abcde", "cdaeb", "edcba"])
@pytest.mark.parametrize(
    ("new_feed", "misses_late_commits"),
    [(counter, False), (UpdatedAtFeed.create, True), (SequenceFeed.create, True)],
    ids=["counter", "updated_at", "sequence"],
)
async def test_a_reader_misses_what_is_overtaken_unless_its_cursor_is_our_counter(
    pool: Pool, new_feed: NewFeed, misses_late_commits: bool, order: str
) -> None:
    """All have written before the first commits, and after each commit the reader asks."""
    feed = await new_feed(pool)
    for key in KNOWN:
        await feed.write(key, 1)
    seen = await feed.news()
    assert seen == dict.fromkeys(KNOWN, 1)
    writers, committed = Writers(feed, pool), list[str]()
    for key in KEYS:
        await writers.begin(key, 2)
    while writers.holding:
        committed.append(min(writers.holding, key=order.index))
        await writers.commit(committed[-1])
        seen |= await feed.news()
    assert sorted(committed) == list(KEYS)
    missed = {key for key in KEYS if seen.get(key) != 2}
    assert missed == (overtaken(order) if misses_late_commits else set())


async def test_a_reader_that_never_rests_misses_nothing(pool: Pool) -> None:
    """Pages of three, read while eight devices write the same five records, each a little late."""
    feed = CounterFeed(pool, limit=3)
    late = partial(pool.execute, "SELECT pg_sleep(0.001)")
    devices, turns, keys = 8, 10, 5
    written: dict[str, int] = {}

    async def write_on(device: int) -> None:
        for turn in range(turns):
            key, number = str((device + turn) % keys), turn * devices + device
            await feed.write(key, number, late)
            written[key] = max(number, written.get(key, 0))

    writing = asyncio.gather(*map(write_on, range(devices)))
    copy: dict[str, int] = {}
    while not writing.done():
        copy |= await feed.news()
    await writing
    while newest := await feed.news():
        copy |= newest
    assert copy == written
