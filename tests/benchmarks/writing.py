"""A durable local write, beside the peers', and as the data grows."""

from collections.abc import Sequence

from playwright.async_api import Page

from tests.benchmarks.figures import Figure, each, middle
from tests.benchmarks.lab import Lab, call, peer
from tests.server.fixtures import Account

ROUNDS = 20
SLICE = 25
BURST = 500
BURSTS = 3
MANY = 10_000
FEW = 100
CROWDED = 2_500
MOST_MS = 0.3
MOST_GROWTH = 1.5

PEERS = {
    "dexie": "Dexie put",
    "rxLocalstorage": "RxDB on localStorage",
    "rxDexie": "RxDB on Dexie",
    "pouch": "PouchDB",
}


async def measure(lab: Lab) -> list[Figure]:
    """All of it."""
    page = await lab.python()
    await call(page, "open_client", *_who(await lab.account()))
    return [
        *await _beside_peers(page),
        await _to_disk(page),
        *await _as_data_grows(lab),
    ]


async def _beside_peers(page: Page) -> list[Figure]:
    times: dict[str, list[float]] = {name: [] for name in ("ours", *PEERS)}
    for number in range(-1, ROUNDS):
        for name, slices in times.items():
            ours = name == "ours"
            time = await (call(page, "write", SLICE) if ours else peer(page, name, SLICE))
            if number >= 0:  # The first round opens what is not open yet.
                slices.append(time)
    own = each(times["ours"], SLICE)
    beside = {name: each(slices, SLICE) for name, slices in times.items()}
    told = "; ".join(f"{words} {beside[name]:.2f} ms" for name, words in PEERS.items())
    await peer(page, "fillRxLocalstorage", CROWDED)
    crowded = each([await peer(page, "rxLocalstorage", SLICE) for _ in range(3)], SLICE)
    number = ROUNDS * SLICE
    return [
        Figure(
            f"awaited local write ÷ Dexie `put`, mean of {number}",
            own / beside["dexie"],
            1,
            details=f"ours {own:.2f} ms; {told}",
        ),
        Figure(
            "awaited local write ÷ RxDB on localStorage with 2,500 records",
            own / crowded,
            1,
            details=f"ours {own:.2f} ms; RxDB {crowded:.1f} ms",
        ),
        Figure(f"awaited local write, mean of {number}", own, MOST_MS, "ms"),
    ]


async def _to_disk(page: Page) -> Figure:
    ours, dexie = [], []
    for _ in range(BURSTS):
        ours.append(await call(page, "write_to_disk", BURST))
        dexie.append(await peer(page, "dexie", BURST))
    return Figure(
        f'burst of {BURST} writes until `saved("disk")` ÷ as many Dexie puts',
        middle(ours) / middle(dexie),
        1,
        details=f"ours {middle(ours):.0f} ms; Dexie {middle(dexie):.0f} ms",
    )


async def _as_data_grows(lab: Lab) -> list[Figure]:
    small = await _page_with(lab, records=FEW, pending=FEW)
    times = [[], [], []]  # type: list[list[float]]
    pages = [
        small,
        await _page_with(lab, records=MANY, pending=FEW),
        await _page_with(lab, records=FEW, pending=MANY),
    ]
    for _ in range(ROUNDS):
        for page, slices in zip(pages, times, strict=True):
            slices.append(await call(page, "write", SLICE))
    return [
        _growth("records", times[0], times[1]),
        _growth("pending operations", times[0], times[2]),
    ]


def _growth(what: str, few: Sequence[float], many: Sequence[float]) -> Figure:
    small, large = middle(few) / SLICE, middle(many) / SLICE
    return Figure(
        f"local write at {MANY:,} {what} ÷ at {FEW}",
        large / small,
        MOST_GROWTH,
        details=f"{large:.2f} ms; {small:.2f} ms",
    )


async def _page_with(lab: Lab, *, records: int, pending: int) -> Page:
    page = await lab.python()
    await call(page, "open_client", *_who(await lab.account(records)))
    await call(page, "sync")
    assert await call(page, "records") == records
    await call(page, "write", pending)
    return page


def _who(account: Account) -> tuple[str, str]:
    return account.id, account.token
