"""What importing and connecting add to the start of Python in a page, and what they download."""

import httpx

from demo.assets import build
from demo.server import SCRIPTS
from demo.static_files import StaticFiles
from tests.benchmarks.figures import Figure, middle
from tests.benchmarks.lab import Lab

ROUNDS = 9
MOST_SLOWER = 1.1
MOST_BYTES = 80_000
BARE = "from pydantic import BaseModel"
OURS = "import atiha_web\nclient = await atiha_web.connect({})"


async def measure(lab: Lab) -> list[Figure]:
    """Each on a device that has nothing cached.

    Nobody is signed in there, as on any device at first; beside it what one pays who is.
    """
    account = await lab.account()
    signed_in = f"user_id={account.id!r}, token={account.token!r}"
    bare, ours, theirs = [], [], []
    for _ in range(ROUNDS):
        bare.append(await _start(lab, "pydantic", BARE))
        ours.append(await _start(lab, "atiha-web", OURS.format("")))
        theirs.append(await _start(lab, "atiha-web", OURS.format(signed_in)))
    return [
        Figure(
            "start of Pyodide, import and `connect` ÷ start of Pyodide with pydantic",
            middle(ours) / middle(bare),
            MOST_SLOWER,
            details=f"{middle(ours):,.0f} ms; {middle(bare):,.0f} ms",
        ),
        Figure(
            "the same, with somebody signed in",
            middle(theirs) / middle(bare),
            MOST_SLOWER,
            details=f"{middle(theirs):,.0f} ms",
        ),
        await _download(lab),
    ]


async def _start(lab: Lab, package: str, code: str) -> float:
    page = await lab.page()
    time: float = await page.evaluate(
        "([package, code]) => benchmark.start([package], code)", [package, code]
    )
    await page.context.close()
    return time


async def _download(lab: Lab) -> Figure:
    site = build()
    files = StaticFiles(site.root, SCRIPTS, lab.folder)
    paths = [f"/pyodide/{site.wheel.name}", "/atiha/bridge.js"]
    transport = httpx.ASGITransport(files)
    sizes = {}
    async with httpx.AsyncClient(transport=transport, base_url="http://demo.test") as http:
        for path in paths:
            headers = {"accept-encoding": "gzip, br"}
            async with http.stream("GET", path, headers=headers) as reply:
                reply.raise_for_status()
                sizes[path] = sum([len(chunk) async for chunk in reply.aiter_raw()])
    told = "; ".join(f"{path.rpartition('/')[2]} {size:,}" for path, size in sizes.items())
    return Figure("what a page downloads of us", sum(sizes.values()), MOST_BYTES, "B", details=told)
