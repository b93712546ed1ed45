"""Python in a worker, with the page's localStorage: a read, a write, and connecting."""

from tests.benchmarks.figures import Figure, middle
from tests.benchmarks.lab import PUT_MS, Lab, call_worker, put_of_dexie

NUMBER = 300
WARM_UP = 100
"""Calls before it is measured: the browser compiles better what runs often."""
FIRST = 10
CONNECTIONS = 10
MOST_READ_MS = 1
MOST_WRITE_MS = 2
MOST_CONNECT_MS = 50


async def measure(lab: Lab) -> list[Figure]:
    """All of it, beside a message to the page and back."""
    page = await lab.page()
    account = await lab.account()
    who = (account.id, account.token)
    await page.evaluate("benchmark.prepareWorker()")
    await call_worker(page, "open_client", *who)
    first = middle(await call_worker(page, "write_each", FIRST))
    await call_worker(page, "write_each", WARM_UP)
    write = middle(await call_worker(page, "write_each", NUMBER))
    unsent = middle(await call_worker(page, "connect_each", CONNECTIONS, *who))
    await call_worker(page, "sync")
    connect = middle(await call_worker(page, "connect_each", CONNECTIONS, *who))
    await call_worker(page, "read_each", WARM_UP)
    read = middle(await call_worker(page, "read_each", NUMBER))
    bare = middle(await call_worker(page, "echo", NUMBER))
    told = f"a message there and back {bare:.2f} ms"
    put = await put_of_dexie(page)
    records = FIRST + WARM_UP + NUMBER
    return [
        Figure(
            "in a worker: durable local write ÷ a page's Dexie `put`",
            write / put,
            MOST_WRITE_MS / PUT_MS,
            details=f"ours {write:.2f} ms; Dexie {put:.2f} ms",
        ),
        Figure("worker: awaited read, median", read, MOST_READ_MS, "ms", details=told),
        Figure(
            "in a worker: durable local write, median",
            write,
            MOST_WRITE_MS,
            "ms",
            details=f"the first {FIRST}: {first:.2f} ms; {told}",
        ),
        Figure(
            f"worker: `connect` to {records} records, median",
            connect,
            MOST_CONNECT_MS,
            "ms",
            details=f"while all of them are unsent {unsent:.0f} ms",
        ),
    ]
