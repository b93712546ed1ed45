"""What people may expect at any time: writes leave soon, tabs know of each other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from atiha_web.sync.base_cycle import LOCK_WAIT
from atiha_web.sync.calls import path_of
from atiha_web.sync.names import GUEST, Names, is_view
from tests.simulation.collections import CLIENT
from tests.simulation.violations import ViolationError, require

if TYPE_CHECKING:
    from atiha_web.backends.base import Request
    from atiha_web.sync.status import Status
    from tests.simulation.browser import Device, Page
    from tests.simulation.world import World

SOON = 6.0
"""Seconds within which a write leaves a page that meets no trouble."""
HEARD = 1.0
"""Seconds within which a page hears of what others did."""
HELD = ("memos", "drafts")
"""Collections whose operations may wait for another release of the server."""


LONGEST_WAIT = 900.0
"""Seconds for which a server may ask to be left alone."""
FEW_TRIES = 35.0
"""Seconds that the tries of one cycle take at most."""
TOO_OFTEN = 400
"""Requests in a minute that no page needs, whatever it has to send and to hear."""
_SAID = {"needs_auth": {401}, "blocked": {403, 404}, "upgrade_required": {426}}
"""What only the server itself can say."""


def check_manners(page: Page, request: Request) -> None:
    """Pages leave a server alone that asks for it, and any server most of the time."""
    now = asyncio.get_running_loop().time()
    page.often[int(now / 60)] += 1
    words = ""
    if page.often[int(now / 60)] > TOO_OFTEN * (10 if page.device.world.plan.rest else 1):
        words = f"{page.name} sends more than {TOO_OFTEN} requests in a minute"
    if page.wishes:
        # From then on what comes of that counts.
        page.asked_to_wait = None
    if page.asked_to_wait is not None and request.url.endswith("/sync"):
        who, until = page.asked_to_wait
        # A cycle that had begun, and waits its turn, still makes its few tries.
        spell = FEW_TRIES + (LOCK_WAIT if page.device.slept else 0.0)
        late = page.waiting_since is not None and now > page.waiting_since + spell
        if late and who is page.synchronizer and now < until - 0.001:
            words = f"{page.name} was asked to wait for {until - now:.1f} s more, and did not"
    until = page.waits.get((page.synchronizer if page._client else None, path_of(request.url)), 0.0)
    if now < until - 0.001:
        words = f"{page.name} was asked to leave {request.url} alone for {until - now:.1f} s more"
    if words:
        page.device.world.broken(ViolationError(3, words))


def check_said(page: Page, status: Status) -> None:
    """What a status says is so."""
    synchronizer = page.synchronizer
    assert synchronizer is not None
    memory = synchronizer.engine.local.memory
    counts, due = (
        (status.pending, status.quarantined),
        (len(memory.pending), len(memory.quarantine)),
    )
    require(counts == due, 5, "%s tells of %s pending and refused, not %s", page.name, counts, due)
    causes = _SAID.get(status.state)
    if causes is not None and synchronizer.user_id != GUEST:
        said = {code for who, code in page.statuses if who == synchronizer.user_id} & causes
        require(said, 3, "%s is %s, which no server said", page.name, status.state)


def check_sent(page: Page) -> None:
    """A page that says that all is well has sent what was written on it."""
    synchronizer = page.synchronizer
    assert synchronizer is not None
    status, now = synchronizer.status(), asyncio.get_running_loop().time()
    check_said(page, status)
    pending = synchronizer.engine.local.memory.pending
    # What a page that opened brought back from its database the server may know already.
    names = {each.operation.id for each in page.written} - page.device.world.watch.ever_taken
    mine = [each for name, each in pending.items() if name in names]
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


def check_times(page: Page) -> None:
    """What was moved in time is so in the journal, too: a page that dies then forgets nothing."""
    synchronizer = page.synchronizer
    assert synchronizer is not None
    local, items = synchronizer.engine.local, page.device.disk.items
    if page.device.was_crowded or local.mutex.locked():
        # Two pages may each move it before they hear of each other.
        return
    for name, operation in local.memory.pending.items():
        text = items.get(local.names.journal + name)
        same = text is None or operation.timestamp in text
        require(same, 5, "%s knows %s, and the journal has %s", page.name, operation, text)


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
    # Both sides apart: between two looks it may have been lacking here, known, and gone there.
    strange = {("journal", name) for name in stored - known}
    strange |= set() if full else {("page", name) for name in known - stored}
    # Between two looks it may have come back there, and gone again.
    numbers = page.device.disk.numbers
    apart = [(*each, numbers.get(prefix + each[1], 0)) for each in sorted(strange)]
    page.strange = {each: page.strange.get(each, now) for each in apart}
    for (holder, name, _), since in page.strange.items():
        late = now - max(since, page.process.awake_since) > HEARD
        require(not late, 5, "%s: only the %s knows %s", page.name, holder, name)


def is_just_awake(page: Page) -> bool:
    """Whether a page may not have heard yet of all it slept through."""
    return asyncio.get_running_loop().time() - page.process.awake_since <= HEARD


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
    check_erased(device)
    names, items = Names(user_id), device.disk.items
    # What a page of another process showed as it died is heard of later, and goes then.
    is_sure = device.spec.latency is None or not device.mourning
    shown = views_of(device, user_id) if is_sure else []
    require(not shown, 7, "%s still shows %s", device.name, shown)
    spoilt = device.spoilt
    left = [key for key in items if key.startswith(names.journal) and key not in spoilt]
    drained = pending != "drain" or not left
    require(drained, 1, "%s signed out and said that all was sent, not %s", user_id, left)


def views_of(device: Device, user_id: str) -> list[str]:
    """What any page of a device can read of a user."""
    return [key for key in device.disk.items if is_view(key, user_id)]


def check_erased(device: Device) -> None:
    """Of who discarded what they had nothing is left, once every page has heard of it."""
    if device.spec.latency is not None and device.was_crowded:
        # What one process erases another may write again before it hears of that.
        return
    for user_id, moment in device.erased.items():
        names = Names(user_id)
        theirs = (names.pages, names.journal, names.quarantine)
        # A person may write anew on a page that is thawed, before it hears that they left.
        new = {
            f"{place}{promise.operation.id}"
            for promise in device.world.ledger.of(device)
            if promise.moment >= moment and not promise.excused
            for place in (names.journal, names.quarantine)
        }
        left = [key for key in device.disk.items if key.startswith(theirs) and key not in new]
        require(not left, 7, "%s discarded their data, and %s has %s", user_id, device.name, left)


async def check_rhythm(world: World) -> None:
    """Idle pages ask now and then: by their timer, or as the server wishes."""
    wished = None if world.plan.rest else world.plan.poll_after
    each = len(CLIENT) if world.plan.rest else 1
    least, most = {None: (2, 4), 5.0: (9, 15), 120.0: (0, 2)}[wished]
    pages = [page for page in world.pages if is_idle(page)]
    before = [(page.requests, pulls_anew(page)) for page in pages]
    await asyncio.sleep(65)
    for page, (requests, more) in zip(pages, before, strict=True):
        asked = (page.requests - requests) // each
        calm = least <= asked <= most + more or not is_idle(page)
        require(calm, 3, "%s asked %s times in 65 s, told %s", page.name, asked, wished)


def pulls_anew(page: Page) -> int:
    """How many requests more than one it takes a page to learn of another epoch, if there is one.

    Nobody tells it before it asks, and then it pulls everything, page by page.
    """
    world, synchronizer = page.device.world, page.synchronizer
    if world.plan.rest or synchronizer is None:
        return 0
    state, rows = world.server.rows.now(synchronizer.user_id)
    known = synchronizer.engine.local.memory.base.epoch
    return 0 if known == state.epoch else max(1, -(-len(rows) // world.plan.page_limit))


def is_idle(page: Page) -> bool:
    """Whether somebody is signed in there, and all is well."""
    signed_in = page.client.user_id is not None and page.synchronizer is not None
    return signed_in and page.client.status.state == "idle"
