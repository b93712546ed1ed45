"""Pages that people use: opening them, and signing in on them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from atiha_web.errors import AtihaError, StorageError
from tests.simulation.browser import Device, Page
from tests.simulation.oracle import check_opened
from tests.simulation.server import PASSWORD
from tests.simulation.violations import require
from tests.simulation.world import World

Action = Callable[[World, Device, Random], Awaitable[None]]


async def page_of(world: World, device: Device, dice: Random) -> Page | None:
    """A page somebody can use; one is opened where there is none."""
    usable = [page for page in device.pages if page.usable]
    return dice.choice(usable) if usable else await open_page(world, device)


async def open_page(world: World, device: Device, calls_left: int | None = None) -> Page | None:
    """Open a page; it must show at once all this device promised to keep."""
    page = Page(device, world.number())
    page.storage.calls_left = calls_left
    device.pages.append(page)
    device.was_crowded |= len(device.pages) > 1
    try:
        opened = await page.open()
    except StorageError as error:
        world.note("%s cannot open: %s", page.name, error)
        await page.kill()
        return None
    if not opened:
        world.note("%s died while it opened", page.name)
        await page.kill()
        return None
    world.note("%s opens for %s", page.name, page.client.user_id)
    sound = page.mirrored is not None and not page.mirrored.problems()
    known = page.client.user_id not in device.left or not sound
    require(known, 7, "%s signed out, and %s opens for them", page.client.user_id, page.name)
    check_opened(page)
    return page


async def signed_page(world: World, device: Device, dice: Random) -> Page | None:
    """A usable page of somebody who is signed in, or a guest's where the device has guests."""
    page = await page_of(world, device, dice)
    if page is None or not page.usable:
        return None
    if page.synchronizer is None and not await sign_in(world, page, dice.choice(world.users)):
        return None
    return page if page.can_act() else None


async def two_pages(world: World, device: Device, dice: Random) -> tuple[Page, Page] | None:
    """A signed page, and another one that is opened beside it where there is place."""
    page = await signed_page(world, device, dice)
    other = await open_page(world, device) if len(device.pages) < 3 else None
    return None if page is None or other is None else (page, other)


async def sync_until_told(page: Page) -> bool:
    """Have a page sync, and wait until the server told it something; tells whether it did."""
    page.replied.clear()
    page.sync()
    try:
        async with asyncio.timeout(5):
            await page.replied.wait()
    except TimeoutError:
        return False
    return True


async def sign_in(world: World, page: Page, user_id: str) -> bool:
    """Sign in; tells whether it worked."""
    email = f"{user_id}@example.org"
    opened = [each for each in page.device.pages if each._client is not None]
    switching = [page, *(each for each in opened if each.client.user_id != user_id)]
    page.device.left.discard(user_id)
    page.device.erased.pop(user_id, None)
    before, alone = page.device.stored_user, len(page.device.pages) == 1
    try:
        done = await page.finish(page.client.users.login(email=email, password=PASSWORD))
    except AtihaError as error:
        world.note("%s: cannot sign in as %s: %s", page.name, user_id, error)
        stays = not alone or page.device.stored_user == before
        require(stays, 10, "%s could not be signed in, and is: %s", user_id, page.name)
        return False
    world.note("%s: signed in as %s", page.name, user_id)
    if page.device.blurred:
        # They open what storage holds, which may lack what the server has.
        for other in switching:
            other.written.clear()
    return done is not None
