"""Things that happen at one moment: as a page learns something, dies, leaves or forgets."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

from atiha_web.testing import fake_server
from tests.simulation.browser import Device
from tests.simulation.faults import (
    clear,
    freeze,
    kill_browser,
    others_put,
    others_write,
    tighten,
)
from tests.simulation.leaving import log_out, log_out_discard, log_out_keep, switch_user
from tests.simulation.pages import Action, open_page, signed_page, sync_until_told, two_pages
from tests.simulation.people import retry_refused
from tests.simulation.promptness import check_erased
from tests.simulation.world import World
from tests.simulation.writing import write, write_on, write_record


async def interrupted(world: World, device: Device, dice: Random) -> None:
    """While a page carries out what the server answered, at any turn, something else happens."""
    page = await signed_page(world, device, dice)
    user_id = None if page is None else page.client.user_id
    if page is None or user_id is None:
        return
    for _ in range(dice.randint(1, 2)):
        if page.can_act():
            await write_on(world, page, dice)
    if dice.random() < 0.5:
        await others_put(world, user_id, f"k{dice.randint(0, 2)}")
    if not await sync_until_told(page):
        return
    what = dice.choice(MEANWHILE)
    # What is to happen in the midst of it comes early.
    for _ in range(dice.randint(0, 5 if what is go_on_writing else 80)):
        await asyncio.sleep(0)
    world.note("%s learns something, and meanwhile: %s", page.name, what.__name__)
    await what(world, device, dice)


async def all_die(world: World, device: Device, dice: Random) -> None:
    """Every page dies, and one is opened that has no network."""
    for page in list(device.pages):
        await page.kill()
    reachable, device.reachable = device.reachable, False
    await open_page(world, device)
    await asyncio.sleep(dice.choice([0, 1]))
    device.reachable = reachable


async def open_one_more(world: World, device: Device, dice: Random) -> None:
    """Another page is opened."""
    if len(device.pages) < 4:
        await open_page(world, device)


async def sync_another(world: World, device: Device, dice: Random) -> None:
    """Another page asks for a sync, too."""
    dice.choice(device.pages).sync()


async def go_on_writing(world: World, device: Device, dice: Random) -> None:
    """Somebody goes on rating on a page, another film every few turns."""
    page = dice.choice(device.pages)
    films = [*(f"k{number}" for number in range(6)), f"{device.name}-own"]
    writing = []
    for key in dice.sample(films, dice.randint(2, len(films))):
        if page.can_act():
            writing.append(asyncio.ensure_future(write_record(world, page, "ratings", key, dice)))
        for _ in range(dice.choice([1, 1, 2, 5])):
            await asyncio.sleep(0)
    await asyncio.gather(*writing)


async def both_learn_and_die(world: World, device: Device, dice: Random) -> None:
    """Two pages are told that what they wrote is there, in the same moment; then both die."""
    pages = await two_pages(world, device, dice)
    if pages is None:
        return
    page, other = pages
    if page.client.user_id is None:
        return
    await asyncio.sleep(1)
    for each in (page, other):
        if each.can_act() and each.client.user_id is not None:
            await write_record(world, each, "ratings", f"of-{each.name}", dice)
    page.replied.clear()
    other.replied.clear()
    page.sync()
    other.sync()
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.gather(page.replied.wait(), other.replied.wait())
    for _ in range(dice.randint(0, 120)):
        await asyncio.sleep(0)
    await all_die(world, device, dice)


async def dies_replacing(world: World, device: Device, dice: Random) -> None:
    """Somebody without network changes their mind, and the page dies over that."""
    page = await signed_page(world, device, dice)
    if page is None or page.synchronizer is None:
        return
    reachable, device.reachable = device.reachable, False
    for calls_left in (None, dice.randint(0, 2)):
        if page.can_act():
            page.storage.counts_all, page.storage.calls_left = False, calls_left
            await write_record(world, page, "ratings", "k1", dice)
    await world.reap()
    await open_page(world, device)
    device.reachable = reachable


async def left_without_network(world: World, device: Device, dice: Random) -> None:
    """Somebody writes, and signs out in a place without network."""
    page = await signed_page(world, device, dice)
    if page is None:
        return
    reachable, device.reachable = device.reachable, False
    await write_on(world, page, dice)
    if page.usable:
        await log_out(world, page, dice.choice(["drain", "keep"]))
    device.reachable = reachable


async def discarded_elsewhere(world: World, device: Device, dice: Random) -> None:
    """A page is frozen, or told something late, while another one gives everything up."""
    pages = await two_pages(world, device, dice)
    if pages is None:
        return
    page, other = pages
    if page.client.user_id is None or not page.can_act():
        return
    await asyncio.sleep(1)
    await write_on(world, page, dice)
    await others_put(world, page.client.user_id or world.users[0], "k2")
    device.faults.appendleft(("reply slow", fake_server.slow(after=0.5)))
    page.sync()
    await asyncio.sleep(dice.choice([0.1, 0.49, 0.53]))
    page.process.frozen = dice.random() < 0.6
    await asyncio.sleep(dice.choice([0, 1]))
    if other.usable:
        await log_out(world, other, "discard")
    await asyncio.sleep(dice.choice([0, 1]))
    page.process.thaw()
    await asyncio.sleep(1)
    check_erased(device)


async def cleared_unheard(world: World, device: Device, dice: Random) -> None:
    """A page clears storage by itself, of which no browser tells it."""
    page = await signed_page(world, device, dice)
    doomed = page is not None and page.storage.calls_left is not None
    if page is None or not device.online or doomed or device.was_full:
        # Without room for any base nothing tells a clear from what never was.
        return
    for each in list(device.pages):
        if each is not page:
            await each.kill()
    reachable, device.reachable = device.reachable, False
    await write_on(world, page, dice)
    device.reachable = reachable
    if not page.usable or page.client.status.state not in ("idle", "syncing", "backoff"):
        return
    device.blurred = True
    world.ledger.storage_cleared(device, {device.stored_user})
    world.note("%s clears storage", page.name)
    device.disk.clear(by=page.storage)
    page.sync()
    await asyncio.sleep(40)


MEANWHILE: list[Action] = [
    open_one_more,
    all_die,
    all_die,
    sync_another,
    write,
    go_on_writing,
    go_on_writing,
    go_on_writing,
    go_on_writing,
    log_out_keep,
    log_out_discard,
    switch_user,
    clear,
    kill_browser,
    freeze,
    tighten,
    others_write,
    retry_refused,
]
"""What may happen while a page learns."""

MOMENTS: dict[str, tuple[Action, float]] = {
    "interrupted": (interrupted, 4),
    "both_learn_and_die": (both_learn_and_die, 2),
    "dies_replacing": (dies_replacing, 1),
    "left_without_network": (left_without_network, 1),
    "discarded_elsewhere": (discarded_elsewhere, 1.5),
    "cleared_unheard": (cleared_unheard, 1),
}
"""What happens at one moment, and how often."""
