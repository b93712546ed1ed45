"""What people may expect at any time: writes leave soon, tabs know of each other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from atiha_web.sync.names import GUEST, Names
from tests.simulation.violations import require

if TYPE_CHECKING:
    from tests.simulation.browser import Device, Page
    from tests.simulation.world import World

SOON = 6.0
"""Seconds within which a write leaves a page that meets no trouble."""
HEARD = 1.0
"""Seconds within which a page hears of what others did."""
HELD = ("memos", "drafts")
"""Collections whose operations may wait for another release of the server."""


def check_sent(page: Page) -> None:
    """A page that says that all is well has sent what was written on it."""
    synchronizer = page.synchronizer
    assert synchronizer is not None
    status, now = synchronizer.status(), asyncio.get_running_loop().time()
    pending = synchronizer.engine.local.memory.pending
    mine = [pending[each.operation.id] for each in page.written if each.operation.id in pending]
    if status.state == "idle" and page.told_more is not None:
        who, since = page.told_more
        late = who is synchronizer and now - max(since, page.process.awake_since) > HEARD
        require(not late, 4, "%s was told that there is more, and did not ask", page.name)
    if synchronizer.user_id == GUEST or status.state != "idle" or not status.online:
        mine = []
    due = [(synchronizer, each.id) for each in mine if each.collection not in HELD]
    page.unsent = {name: page.unsent.get(name, now) for name in due}
    for (_, name), since in page.unsent.items():
        late = now - max(since, page.process.awake_since) > SOON
        require(not late, 3, "%s is idle and has not sent %s", page.name, name)


def check_heard(page: Page) -> None:
    """What the journal holds a page knows, and what it knows the journal holds."""
    synchronizer = page.synchronizer
    assert synchronizer is not None
    if page.device.world.skewed or page.device.blurred:
        # What was moved in time, or is written again, may stay until the next cycle agrees.
        return
    prefix, now = Names(synchronizer.user_id).journal, asyncio.get_running_loop().time()
    items = page.device.disk.items
    stored = {key.removeprefix(prefix) for key in items if key.startswith(prefix)}
    known = synchronizer.engine.local.memory.pending.keys()
    full = page.device.disk.quota is not None
    strange = {*(stored - known), *(() if full else known - stored)}
    page.strange = {name: page.strange.get(name, now) for name in strange}
    for name, since in page.strange.items():
        late = now - max(since, page.process.awake_since) > HEARD
        require(not late, 5, "%s and the journal do not agree about %s", page.name, name)


def check_told(page: Page) -> None:
    """Somebody was told of each write that lost."""
    now = asyncio.get_running_loop().time()
    for name, (moment, synchronizer) in page.lost_writes.items():
        current = synchronizer is page.synchronizer
        missed = current and name not in page.told_of and now - moment > HEARD
        late = missed and now - page.process.awake_since > HEARD
        require(not late, 5, "%s: nobody was told that %s lost", page.name, name)


def check_signed_out(device: Device, user_id: str, pending: str) -> None:
    """Who signed out is gone from what a page can read; with ``drain`` all was sent."""
    require(device.stored_user == GUEST, 7, "%s: %s is still signed in", device.name, user_id)
    if len(device.pages) > 1:
        return
    names, items = Names(user_id), device.disk.items
    shown = [key for key in items if key.startswith("atiha_") and key.endswith(f"_{user_id}")]
    require(not shown, 7, "%s still shows %s", device.name, shown)
    left = [key for key in items if key.startswith(names.journal)]
    drained = pending != "drain" or not left
    require(drained, 1, "%s signed out and said that all was sent, not %s", user_id, left)


async def check_rhythm(world: World) -> None:
    """Idle pages ask now and then: by their timer, or as the server wishes."""
    wished = world.plan.poll_after
    least, most = {None: (2, 4), 5.0: (9, 15), 120.0: (0, 2)}[wished]
    pages = [page for page in world.pages if is_idle(page)]
    before = [page.requests for page in pages]
    await asyncio.sleep(65)
    for page, requests in zip(pages, before, strict=True):
        asked = page.requests - requests
        calm = least <= asked <= most or not is_idle(page)
        require(calm, 3, "%s asked %s times in 65 s, told %s", page.name, asked, wished)


def is_idle(page: Page) -> bool:
    """Whether somebody is signed in there, and all is well."""
    signed_in = page.client.user_id is not None and page.synchronizer is not None
    return signed_in and page.client.status.state == "idle"
