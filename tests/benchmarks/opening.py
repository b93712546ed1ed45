"""Opening what is stored here, and how long the page's thread is held up."""

from tests.benchmarks.figures import Figure, middle
from tests.benchmarks.lab import PUT_MS, Lab, call, put_of_dexie

ROUNDS = 5
RECORDS = 10_000
MOST_SLOWER = 2.0
MOST_BLOCK_MS = 50.0


async def measure(lab: Lab) -> list[Figure]:
    """With ten thousand records."""
    page = await lab.python()
    account = await lab.account(RECORDS)
    who = [account.id, account.token]
    blocks = {}
    longest = "([name, values]) => benchmark.longestBlock(name, values)"
    await call(page, "open_client", *who)
    blocks["first sync"] = await page.evaluate(longest, ["sync", []])
    assert await call(page, "records") == RECORDS
    rounds = [await call(page, "open_and_read", *who) for _ in range(ROUNDS)]
    opened, read = (middle(column) for column in list(zip(*rounds, strict=True))[:2])
    units, pages = rounds[0][2:]
    blocks["open"] = await page.evaluate(longest, ["open_client", who])
    blocks["sync after it"] = await page.evaluate(longest, ["sync", []])
    put = await put_of_dexie(page)
    block = max(time for time, _ in blocks.values())
    return [
        Figure(
            f"opening with {RECORDS:,} records ÷ `getItem` and `json.loads` of the same bytes",
            opened / read,
            MOST_SLOWER,
            details=f"{opened:.0f} ms; {read:.0f} ms for {units / 1e6:.1f} M units in {pages} keys",
        ),
        Figure(
            f"longest block of the page's thread with {RECORDS:,} records ÷ a Dexie `put`",
            block / put,
            MOST_BLOCK_MS / PUT_MS,
            details=f"ours {block:.0f} ms; Dexie {put:.2f} ms",
        ),
        Figure(
            f"longest block of the page's thread with {RECORDS:,} records",
            block,
            MOST_BLOCK_MS,
            "ms",
            details="; ".join(f"{what} {time:.0f} ms" for what, (time, _) in blocks.items()),
        ),
        Figure(
            "long tasks, of more than 50 ms, as the browser counts them meanwhile",
            sum(count for _, count in blocks.values()),
            0,
            "tasks",
        ),
    ]
