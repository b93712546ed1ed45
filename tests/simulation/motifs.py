"""Several things in a row that seldom meet by chance, and that something depends on."""

from __future__ import annotations

import asyncio
from random import Random

from atiha_web.testing import fake_server
from tests.simulation.browser import Device
from tests.simulation.faults import (
    back_up,
    expire_tokens,
    kill_browser,
    others_put,
    restore,
    restore_silently,
)
from tests.simulation.leaving import log_out_discard
from tests.simulation.pages import Action, open_page, signed_page, two_pages
from tests.simulation.people import drop_refused
from tests.simulation.world import World
from tests.simulation.writing import state, write_on, write_record


async def lost_in_silence(world: World, device: Device, dice: Random) -> None:
    """What was acknowledged after a backup is gone, and only a digest can tell."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None or page.synchronizer is None:
        return
    await back_up(world, device, dice)
    await write_on(world, page, dice)
    if page.usable and page.synchronizer is not None:
        page.sync()
        await asyncio.sleep(2)
    await restore_silently(world, device, dice)


async def overtaken_by_a_restore(world: World, device: Device, dice: Random) -> None:
    """A reply is under way while a backup is restored, and another page hears of that first."""
    pages = await two_pages(world, device, dice)
    if pages is None:
        return
    page, other = pages
    if page.client.user_id is None or not page.usable:
        return
    await asyncio.sleep(1)
    await back_up(world, device, dice)
    for _ in range(3):
        await others_put(world, page.client.user_id, "k0")
    device.faults.appendleft(("reply slow", fake_server.slow(after=8)))
    page.sync()
    await asyncio.sleep(0.5)
    await restore(world, device, dice)
    if page.can_act():
        await write_record(world, page, "ratings", "k0", dice)
    other.sync()
    await asyncio.sleep(9)


async def overtaken_by_a_deletion(world: World, device: Device, dice: Random) -> None:
    """An acknowledgement is under way while another page deletes the record."""
    pages = await two_pages(world, device, dice)
    if pages is None:
        return
    page, other = pages
    if page.client.user_id is None or not page.can_act():
        return
    await asyncio.sleep(1)
    device.faults.appendleft(("reply slow", fake_server.slow(after=8)))
    await write_record(world, page, "ratings", "k1", dice)
    page.sync()
    await asyncio.sleep(0.5)
    if other.can_act():
        await state(world, other, ("ratings", "k1", None, f"gone-{world.number()}"), dice)
    other.sync()
    await asyncio.sleep(9)


async def asked_to_sign_in(world: World, device: Device, dice: Random) -> None:
    """All sessions end, and two pages of a device are told so."""
    pages = await two_pages(world, device, dice)
    if pages is None:
        return
    page, other = pages
    await expire_tokens(world, device, dice)
    for each in (page, other):
        each.sync()
    await asyncio.sleep(1)


async def both_learn_at_once(world: World, device: Device, dice: Random) -> None:
    """Two pages are told of several changes in the same moment, and one knows more."""
    pages = await two_pages(world, device, dice)
    if pages is None:
        return
    page, other = pages
    if page.client.user_id is None:
        return
    for number in range(4):
        await others_put(world, page.client.user_id, f"k{number}")
    page.sync()
    await asyncio.sleep(0)
    if dice.random() < 0.5:
        await others_put(world, page.client.user_id, "k4")
    other.sync()
    await asyncio.sleep(1)


async def dies_as_it_learns(world: World, device: Device, dice: Random) -> None:
    """A page dies while it carries out what the server answered; the next one opens."""
    page = await signed_page(world, device, dice)
    if page is None or page.synchronizer is None:
        return
    if dice.random() < 0.4:
        await write_record(world, page, "notes", f"bad-refused-{world.number()}", dice)
    else:
        await write_on(world, page, dice)
    if not page.usable or page.synchronizer is None:
        return
    page.storage.counts_all, page.storage.calls_left = False, dice.randint(0, 5)
    world.note("%s dies after %s changes", page.name, page.storage.calls_left)
    page.sync()
    await asyncio.sleep(1)
    await world.reap()
    await open_page(world, device)


async def given_up_and_killed(world: World, device: Device, dice: Random) -> None:
    """Somebody gives something up for good; then the browser is killed."""
    await dice.choice([drop_refused, log_out_discard])(world, device, dice)
    await kill_browser(world, device, dice)
    await open_page(world, device)


async def refused_and_dropped(world: World, device: Device, dice: Random) -> None:
    """The server refuses something, somebody gives it up, the browser is killed."""
    page = await signed_page(world, device, dice)
    if page is None or page.synchronizer is None:
        return
    await write_record(world, page, "notes", f"bad-refused-{world.number()}", dice)
    if page.usable and page.synchronizer is not None:
        page.sync()
        await asyncio.sleep(1)
    await drop_refused(world, device, dice)
    await kill_browser(world, device, dice)
    await open_page(world, device)


MOTIFS: dict[str, tuple[Action, float]] = {
    "lost_in_silence": (lost_in_silence, 1),
    "overtaken_by_a_restore": (overtaken_by_a_restore, 1),
    "overtaken_by_a_deletion": (overtaken_by_a_deletion, 1),
    "asked_to_sign_in": (asked_to_sign_in, 1),
    "both_learn_at_once": (both_learn_at_once, 1),
    "dies_as_it_learns": (dies_as_it_learns, 2),
    "given_up_and_killed": (given_up_and_killed, 1),
    "refused_and_dropped": (refused_and_dropped, 1),
}
"""What happens in several steps, and how often."""
