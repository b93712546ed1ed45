"""What an open client holds in memory, by record."""

import gc
import tempfile
import tracemalloc
from pathlib import Path

import atiha_web
from atiha_web import Client
from tests.benchmarks.figures import Figure
from tests.benchmarks.lab import Lab, call
from tests.server.fixtures import Account

RECORDS = 10_000
FEW = 100


async def measure(lab: Lab) -> list[Figure]:
    """In Chromium and on CPython, as tracemalloc counts."""
    few, many = await lab.account(FEW), await lab.account(RECORDS)
    page = [await _in_chromium(lab, account) for account in (few, many)]
    cpython = [await _on_cpython(lab, account) for account in (few, many)]
    return [_figure("Chromium", *page), _figure("CPython", *cpython)]


def _figure(where: str, few: int, many: int) -> Figure:
    told = f"{many / 1e6:.1f} MB with {RECORDS:,} records"
    held = (many - few) / (RECORDS - FEW)
    return Figure(f"memory by record, {where}", round(held), unit="B", details=told)


async def _in_chromium(lab: Lab, account: Account) -> int:
    page = await lab.python()
    await call(page, "open_client", account.id, account.token)
    await call(page, "sync")
    held: int = await call(page, "bytes_of", account.id, account.token)
    await page.context.close()
    return held


async def _on_cpython(lab: Lab, account: Account) -> int:
    with tempfile.TemporaryDirectory() as folder:
        async with await _open(lab, account, folder) as client:
            await client.sync()
        gc.collect()
        tracemalloc.start()
        async with await _open(lab, account, folder):
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return held


async def _open(lab: Lab, account: Account, folder: str) -> Client:
    return await atiha_web.connect(
        await lab.server(),
        user_id=account.id,
        token=account.token,
        storage=Path(folder),
        background=False,
    )
