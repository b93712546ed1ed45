"""A fresh notebook: how long until its first write, beside one that only imports pydantic."""

from pathlib import Path
from time import perf_counter

from demo.assets import build, build_lab
from demo.server import COMPRESSED
from demo.static_files import Asset
from tests.benchmarks.figures import Figure, middle
from tests.benchmarks.lab import Lab
from tests.browser.demo_server import DemoServer
from tests.browser.notebook import Notebook

ROUNDS = 4
MOST_SLOWER = 1.1
BARE = "from pydantic import BaseModel\nprint('done')"
OURS = """
import atiha_web
client = await atiha_web.connect(guest=True)
await client.profiles.add_to_watch_history(client.guest_id, "detour-1945", "movie", "Detour")
print('done')
"""


async def measure(lab: Lab) -> list[Figure]:
    """Both in turns, each on a device that has nothing cached.

    Until a cell can run nothing differs, which takes most of the time and varies most: so both are
    given the median of all.
    """
    started: list[float] = []
    seconds: dict[str, list[float]] = {BARE: [], OURS: []}
    with DemoServer(lab.folder / "demo") as server:
        for _ in range(ROUNDS):
            for code, found in seconds.items():
                until_ready, until_done = await _visit(lab, server.url, code)
                started.append(until_ready)
                found.append(until_done)
    bare, ours = (middle(started) + middle(found) for found in seconds.values())
    return [
        Figure(
            "page to the first write in a fresh notebook ÷ to the import of pydantic",
            ours / bare,
            MOST_SLOWER,
            details=f"{ours:.1f} s; {bare:.1f} s; {middle(started):.1f} s until a cell can run",
        ),
        _size(),
    ]


async def _visit(lab: Lab, url: str, code: str) -> tuple[float, float]:
    """Seconds until a cell can run, and until it has run."""
    device = await lab.device()
    opened = perf_counter()
    notebook = await Notebook.fresh(device, url)
    ready = perf_counter()
    assert await notebook.run(code) == "done"
    done = perf_counter()
    await device.close()
    return ready - opened, done - ready


def _size() -> Figure:
    sizes = [
        sum(_sent(file) for file in folder.rglob("*") if file.is_file())
        for folder in (build_lab(), build().pyodide)
    ]
    told = "JupyterLite {:,.1f} MB; Pyodide and wheels {:,.1f} MB".format(
        *(size / 1e6 for size in sizes)
    )
    what = "JupyterLite with Pyodide, as it is sent"
    return Figure(what, sum(sizes) / 1e6, unit="MB", details=told)


def _sent(file: Path) -> int:
    return Asset.of(file.name, file.read_bytes(), COMPRESSED).sent
