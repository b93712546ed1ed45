"""The end of a world: trouble is over, and everybody has time to agree.

No page is reloaded, save where its status asks for it in words.
"""

from __future__ import annotations

import asyncio

from atiha_web.sync.names import GUEST
from atiha_web.sync.operation import Operation
from tests.simulation.browser import Device, Page
from tests.simulation.collections import LATEST
from tests.simulation.leaving import journal_of
from tests.simulation.oracle import (
    arrived,
    check_mirror,
    differs,
    lacks_room,
    replaced_by_refused,
    taken_back,
)
from tests.simulation.pages import open_page, sign_in
from tests.simulation.promptness import check_erased, check_rhythm
from tests.simulation.reference import says, stated
from tests.simulation.violations import ViolationError, require
from tests.simulation.world import World

PATIENCE = 1500.0
"""Seconds within which everybody agrees: above the longest wait that a server may ask for."""


async def settle(world: World) -> None:
    """Trouble is over: everybody comes back, and has time to agree."""
    world.note("trouble is over")
    await end_trouble(world)
    for device in world.devices:
        await come_back(world, device)
    await agree(world)
    for device in world.devices:
        await send_what_others_left(world, device)
    # Views, marks and mirrors are written after what they tell of; what one of several pages
    # wrote of them as it closed, or had no room for, the next cycle puts right.
    untidy = [page for page in world.pages if page.device.was_crowded or page.device.blurred]
    for page in untidy:
        # One after the other: where there is no lock they would get in each other's way again.
        if ends := page.sync():
            await asyncio.wait(ends, timeout=PATIENCE)
    await asyncio.sleep(3)
    if world.plan.seed % 4 == 0:
        await check_rhythm(world)


async def end_trouble(world: World) -> None:
    """Nothing goes wrong any more."""
    world.network.down_until = 0.0
    world.server.release(LATEST)
    for device in world.devices:
        device.faults.clear()
        device.write_faults.clear()
        device.failing = ""
        device.disk.quota = None
        database = device.database
        database.seconds, database.opening, database.absent = 0.002, 0.0, False
        database.failures.clear()
        for page in device.pages:
            page.storage.calls_left = None
            if page.process.frozen:
                page.process.thaw()
    world.network.deliver_all()
    # What was frozen learns of what it slept through.
    await asyncio.sleep(1)
    for device in world.devices:
        check_erased(device)
    await world.reap()


async def come_back(world: World, device: Device) -> None:
    """Somebody looks at every page; those of an older release are opened anew."""
    device.release = LATEST
    for page in list(device.pages):
        if page.release != LATEST or must_reload(page):
            await page.leave()
    if not device.online:
        device.set_online(True)
    device.reachable = True
    if not device.pages:
        await open_page(world, device)
    for page in device.pages if not world.plan.unseen else []:
        page.signal("visible")


def must_reload(page: Page) -> bool:
    """Whether the status asks for it, and what it asks it for may have happened."""
    if page.device.wants_start:
        return True
    words = " ".join(page.client.status.problems)
    return "next start" in words or ("reload the page" in words and page.device.blurred)


async def sign_in_again(world: World, device: Device) -> None:
    """Who is asked to sign in again does so, on one page: the others go on once looked at."""
    signed_in = [page for page in device.pages if page.client.user_id is not None]
    needy = [page for page in signed_in if page.client.status.state in ("needs_auth", "blocked")]
    if not needy:
        return
    if all(page.client.status.state != "idle" for page in signed_in):
        assert needy[0].client.user_id is not None
        await sign_in(world, needy[0], needy[0].client.user_id)
    for page in device.pages:
        page.signal("visible")


async def agree(world: World) -> None:
    """Wait until every page shows what the server holds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    pause = 2.0
    while found := next(filter(None, map(unsettled, world.pages)), ""):
        world.check()
        if loop.time() > end:
            raise ViolationError(3, f"stuck after {PATIENCE:g} s without trouble: {found}")
        await asyncio.sleep(pause)
        pause = min(pause * 2, 60.0)
        for device in world.devices:
            await sign_in_again(world, device)
    world.check()


def unsettled(page: Page) -> str:
    """In words, what is not as it should be without trouble; empty if nothing."""
    state, device = page.client.status.state, page.device
    if page.client.user_id is None and device.cookie in page.ended & device.world.server.sessions:
        return f"{device.name}: a session goes on that somebody signed out of"
    if page.client.user_id is None:
        return differs(page)
    if lacks_room(page):
        return f"{page.name} keeps in memory what there is room for"
    well = state in ("idle", "syncing")
    return differs(page) if well else f"{page.name} is {state} ({page.client.status.message})"


async def send_what_others_left(world: World, device: Device) -> None:
    """Who left something unsent on a device signs in there once more; so does a guest."""
    # What an earlier app left for one is taken in as another signs in.
    for user_id in world.users * (2 if world.leftovers else 1):
        if journal_of(device, user_id):
            await enter(world, device, user_id)
    if journal_of(device, GUEST):
        await enter(world, device, world.users[0])


async def enter(world: World, device: Device, user_id: str) -> Page | None:
    """Sign in on a device, and wait until everybody agrees again."""
    page = device.pages[0]
    if page.client.user_id != user_id and not await sign_in(world, page, user_id):
        raise ViolationError(3, f"{page.name}: cannot sign in as {user_id}")
    await asyncio.sleep(1)
    await agree(world)
    return page


async def check_offline(world: World) -> None:
    """A page that is opened without network shows what the server holds."""
    for device in world.devices:
        # What a page found in its database may just have been sent.
        await agree(world)
        device.reachable = False
        page = await open_page(world, device)
        if page is None:
            raise ViolationError(5, f"{device.name}: no page opens offline")
        await asyncio.sleep(1)
        check_opened_offline(page)
        await page.kill()
        device.reachable = True


def check_opened_offline(page: Page) -> None:
    """It shows what the server holds; what only the database still held may be pending again."""
    synchronizer = page.synchronizer
    others = {other.client.user_id for other in page.device.pages if other is not page}
    if synchronizer is not None and synchronizer.user_id in others:
        pending = synchronizer.engine.local.memory.pending.values()
        back = {operation.id for operation in pending if is_known(page, operation)}
        found = differs(page, allowed=back)
        excused = back or synchronizer.status().partial
        require(not found or excused, 5, "opened offline: %s", found)
    check_mirror(page.device)


def is_known(page: Page, operation: Operation) -> bool:
    """Whether the server took an operation in once, or holds what it says."""
    watch, user_id = page.device.world.watch, page.client.user_id
    fact = stated(operation.collection, operation.timestamp, operation.data)
    assert user_id is not None
    held = watch.accounts[user_id].held(operation.record)
    if operation.id in watch.ever_taken or says(operation.collection, held, fact):
        return True
    if operation.id in page.device.unconfirmed and page.device.database_failed:
        # Storage alone said that it was discarded: once that is gone the database has it still.
        return True
    # Of a guest's word that a guest took back no server knows; where clocks are wrong what is no
    # longer said has another time than what took its place. Nor does one know what a word that it
    # refuses took the place of, without room to keep both and on a page without database: when a
    # page next opens with it, that has it still.
    world = page.device.world
    unheard = page.device.was_full and page.device.database_failed
    given = world.promises_by_id.get(operation.id, ())
    return any(
        (promise.user_id == GUEST and taken_back(world, promise))
        or (promise.user_id == GUEST and unheard and replaced_by_refused(world, promise))
        or (world.skewed and arrived(world, promise))
        for promise in given
    )
