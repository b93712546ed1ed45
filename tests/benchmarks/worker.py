"""Python in a worker, with the page's localStorage: a read, a write, and connecting."""

from tests.benchmarks.figures import Figure, middle
from tests.benchmarks.lab import Lab, call_worker

NUMBER = 300
CONNECTIONS = 10
MOST_READ_MS = 1
MOST_WRITE_MS = 2
MOST_CONNECT_MS = 50


async def measure(lab: Lab) -> list[Figure]:
    """All of it, beside a message to the page and back."""
    page = await lab.page()
    account = await lab.account()
    await page.evaluate("benchmark.prepareWorker()")
    await call_worker(page, "open_client", account.id, account.token)
    await call_worker(page, "read_each", 10)
    await call_worker(page, "write_each", 10)
    bare = middle(await call_worker(page, "echo", NUMBER))
    read = middle(await call_worker(page, "read_each", NUMBER))
    write = middle(await call_worker(page, "write_each", NUMBER))
    connect = middle(
        await call_worker(page, "connect_each", CONNECTIONS, account.id, account.token)
    )
    told = f"a message there and back {bare:.2f} ms"
    return [
        Figure("worker: awaited read, median", read, MOST_READ_MS, "ms", details=told),
        Figure(
            "in a worker: durable local write, median", write, MOST_WRITE_MS, "ms", details=told
        ),
        Figure("worker: `connect`, median", connect, MOST_CONNECT_MS, "ms", details=told),
    ]
