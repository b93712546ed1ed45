"""Who is signed in: changing places, signing out, and what becomes of what is not sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from random import Random
from typing import Any

from atiha_web.errors import AtihaError, PendingOperationsError
from atiha_web.sync.names import Names
from tests.simulation.browser import Device, Page
from tests.simulation.pages import page_of, sign_in
from tests.simulation.promises import covers
from tests.simulation.promptness import check_signed_out
from tests.simulation.world import World


async def switch_user(world: World, device: Device, dice: Random) -> None:
    """Somebody signs in, maybe in another's place, maybe again."""
    page = await page_of(world, device, dice)
    if page is not None and page.usable:
        await sign_in(world, page, dice.choice(world.users))


async def log_out(world: World, page: Page, pending: Any) -> None:
    """Sign out; what is not sent yet is sent first, kept or discarded."""
    user_id, device = page.client.user_id, page.device
    if user_id is None:
        return
    on_device, session = journal_of(device, user_id), device.cookie
    unheard = on_device - entries_of(page.storage.known_keys, user_id)
    try:
        work = page.as_wished(as_done(page.client.users.logout(pending=pending)))
        done = await page.finish(work)
    except PendingOperationsError:
        world.note("%s: cannot sign out %s: some is not sent", page.name, user_id)
        return
    except AtihaError as error:
        world.note("%s: cannot sign out %s: %s", page.name, user_id, error)
        return
    world.note("%s: %s signs out: %s, %s", page.name, user_id, pending, "done" if done else "died")
    sound = bool(done) and (page.mirrored is None or not page.mirrored.problems())
    if done:
        page.ended |= set() if session is None else {session}
        device.left |= {user_id} if page.mirrored is not None and sound else set()
        if pending == "discard":
            _note_discarded(device, user_id)
        check_signed_out(device, user_id, pending)
    if pending == "discard":
        # What the server has of it is pulled again at the next sign-in.
        device.blurred = True
        for other in device.pages:
            other.written.clear()
        # Pages that do not hear of it yet may still write: what they hold is theirs to give up.
        stays = journal_of(device, user_id)
        left = on_device | stays
        # What another process had just written stays, where this one had not heard of it yet: no
        # process knows which of the two came first, and nothing is lost that nobody saw.
        theirs = unheard & stays
        world.ledger.given_up(left - theirs, device, for_good=sound)
        world.ledger.given_up(theirs, device, for_good=False)
        device.unconfirmed |= left if done and not sound else set()
        gone = [each for each in world.ledger.of(device) if each.operation.id in left]
        for promise in world.ledger.of(device):
            unsent = promise.user_id == user_id and not promise.settled
            if unsent or any(covers(each, promise) for each in gone):
                promise.excused = promise.excused or "it was discarded"


def _note_discarded(device: Device, user_id: str) -> None:
    """A person gave up, for every page of a device, what it holds of them."""
    device.erased[user_id] = asyncio.get_running_loop().time()
    for page in device.pages:
        opened = None if page._client is None else page.synchronizer
        if opened is not None and opened.user_id == user_id:
            page.discarded = opened


async def as_done(work: Awaitable[None]) -> bool:
    """``True`` once it is done."""
    await work
    return True


def journal_of(device: Device, user_id: str) -> set[str]:
    """The operations that a device's storage holds of a user, refused ones too."""
    return entries_of(device.disk.items, user_id)


def entries_of(keys: Iterable[str], user_id: str) -> set[str]:
    """The operations of a user that keys of storage name, refused ones too."""
    names = Names(user_id)
    return {
        key.removeprefix(prefix)
        for key in keys
        for prefix in (names.journal, names.quarantine)
        if key.startswith(prefix)
    }


async def log_out_drain(world: World, device: Device, dice: Random) -> None:
    """Sign out, and send everything first."""
    page = await page_of(world, device, dice)
    if page is not None and page.usable:
        await log_out(world, page, "drain")


async def log_out_keep(world: World, device: Device, dice: Random) -> None:
    """Sign out, and leave what is not sent for the next time."""
    page = await page_of(world, device, dice)
    if page is not None and page.usable:
        await log_out(world, page, "keep")


async def log_out_discard(world: World, device: Device, dice: Random) -> None:
    """Sign out, and give up what is not sent."""
    page = await page_of(world, device, dice)
    if page is not None and page.usable:
        await log_out(world, page, "discard")
