"""Everything that one browser is asked: contracts, the seed's tests, and what it does differently.

Runs inside Pyodide, in a page that any browser may open; see start.mjs.
"""

import asyncio
import json
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import js
from pyodide.ffi import can_run_sync

import atiha_web
import measures
import scenarios
from atiha_web.testing.contracts import (
    ENVIRONMENT_CHECKS,
    QUOTA_CHECKS,
    STORAGE_CHECKS,
    TRANSPORT_CHECKS,
)
from page_harness import PageNetwork, PageOrigin, PageWorld

PATIENCE = 60.0
"""Seconds until a check is given up."""
DATABASE = "atiha"
WRITES = 200

Check = Callable[[], Awaitable[None]]


async def run(options_json: str) -> str:
    """Run everything in the one order there is.

    Args:
        options_json: The page's query as an object: ``contract`` and ``dead``, URLs for the checks
            of transports; ``control``, which stops and starts this page's server; ``emulation``
            where a driver cuts the network off when the title asks it to; ``boot`` in ms.

    Returns:
        An object: ``checks``, from a name to null or what went wrong, and ``measured``.
    """
    options = json.loads(options_json)
    found: dict[str, str | None] = {}
    for name, check in all_checks(options):
        js.document.getElementById("report").textContent = f"{len(found)} done, now {name}"
        found[name] = await failure(check)
    measured = await measure(options["boot"])
    return json.dumps({"checks": found, "measured": measured}, ensure_ascii=False, indent=1)


def all_checks(options: dict[str, Any]) -> Iterable[tuple[str, Check]]:
    """Names and checks."""
    network = partial(PageNetwork, options["contract"], options["dead"])
    contracts: list[tuple[str, Iterable[Any], Callable[[], Any]]] = [
        ("storage", STORAGE_CHECKS, PageOrigin),
        ("quota", QUOTA_CHECKS, PageOrigin),
        ("environment", ENVIRONMENT_CHECKS, PageWorld),
        ("transport", TRANSPORT_CHECKS, network),
    ]
    for kind, checks, documents in contracts:
        for check in checks:
            yield f"{kind}-{check.__name__}", with_documents(check, documents)
    for scenario in scenarios.named(options["control"], emulation="emulation" in options):
        yield f"scenario-{scenario.__name__}", scenario


def with_documents(check: Callable[[Any], Awaitable[None]], documents: Callable[[], Any]) -> Check:
    """A contract's check in documents of its own."""

    async def run_check() -> None:
        with documents() as opened:
            await check(opened)

    return run_check


async def failure(check: Check) -> str | None:
    """What went wrong, if anything did."""
    try:
        async with asyncio.timeout(PATIENCE):
            await empty_storage()
            await check()
    except Exception:  # noqa: BLE001 - whatever it is, it is told and the next check runs
        return traceback.format_exc()
    return None


async def empty_storage() -> None:
    """Leave nothing of the check before."""
    js.localStorage.clear()
    deleted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    js_deletion = js.indexedDB.deleteDatabase(DATABASE)
    js_deletion.onsuccess = lambda _: deleted.set_result(None)
    # Where the check before is still closing it, the browser waits for that.
    js_deletion.onerror = lambda _: deleted.set_exception(RuntimeError(js_deletion.error.message))
    await deleted


async def measure(boot: float) -> dict[str, Any]:
    """What this browser does differently."""
    await empty_storage()
    return {
        "agent": js.navigator.userAgent,
        "boot_ms": boot,
        "on_line": js.navigator.onLine,
        "blocking_calls": can_run_sync(),
        "set_item_ms": measures.setItem(),
        "quota_x": await measures.quota("x"),
        "quota_é": await measures.quota("é"),
        "quota_漢": await measures.quota("漢"),
        "keepalive_bytes": await measures.keepalive(),
        "outlives_its_page": await measures.outlives(),
        "persistence": await measures.persistence(),
        **await measured_writes(),
    }


async def measured_writes() -> dict[str, Any]:
    """The mean time of a write, and of one in a burst until all of it is on the disk."""
    async with atiha_web.connect(user_id="measured", background=False) as client:
        start = time.perf_counter()
        writes = [
            await client.profiles.add_to_watch_history("measured", f"m{n}", "movie", "A film")
            for n in range(WRITES)
        ]
        written = time.perf_counter()
        await asyncio.gather(*(write.saved("disk") for write in writes))
        saved = time.perf_counter()
        return {
            "write_ms": 1000 * (written - start) / WRITES,
            "disk_ms": 1000 * (saved - start) / WRITES,
            "problems": list(client.status.problems),
        }
