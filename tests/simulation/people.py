"""What people do: write, look, sign in and out, open and close pages."""

from __future__ import annotations

import asyncio
from random import Random

from atiha_web.errors import AtihaError
from atiha_web.sync.names import GUEST, Names
from tests.simulation.browser import Device, Page
from tests.simulation.leaving import (
    as_done,
    journal_of,
    log_out_discard,
    log_out_drain,
    log_out_keep,
    switch_user,
)
from tests.simulation.pages import Action, open_page, page_of, signed_page
from tests.simulation.promises import Unsure
from tests.simulation.promptness import HELD
from tests.simulation.violations import require
from tests.simulation.world import World
from tests.simulation.writing import accepted, burst, write, write_as_guest, write_badly

# -- pages ---------------------------------------------------------------------------------


async def sync(world: World, device: Device, dice: Random) -> None:
    """Somebody asks for a sync."""
    page = await signed_page(world, device, dice)
    if page is not None and page.synchronizer is not None:
        world.note("%s: asked to sync", page.name)
        page.sync()


async def open_another(world: World, device: Device, dice: Random) -> None:
    """Up to three pages of one device are open."""
    if len(device.pages) < 3:
        await open_page(world, device)


async def close_page(world: World, device: Device, dice: Random) -> None:
    """A page is closed as it should be."""
    page = await page_of(world, device, dice)
    if page is not None and page.usable:
        world.note("%s closes", page.name)
        await page.leave()


async def hide(world: World, device: Device, dice: Random) -> None:
    """A page goes to the background; it may be gone the next moment."""
    if dice.random() < 0.6:
        await write(world, device, dice)
    page = await page_of(world, device, dice)
    if page is not None:
        world.note("%s is hidden", page.name)
        due = must_flush(page)
        page.signal("hidden")
        await asyncio.sleep(0.001)
        # What it heard meanwhile that another page has sent is none of its business any more.
        opened = page.synchronizer
        waits = set() if opened is None else set(opened.engine.local.memory.pending)
        # And a request of its own may have begun just then.
        left = (due - page.flushed - page.carrying) & waits
        if world.plan.rest and page.flushed:
            # There each is a request of its own, and the oldest goes.
            left = set()
        require(not left, 3, "%s is hidden and leaves %s behind", page.name, left)
        if dice.random() < 0.4:
            world.note("%s is gone with that", page.name)
            await page.kill()


def must_flush(page: Page) -> set[str]:
    """What a page sends as it is hidden, because no request carries it."""
    synchronizer = page.synchronizer
    if not page.usable or synchronizer is None or synchronizer.user_id == GUEST:
        return set()
    calm = synchronizer.scheduler.may_send and synchronizer.status().in_flight == 0
    if page.device.world.plan.rest:
        calm = calm and not (page.flushed or page.waits)
    elif page.knows_time is None or page.knows_time[0] is not synchronizer:
        calm = False
    if not calm:
        return set()
    pending = synchronizer.engine.local.memory.pending.values()
    return {each.id for each in pending if each.collection not in HELD}


async def show(world: World, device: Device, dice: Random) -> None:
    """Somebody looks at a page."""
    page = await page_of(world, device, dice)
    if page is not None:
        page.signal("visible")
        await hurries(page)


async def hurries(page: Page) -> None:
    """Who is looked at, or comes online, does not wait for its timer."""
    asked, state = page.requests, page.client.status.state
    if page.client.user_id is None or state not in ("idle", "backoff"):
        return
    await asyncio.sleep(1)
    busy = page.client.status.state not in ("idle", "backoff") or not page.usable
    require(busy or page.requests > asked, 3, "%s is looked at, and does not sync", page.name)


# -- quarantine ----------------------------------------------------------------------------


async def retry_refused(world: World, device: Device, dice: Random) -> None:
    """Somebody corrects what the server refused."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None or not page.client.quarantined:
        return
    refused = page.client.quarantined[0].operation
    user_id = page.client.user_id
    text, begun_ms = f"{user_id}/{world.number()}", world.now_ms()
    was_stored = refused.id in journal_of(device, user_id)
    try:
        done = await page.finish(page.client.retry_quarantined(refused.id, {"text": text}))
    except AtihaError:
        return
    world.note("%s: corrected %s", page.name, refused)
    if done is None:
        world.ledger.unsure.append(Unsure(device, user_id, refused.record, {"text": text}))
        if was_stored and refused.id not in journal_of(device, user_id):
            # It died with all of it done, and nobody was told: the correction is there by then.
            kept = is_kept(world, device, user_id, text)
            require(kept, 1, "%s died, and %s went before its correction came", page.name, refused)
            world.ledger.given_up({refused.id}, device, for_good=False)
    else:
        world.ledger.given_up({refused.id}, device, for_good=False)
        # It took until the database had forgotten the other one.
        await accepted(world, page, done, user_id, dice, begun_ms)


def is_kept(world: World, device: Device, user_id: str, text: str) -> bool:
    """Whether a device's storage or the server has an operation that states this text."""
    names, items = Names(user_id), device.disk.items
    ours = [key for key in items if key.startswith((names.journal, names.quarantine))]
    there = any(f'"{text}"' in items[key] for key in ours)
    return there or f"'{text}'" in world.server.text_of_everything()


async def drop_refused(world: World, device: Device, dice: Random) -> None:
    """Somebody gives up what the server refused; it must never come back."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None or not page.client.quarantined:
        return
    refused = page.client.quarantined[0].operation
    try:
        done = await page.finish(as_done(page.client.drop_quarantined([refused.id])))
    except AtihaError:
        return
    world.note("%s: dropped %s", page.name, refused)
    world.ledger.given_up({refused.id}, device, for_good=False)
    if done and (page.mirrored is None or not page.mirrored.problems()):
        world.ledger.dropped.add((device.name, refused.id))


PEOPLE: dict[str, tuple[Action, float]] = {
    "write": (write, 40),
    "burst": (burst, 5),
    "write_badly": (write_badly, 2),
    "write_as_guest": (write_as_guest, 2),
    "sync": (sync, 6),
    "open_another": (open_another, 6),
    "close_page": (close_page, 3),
    "hide": (hide, 3),
    "show": (show, 2),
    "switch_user": (switch_user, 2),
    "log_out_drain": (log_out_drain, 1),
    "log_out_keep": (log_out_keep, 1.5),
    "log_out_discard": (log_out_discard, 1),
    "retry_refused": (retry_refused, 1),
    "drop_refused": (drop_refused, 1.5),
}
"""What people may do, and how often."""
