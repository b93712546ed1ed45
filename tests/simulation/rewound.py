"""What needs a device on which all is well before: a step taken back, a step taken by half.

A killed browser takes back what somebody just did in localStorage, and the database alone knows of
it; or somebody leaves, has no room or dies in the middle of something. All of it is looked at right
afterwards: by the end of a world other things would have hidden it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

from atiha_web.backends.memory import units
from atiha_web.errors import SaveError, StorageUnavailableError
from atiha_web.sync.names import GUEST
from tests.simulation.browser import Device, Page
from tests.simulation.leaving import journal_of, log_out
from tests.simulation.oracle import check_mirror, unsent
from tests.simulation.pages import Action, open_page, sign_in, sync_until_told
from tests.simulation.people import drop_refused, retry_refused
from tests.simulation.promptness import views_of
from tests.simulation.violations import require
from tests.simulation.world import World
from tests.simulation.writing import content, state, write_record

SLOW = 1.0
"""Seconds of a transaction that ends after what did not wait for it."""


async def mend(world: World, device: Device) -> None:
    """Nothing is wrong with a device any more, and no page is open on it."""
    for page in list(device.pages):
        await page.kill()
    device.faults.clear()
    device.disk.quota = None
    device.set_online(True)
    world.network.down_until = 0.0
    database = device.database
    database.seconds, database.opening, database.absent = 0.002, 0.0, False
    database.failures.clear()


async def only_page(world: World, device: Device, user_id: str | None) -> Page | None:
    """The only page of a device on which all is well, of a user or, for ``None``, of the guest."""
    await mend(world, device)
    page = await open_page(world, device)
    if page is None or page.mirrored is None or page.mirrored.problems():
        return None
    if user_id is None and page.client.user_id is not None:
        await log_out(world, page, "keep")
    elif user_id is not None and page.client.user_id != user_id:
        await sign_in(world, page, user_id)
    await asyncio.sleep(1)
    return page if page.can_act() and page.client.user_id == user_id else None


async def write_surely(world: World, page: Page, dice: Random, times: int) -> None:
    """Write, and wait until the database has it."""
    for _ in range(times):
        if page.synchronizer is not None:
            what = content(world, page, page.synchronizer.user_id, dice)
            await state(world, page, what, dice, follows=True)
    if page.mirrored is not None:
        with suppress(SaveError):
            await page.finish(page.mirrored.flush("disk"))
    await asyncio.sleep(0.01)


async def have_refused(world: World, page: Page, dice: Random) -> None:
    """Write something that the server refuses."""
    await write_record(world, page, "notes", f"bad-{world.number()}", dice, follows=True)
    page.sync()
    await asyncio.sleep(2)


# -- what a killed browser takes back --------------------------------------------------------


async def _nothing(world: World, page: Page, dice: Random) -> None:
    """Nothing has to be there before."""


async def _unsent(world: World, page: Page, dice: Random) -> None:
    page.device.reachable = False
    await write_surely(world, page, dice, 2)


async def _writes(world: World, page: Page, dice: Random) -> None:
    page.device.reachable = False
    if dice.random() < 0.5:
        page.device.database_failed = True
        page.device.database.failures.append(StorageUnavailableError("aborted"))
    await write_surely(world, page, dice, 1)


async def _drops(world: World, page: Page, dice: Random) -> None:
    page.device.reachable = False
    await drop_refused(world, page.device, dice)


async def _leaves(world: World, page: Page, dice: Random) -> None:
    page.device.reachable, page.device.database.seconds = False, SLOW
    await log_out(world, page, "keep")


async def _discards(world: World, page: Page, dice: Random) -> None:
    page.device.reachable, page.device.database.seconds = False, SLOW
    await log_out(world, page, "discard")


Deed = Callable[[World, Page, Random], Awaitable[None]]
DEEDS: list[tuple[Deed, Deed]] = [
    (_nothing, _writes),
    (_nothing, have_refused),
    (have_refused, _drops),
    (_unsent, _leaves),
    (_unsent, _discards),
]
"""What somebody does, after what."""


async def rewound(world: World, device: Device, dice: Random) -> None:
    """Somebody does something, and a killed browser takes back just that."""
    page = await only_page(world, device, dice.choice(world.users))
    if page is None:
        return
    prepare, deed = dice.choice(DEEDS)
    await prepare(world, page, dice)
    began = asyncio.get_running_loop().time()
    world.note("%s: what comes now is taken back: %s", device.name, deed.__name__)
    await deed(world, page, dice)
    await kill_back_to(world, device, began)
    device.reachable = False
    await open_page(world, device)
    await asyncio.sleep(1)
    device.reachable = True


async def kill_back_to(world: World, device: Device, moment: float) -> None:
    """The browser is killed: localStorage is as it was before that moment, the database as now."""
    seconds = asyncio.get_running_loop().time() - moment + 0.0005
    world.note("%s: the browser is killed, %s s are lost", device.name, seconds)
    await device.kill_browser(seconds)
    world.ledger.browser_killed(device, seconds)
    device.database.seconds = 0.002
    device.database.failures.clear()


# -- guests ----------------------------------------------------------------------------------


def _heirs(world: World, dice: Random) -> tuple[str, str]:
    """Who signs in first, and who after that; now and then it is the same person."""
    heir, other = dice.sample(world.users * 2, 2)
    return heir, other


async def adopted_and_rewound(world: World, device: Device, dice: Random) -> None:
    """A killed browser forgets that somebody took over what a guest wrote; then another comes."""
    page = await only_page(world, device, None)
    heir, other = _heirs(world, dice)
    if page is None:
        return
    await write_surely(world, page, dice, dice.randint(1, 3))
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(0.001)
    await sign_in(world, page, heir)
    await asyncio.sleep(dice.choice([0, 2]))
    await kill_back_to(world, device, began)
    await _change_places(world, device, await open_page(world, device), other)


async def _change_places(world: World, device: Device, page: Page | None, other: str) -> None:
    if page is None or not page.usable:
        return
    await log_out(world, page, "keep")
    if page.usable:
        await sign_in(world, page, other)
    await asyncio.sleep(2)


async def no_room_for_an_heir(world: World, device: Device, dice: Random) -> None:
    """There is no room to take over all that a guest wrote; once there is, another one comes."""
    page = await only_page(world, device, None)
    heir, other = _heirs(world, dice)
    if page is None:
        return
    await write_surely(world, page, dice, dice.randint(2, 4))
    device.blurred = device.was_full = True
    # Hardly any, for one of what a sign-in stores, for some of what the guest wrote.
    for room in (10, 40, 70, dice.randint(70, 900)):
        if page.usable and page.client.user_id is None:
            # The views of who was here go first.
            shown = views_of(device, GUEST)
            freed = sum(units(key) + units(device.disk.items[key]) for key in shown)
            device.disk.quota = device.disk.used - freed + room
            await sign_in(world, page, heir)
    await asyncio.sleep(dice.choice([0, 1]))
    device.disk.quota = None
    await _change_places(world, device, page, other)


async def two_heirs(world: World, device: Device, dice: Random) -> None:
    """Two people sign in on two pages at once, and one page may die as it takes over."""
    # Two processes see each other's storage late, lock or not: at one moment nothing helps there.
    if not device.spec.locks or device.spec.latency is not None:
        return
    page = await only_page(world, device, None)
    if page is None:
        return
    await write_surely(world, page, dice, dice.randint(2, 4))
    another = await open_page(world, device)
    if another is None:
        return
    if dice.random() < 0.7:
        page.storage.counts_all, page.storage.calls_left = False, dice.randint(0, 12)
    heir, other = _heirs(world, dice)
    await asyncio.gather(sign_in(world, page, heir), sign_in(world, another, other))
    await asyncio.sleep(2)
    await world.reap()
    page.storage.calls_left = None


# -- by half ---------------------------------------------------------------------------------


async def left_as_it_learns(world: World, device: Device, dice: Random) -> None:
    """Somebody signs out while their page carries out what the server answered."""
    user_id = dice.choice(world.users)
    page = await only_page(world, device, user_id)
    if page is None:
        return
    await write_surely(world, page, dice, dice.randint(1, 2))
    await sync_until_told(page)
    for _ in range(dice.randint(0, 60)):
        await asyncio.sleep(0)
    if page.usable:
        await log_out(world, page, "keep")
    await asyncio.sleep(1)
    shown = views_of(device, user_id) if page.usable and page.client.user_id is None else []
    require(not shown, 7, "%s signed out, and %s shows %s again", user_id, device.name, shown)


async def discarded_while_awaited(world: World, device: Device, dice: Random) -> None:
    """Somebody waits until the server has a write, and in another page they give it up."""
    page = await only_page(world, device, dice.choice(world.users))
    other = None if page is None else await open_page(world, device)
    if page is None or other is None:
        return
    await asyncio.sleep(1)
    device.reachable = False
    await write_surely(world, page, dice, dice.randint(1, 3))
    page.process.frozen = dice.random() < 0.5
    if other.usable:
        await log_out(world, other, "discard")
    await asyncio.sleep(1)
    page.process.thaw()
    await asyncio.sleep(2)
    device.reachable = True


async def closes_at_once(world: World, device: Device, dice: Random) -> None:
    """A page is closed as soon as it has written; what it began the browser carries to the end."""
    page = await only_page(world, device, dice.choice(world.users))
    if page is None:
        return
    device.reachable, device.database.seconds = False, 0.5
    for _ in range(2):
        if page.can_act():
            await write_record(world, page, "ratings", f"k{dice.randint(0, 2)}", dice)
    await page.leave()
    await asyncio.sleep(2)
    device.reachable, device.database.seconds = True, 0.002
    check_mirror(device)


async def stood_still(world: World, device: Device, dice: Random) -> None:
    """A page stands still with changes for the database, and another one sends them meanwhile."""
    page = await only_page(world, device, dice.choice(world.users))
    other = None if page is None else await open_page(world, device)
    if page is None or other is None:
        return
    await asyncio.sleep(1)
    device.database.seconds = 0.5
    for key in ("k0", "k1"):
        if page.can_act():
            await write_record(world, page, "ratings", key, dice)
    page.process.frozen = True
    other.sync()
    await asyncio.sleep(dice.choice([5, 20]))
    page.process.thaw()
    await asyncio.sleep(5)
    device.database.seconds = 0.002
    sound = not device.database_failed and page.usable and other.usable
    back = unsent(device.database.entries).keys() - unsent(device.disk.items).keys()
    require(not (sound and back), 1, "%s: the mirror has %s again", device.name, back)


async def dies_correcting(world: World, device: Device, dice: Random) -> None:
    """A page dies as somebody corrects what the server refused."""
    user_id = dice.choice(world.users)
    page = await only_page(world, device, user_id)
    if page is None:
        return
    await have_refused(world, page, dice)
    if not page.usable or not page.client.quarantined:
        return
    device.reachable = False
    refused, before = page.client.quarantined[0].operation.id, journal_of(device, user_id)
    page.storage.counts_all, page.storage.calls_left = False, dice.randint(0, 4)
    await retry_refused(world, device, dice)
    await world.reap()
    await open_page(world, device)
    held = journal_of(device, user_id)
    require(refused in held or held - before, 1, "what corrects %s is lost with it", refused)
    device.reachable = True


async def no_room_to_replace(world: World, device: Device, dice: Random) -> None:
    """What would take the place of a write finds no room, maybe as others are sent."""
    page = await only_page(world, device, dice.choice(world.users))
    if page is None or page.client.user_id is None:
        return
    key, author = f"long-{world.number()}", page.client.user_id
    sends = dice.random() < 0.5
    device.reachable = sends
    for size in (0, 20_000):
        value = f"{author}/{page.name}/{world.number()}"
        data = {"color": value, "preferences": {"a": "x" * size}}
        if size:
            device.blurred = device.was_full = True
            # What a reply brings fits.
            device.disk.quota = device.disk.used + 3000
            if sends:
                await _until_answered(page, dice)
        if page.can_act():
            await state(world, page, ("settings", key, data, value), dice)
    page.storage.seconds = 0.0
    device.disk.quota = None
    device.reachable = True


async def _until_answered(page: Page, dice: Random) -> None:
    """A page is told something, and its storage is one of a worker: each call takes its time."""
    await sync_until_told(page)
    page.storage.seconds = 0.005
    for _ in range(dice.randint(0, 9)):
        await asyncio.sleep(0)


REWOUND: dict[str, tuple[Action, float]] = {
    "rewound": (rewound, 5),
    "adopted_and_rewound": (adopted_and_rewound, 3),
    "no_room_for_an_heir": (no_room_for_an_heir, 3),
    "two_heirs": (two_heirs, 3),
    "left_as_it_learns": (left_as_it_learns, 2),
    "discarded_while_awaited": (discarded_while_awaited, 2),
    "closes_at_once": (closes_at_once, 1),
    "stood_still": (stood_still, 1),
    "dies_correcting": (dies_correcting, 2),
    "no_room_to_replace": (no_room_to_replace, 3),
}
"""What happens where all was well, and how often."""
