"""A write without `await`, on a page and in a worker, beside the awaited one there."""

from collections.abc import Awaitable, Callable

from tests.benchmarks.figures import Figure, middle
from tests.benchmarks.lab import PUT_MS, Lab, call, call_worker, put_of_dexie

NUMBER = 300
WARM_UP = 100
MOST_MS = 2

Times = Callable[..., Awaitable[list[float]]]


async def measure(lab: Lab) -> list[Figure]:
    """Both places."""
    page = await lab.python()
    await page.evaluate("benchmark.prepareWorker()")
    put = await put_of_dexie(page)
    return [
        *await _beside_others(lab, "on a page", lambda *asked: call(page, *asked), put),
        *await _beside_others(lab, "in a worker", lambda *asked: call_worker(page, *asked), put),
    ]


async def _beside_others(lab: Lab, where: str, times: Times, put: float) -> list[Figure]:
    account = await lab.account()
    await times("open_client", account.id, account.token)
    await times("write_each", WARM_UP)
    awaited = middle(await times("write_each", NUMBER))
    await times("write_blocking", WARM_UP, account.id, account.token)
    blocking = middle(await times("write_blocking", NUMBER, account.id, account.token))
    return [
        Figure(
            f"{where}: blocking local write ÷ a page's Dexie `put`",
            blocking / put,
            MOST_MS / PUT_MS,
            details=f"ours {blocking:.2f} ms; Dexie {put:.2f} ms",
        ),
        Figure(
            f"{where}: blocking local write, median",
            blocking,
            MOST_MS,
            "ms",
            details=f"awaited {awaited:.2f} ms",
        ),
    ]
