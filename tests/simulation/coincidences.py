"""Things that must coincide for a mistake to show, and that chance brings together too seldom."""

from __future__ import annotations

import asyncio
from random import Random

from atiha_web.errors import StorageUnavailableError
from atiha_web.testing import fake_server
from tests.simulation.browser import Device
from tests.simulation.collections import LATEST
from tests.simulation.faults import clear
from tests.simulation.leaving import log_out
from tests.simulation.pages import (
    Action,
    open_page,
    sign_in,
    signed_page,
    sync_until_told,
    two_pages,
)
from tests.simulation.promptness import check_erased
from tests.simulation.violations import require
from tests.simulation.world import World
from tests.simulation.writing import state, write_on, write_record


async def database_fails_meanwhile(world: World, device: Device, dice: Random) -> None:
    """A transaction that carries a sign-in fails, and meanwhile they sign out; then a kill."""
    page = await signed_page(world, device, dice)
    if page is None or page.mirrored is None or len(device.pages) > 1:
        return
    user_id = page.client.user_id or world.users[0]
    await log_out(world, page, "keep")
    await asyncio.sleep(1)
    seconds, device.database.seconds = device.database.seconds, 1.0
    device.database_failed = True
    device.database.failures.append(StorageUnavailableError("aborted"))
    if page.usable and await sign_in(world, page, user_id):
        await asyncio.sleep(0.3)
        await log_out(world, page, "keep")
    device.database.seconds = seconds
    device.database.failures.clear()
    await device.kill_browser(30.0)
    world.ledger.browser_killed(device, 30.0)
    await open_page(world, device)


async def clock_set_right(world: World, device: Device, dice: Random) -> None:
    """A clock is set right while a write is under way, and its record is written once more."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None:
        return
    device.faults.clear()
    device.set_clock(-40_000)
    page.sync()
    await asyncio.sleep(2)
    device.set_clock(0)
    key = f"{device.name}-own"
    if page.can_act() and page.client.user_id is not None:
        await write_record(world, page, "ratings", key, dice)
        device.faults.appendleft(("reply slow", fake_server.slow(after=1)))
        page.sync()
        await asyncio.sleep(0.5)
    if page.can_act() and page.client.user_id is not None:
        await write_record(world, page, "ratings", key, dice)
    await asyncio.sleep(3)


async def dies_bringing_back(world: World, device: Device, dice: Random) -> None:
    """What took the place of a good write is refused, and the page dies over that."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None:
        return
    reachable, device.reachable = device.reachable, False
    key, text = f"k-{world.number()}", f"n{world.number()}"
    await state(world, page, ("notes", key, {"text": text}, text), dice)
    if page.can_act():
        await write_record(world, page, "notes", key, dice)
    device.reachable = reachable
    page.storage.counts_all, page.storage.calls_left = False, dice.randint(1, 6)
    page.sync()
    await asyncio.sleep(1)
    await world.reap()
    page.storage.calls_left = None
    await open_page(world, device)


async def cleared_and_discarded(world: World, device: Device, dice: Random) -> None:
    """A page sleeps while storage is cleared and another page gives everything up."""
    await _cleared_and_left(world, device, dice, "discard")


async def cleared_and_left(world: World, device: Device, dice: Random) -> None:
    """A page sleeps while storage is cleared and another page signs out."""
    await _cleared_and_left(world, device, dice, "keep")


async def refused_and_discarded(world: World, device: Device, dice: Random) -> None:
    """The same as it is discarded, where a page knows of something refused."""
    page = await signed_page(world, device, dice)
    if page is None:
        return
    device.faults.clear()
    await write_record(world, page, "notes", f"bad-refused-{world.number()}", dice)
    if page.usable and page.synchronizer is not None:
        page.sync()
        await asyncio.sleep(1)
    await _cleared_and_left(world, device, dice, "discard")


async def _cleared_and_left(world: World, device: Device, dice: Random, pending: str) -> None:
    pages = await two_pages(world, device, dice)
    if pages is None:
        return
    page, other = pages
    if page.client.user_id is None:
        return
    await asyncio.sleep(1)
    reachable, device.reachable = device.reachable, False
    if page.can_act():
        await write_on(world, page, dice)
    page.process.frozen = True
    await clear(world, device, dice)
    await asyncio.sleep(1)
    if other.usable:
        await log_out(world, other, pending)
    signed_in = device.stored_user
    page.process.thaw()
    await asyncio.sleep(2)
    device.reachable = reachable
    check_erased(device)
    back = device.stored_user != signed_in
    require(not back, 7, "%s: %s is signed in again", device.name, device.stored_user)


async def opens_as_another_learns(world: World, device: Device, dice: Random) -> None:
    """A page opens while another one carries out what the server answered."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None or len(device.pages) > 2:
        return
    for _ in range(dice.randint(1, 3)):
        if page.can_act():
            await write_on(world, page, dice)
    await sync_until_told(page)
    for _ in range(dice.randint(0, 60)):
        await asyncio.sleep(0)
    await open_page(world, device)


async def server_goes_back(world: World, device: Device, dice: Random) -> None:
    """The server goes back to an earlier release, which is told to delete what it cannot read."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None or page.release != LATEST:
        return
    device.faults.clear()
    world.server.release(LATEST)
    key, text = f"m-{world.number()}", f"n{world.number()}"
    await state(world, page, ("memos", key, {"body": text}, text), dice)
    page.sync()
    await asyncio.sleep(2)
    world.server.release(1)
    if page.can_act() and page.client.user_id is not None:
        await state(world, page, ("memos", key, None, f"n{world.number()}"), dice)
        page.sync()
    await asyncio.sleep(2)


COINCIDENCES: dict[str, tuple[Action, float]] = {
    "server_goes_back": (server_goes_back, 3),
    "database_fails_meanwhile": (database_fails_meanwhile, 3),
    "clock_set_right": (clock_set_right, 12),
    "dies_bringing_back": (dies_bringing_back, 2),
    "cleared_and_discarded": (cleared_and_discarded, 2),
    "cleared_and_left": (cleared_and_left, 3),
    "refused_and_discarded": (refused_and_discarded, 2),
    "opens_as_another_learns": (opens_as_another_learns, 3),
}
"""What coincides, and how often."""
