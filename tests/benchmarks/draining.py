"""A thousand writes made offline, then sent: ours into PostgreSQL, RxDB's into nothing."""

from tests.benchmarks.figures import Figure, middle
from tests.benchmarks.lab import Lab, call, peer

ROUNDS = 3
WRITES = 1_000
MOST_REQUESTS = 4
KIND = "dexie"
"""Of its two storages without a price, the one that is faster here."""


async def measure(lab: Lab) -> list[Figure]:
    """Time until the last acknowledgement is stored, and requests."""
    page = await lab.python()
    ours: list[float] = []
    requests: list[float] = []
    theirs: list[float] = []
    their_requests = 0
    for number in range(ROUNDS):
        account = await lab.account()
        await call(page, "open_client", account.id, account.token)
        await call(page, "write", WRITES)
        time, count = await call(page, "sync")
        ours.append(time)
        requests.append(count)
        time, their_requests = await peer(page, "rxDrain", KIND, f"round{number}", WRITES)
        theirs.append(time)
    own, beside = middle(ours), middle(theirs)
    return [
        Figure(
            f"drain of {WRITES:,} writes into PostgreSQL ÷ RxDB's to a server that stores nothing",
            own / beside,
            1,
            details=f"ours {own:.0f} ms; RxDB on Dexie {beside:.0f} ms, {their_requests} requests",
        ),
        Figure(f"requests for {WRITES:,} writes", max(requests), MOST_REQUESTS, "requests"),
    ]
