"""A thousand writes made offline, then sent: ours into PostgreSQL, RxDB's into nothing.

RxDB has two storages without a price: it is measured on both, and ours beside the faster one.
"""

from tests.benchmarks.figures import Figure, middle
from tests.benchmarks.lab import Lab, call, peer

ROUNDS = 7
WRITES = 1_000
MOST_REQUESTS = 4
PEERS = {"dexie": "RxDB on Dexie", "localstorage": "RxDB on localStorage"}


async def measure(lab: Lab) -> list[Figure]:
    """Time until the last acknowledgement is stored, and requests."""
    page = await lab.python()
    ours: list[float] = []
    requests: list[float] = []
    theirs: dict[str, list[float]] = {kind: [] for kind in PEERS}
    their_requests = 0
    for number in range(ROUNDS):
        account = await lab.account()
        await call(page, "open_client", account.id, account.token)
        await call(page, "write", WRITES)
        time, count = await call(page, "sync")
        ours.append(time)
        requests.append(count)
        for kind, times in theirs.items():
            time, their_requests = await peer(page, "rxDrain", kind, f"round{number}", WRITES)
            times.append(time)
    own, beside = middle(ours), {kind: middle(times) for kind, times in theirs.items()}
    told = "; ".join(f"{words} {beside[kind]:.0f} ms" for kind, words in PEERS.items())
    return [
        Figure(
            f"drain of {WRITES:,} writes into PostgreSQL ÷ RxDB's to a server that stores nothing",
            own / min(beside.values()),
            1,
            details=f"ours {own:.0f} ms; {told}, {their_requests} requests",
        ),
        Figure(f"requests for {WRITES:,} writes", max(requests), MOST_REQUESTS, "requests"),
    ]
