"""What goes wrong: everything the network, the server, browsers and clocks may do to people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from atiha_web.errors import StorageFullError, StorageUnavailableError
from atiha_web.server.push import delete_record, put_record
from atiha_web.sync.operation import RecordKey
from atiha_web.testing import fake_server
from atiha_web.testing.fake_server import Fault
from tests.simulation.browser import Device
from tests.simulation.pages import Action, open_page, page_of
from tests.simulation.server import Deleted, Put, Renewed
from tests.simulation.storage import Database, Disk
from tests.simulation.violations import require
from tests.simulation.world import World

HOUR = 3600.0
NOBODY = "0" * 12

NETWORK: dict[str, Callable[[Random], Fault]] = {
    "request lost": lambda _: fake_server.lost_request(),
    "reply lost": lambda _: fake_server.lost_reply(),
    "request silent": lambda _: fake_server.silence(),
    "reply silent": lambda _: fake_server.silence(acted=True),
    "request slow": lambda dice: fake_server.slow(before=dice.uniform(0, 12)),
    "reply slow": lambda dice: fake_server.slow(after=dice.uniform(0, 12)),
    "request hours late": lambda dice: fake_server.slow(before=dice.uniform(60, 5 * HOUR)),
    "request doubled": lambda _: fake_server.twice(),
    "captive portal": lambda _: fake_server.captive_portal(),
    "proxy says 404": lambda _: fake_server.answer(404, ours=False),
    "proxy says 413": lambda _: fake_server.answer(413, ours=False),
    "proxy says 502": lambda dice: fake_server.answer(502, ours=False, acted=dice.random() < 0.5),
    "proxy says other": lambda dice: fake_server.answer(
        dice.choice([400, 401, 403, 408, 429, 500, 503]), ours=False
    ),
    "server says 413": lambda _: fake_server.answer(413),
    "server says other": lambda dice: fake_server.answer(dice.choice([403, 404, 408, 425, 500])),
    "server busy": lambda dice: fake_server.answer(
        dice.choice([429, 503]), headers={"retry-after": str(dice.randint(0, 2000))}
    ),
    "server fails after": lambda _: fake_server.answer(500, acted=True),
}
"""What may happen to a request."""


async def bad_network(world: World, device: Device, dice: Random) -> None:
    """The next requests of a device meet trouble."""
    for _ in range(dice.randint(1, 4)):
        name = dice.choice(list(NETWORK))
        device.faults.append((name, NETWORK[name](dice)))
    world.note("%s: trouble ahead: %s", device.name, [name for name, _ in device.faults])


async def unplug(world: World, device: Device, dice: Random) -> None:
    """The network comes or goes, and the browser says so."""
    online = not device.online or dice.random() < 0.2
    world.note("%s: %s", device.name, "online" if online else "offline")
    device.set_online(online)


async def cut(world: World, device: Device, dice: Random) -> None:
    """The network comes or goes, and the browser does not notice."""
    device.reachable = not device.reachable
    world.note("%s: %s", device.name, "reachable" if device.reachable else "cut off")


# -- pages and browsers --------------------------------------------------------------------


async def doom(world: World, device: Device, dice: Random) -> None:
    """A page will die at one of its next calls of storage."""
    page = await page_of(world, device, dice)
    if page is not None:
        page.storage.counts_all = dice.random() < 0.4
        page.storage.calls_left = dice.randint(0, 40 if page.storage.counts_all else 5)
        kind = "calls" if page.storage.counts_all else "changes of journal, base or quarantine"
        world.note("%s dies in %s %s", page.name, page.storage.calls_left, kind)
        if dice.random() < 0.5 and page.synchronizer is not None:
            page.sync()


async def doom_opening(world: World, device: Device, dice: Random) -> None:
    """A page dies while it opens."""
    calls = dice.randint(0, 25)
    world.note("%s: a page opens, and dies within %s calls", device.name, calls)
    await open_page(world, device, calls_left=calls)


async def kill_page(world: World, device: Device, dice: Random) -> None:
    """A page dies."""
    if device.pages:
        page = dice.choice(device.pages)
        world.note("%s is killed", page.name)
        await page.kill()


async def kill_browser(world: World, device: Device, dice: Random) -> None:
    """The browser is killed: localStorage is as it was some seconds ago, the database as it is."""
    seconds = dice.choice([0.0, 0.1, 1.0, 5.0, 30.0, 90.0])
    world.note("%s: the browser is killed, %s s are lost", device.name, seconds)
    await device.kill_browser(seconds)
    world.ledger.browser_killed(device, seconds)


async def freeze(world: World, device: Device, dice: Random) -> None:
    """A page stops at whatever it does, holding what it holds."""
    if page := await page_of(world, device, dice):
        world.note("%s is frozen", page.name)
        page.process.frozen = True
        if any(lock.locked() for lock in device.origin.locks.values()):
            world.count("frozen, a lock held")


async def thaw(world: World, device: Device, dice: Random) -> None:
    """A frozen page goes on."""
    frozen = [page for page in device.pages if page.process.frozen]
    if frozen:
        page = dice.choice(frozen)
        world.note("%s is thawed", page.name)
        page.process.thaw()


async def night(world: World, device: Device, dice: Random) -> None:
    """Every page is frozen for hours."""
    pages = list(world.pages)
    world.note("a night begins")
    for page in pages:
        page.process.frozen = True
    await asyncio.sleep(dice.uniform(1, 9) * HOUR)
    for page in pages:
        page.process.thaw()
    world.note("a night ends")


async def clear(world: World, device: Device, dice: Random) -> None:
    """A person clears the site's data, mostly while a page that knows it is open."""
    # What is of a session whose data was discarded stores nothing again, until it is opened anew.
    witnessed = {
        page.synchronizer.user_id
        for page in device.pages
        if page.usable and page.storage.calls_left is None and page.synchronizer is not None
        if page.synchronizer is not page.discarded
    } & {device.stored_user}
    device.blurred = True
    device.cleared_asleep |= any(page.process.frozen for page in device.pages)
    world.ledger.storage_cleared(device, witnessed)
    world.note("%s: storage is cleared", device.name)
    device.disk.clear()
    if witnessed:
        await asyncio.sleep(0.5)
    else:
        device.wants_start = True
        for page in device.pages:
            page.written.clear()


async def lose_device(world: World, device: Device, dice: Random) -> None:
    """The device falls into the sea; its owner gets a new one."""
    world.note("%s is lost", device.name)
    for page in list(device.pages):
        await page.kill()
    device.disk, device.cookie, device.blurred = Disk(), None, True
    device.database = Database(seconds=device.database.seconds)
    world.ledger.device_lost(device)


async def tighten(world: World, device: Device, dice: Random) -> None:
    """There is little room left in localStorage."""
    device.blurred = device.was_full = True
    device.disk.quota = device.disk.used + dice.choice([0, 50, 400, 3000])
    world.note("%s: room for %s units", device.name, device.disk.quota - device.disk.used)


async def loosen(world: World, device: Device, dice: Random) -> None:
    """There is room again."""
    device.disk.quota = None


# -- the database --------------------------------------------------------------------------


async def database_slow(world: World, device: Device, dice: Random) -> None:
    """Transactions take longer, maybe longer than anybody waits."""
    device.database_failed = True
    device.database.seconds = dice.choice([0.002, 0.5, 4.0, 12.0])


async def database_blocked(world: World, device: Device, dice: Random) -> None:
    """Pages opened from now on wait for it in vain, or do not."""
    device.database_failed = True
    device.database.opening = dice.choice([0.0, 0.0, 1.0, HOUR])


async def database_absent(world: World, device: Device, dice: Random) -> None:
    """Pages opened from now on have none, or have one."""
    device.database_failed = True
    device.database.absent = not device.database.absent


async def database_fails(world: World, device: Device, dice: Random) -> None:
    """The next transactions are aborted."""
    device.database_failed = True
    full = dice.random() < 0.5
    for _ in range(dice.randint(1, 3)):
        error = StorageFullError("full") if full else StorageUnavailableError("aborted")
        device.database.failures.append(error)


async def database_gone(world: World, device: Device, dice: Random) -> None:
    """The browser takes it away from the pages that have it."""
    device.database_failed = True
    for page in device.pages:
        page.lose_database()


# -- the server ----------------------------------------------------------------------------


async def restart_server(world: World, device: Device, dice: Random) -> None:
    """It is restarted; what it had not done by then is not done."""
    world.note("the server restarts")
    world.network.restart_server(dice.choice([0.0, 2.0, 45.0]))


async def back_up(world: World, device: Device, dice: Random) -> None:
    """A backup is made."""
    accounts = {name: account.copy() for name, account in world.watch.accounts.items()}
    world.backup = world.server.backup(), accounts
    world.note("a backup is made")


async def restore(world: World, device: Device, dice: Random) -> None:
    """The last backup is put back, and clients are told by new epochs."""
    if world.backup is not None:
        world.note("the backup is restored")
        _put_back(world, silently=False)


async def restore_silently(world: World, device: Device, dice: Random) -> None:
    """The last backup is put back and nobody is told; by the next sync others have written."""
    if world.backup is None:
        return
    world.note("the backup is restored, and nobody is told")
    before = {name: world.server.rows.now(name)[0] for name in world.users}
    _put_back(world, silently=True)
    world.muddy = True
    if world.foreign is not None:
        return
    world.watch.muddled.update(world.users)
    # With numbers given a second time to other rows no digest could tell: hence the epochs.
    for name, state in before.items():
        while (counter := world.server.rows.now(name)[0].counter) <= state.counter:
            await others_put(world, name, f"after-{world.number()}")
            grown = world.server.rows.now(name)[0].counter > counter
            require(grown, 4, "%s was written to, and its counter stays at %s", name, counter)


def _put_back(world: World, *, silently: bool) -> None:
    assert world.backup is not None
    backup, accounts = world.backup
    before, answered = world.taken_ids, world.network.answered_ids
    # The answer reached those too, though they have not seen it yet, or are in the midst of it.
    frozen = [page for page in world.pages if page.process.frozen]
    answered |= {name for page in frozen for name in page.carrying | page.acknowledged}
    world.was_restored = True
    world.server.put_back(backup, silently=silently)
    world.watch.accounts.clear()
    world.watch.accounts.update({name: account.copy() for name, account in accounts.items()})
    world.ledger.restored(before, world.taken_ids, answered)


async def renew_epochs(world: World, device: Device, dice: Random) -> None:
    """The server was restored, with nothing missing."""
    world.note("the server's epochs change")
    world.was_restored = True
    await world.server.rows.renew_epochs()
    world.server.calls.append(Renewed())


async def expire_tokens(world: World, device: Device, dice: Random) -> None:
    """Every session ends."""
    world.note("all sessions expire")
    world.server.revoke_tokens()


async def others_write(world: World, device: Device, dice: Random) -> None:
    """Somebody uses the REST routes: the server writes under its own name."""
    name, key = dice.choice(world.users), f"k{dice.randint(0, 2)}"
    if world.foreign is not None:
        review = None if dice.random() < 0.3 else f"{name}/rest/{world.number()}"
        world.note("somebody rates %s of %s: %s", key, name, review)
        world.foreign.others_write(name, key, review)
    elif dice.random() < 0.3:
        world.note("ratings/%s of %s is deleted over REST", key, name)
        server, now_ms = world.server, world.now_ms()
        await delete_record(server.rows, server.collections["ratings"], name, key, NOBODY, now_ms)
        server.calls.append(Deleted(name, key, NOBODY, now_ms, server.number))
        left = server.rows.now(name)[1].get(RecordKey("ratings", key))
        require(left is None or left.data is None, 4, "%s was deleted and is there", left)
        world.watch.wrote(name)
    else:
        await others_put(world, name, key)


async def others_put(world: World, name: str, key: str) -> None:
    """One row stated over REST."""
    if world.foreign is not None:
        world.foreign.others_write(name, key, f"{name}/rest/{world.number()}")
        return
    server, now_ms = world.server, world.now_ms()
    data = {"contentId": key, "rating": 3, "review": f"{name}/rest/{world.number()}"}
    row = await put_record(server.rows, server.collections["ratings"], name, data, NOBODY, now_ms)
    server.calls.append(Put(name, data, NOBODY, now_ms, server.number, row))
    stands = row.data is not None and row.data["review"] == data["review"]
    require(stands, 4, "%s was stated, and %s stands", data, row)
    world.note("%s", row)
    world.watch.wrote(name)


async def release_server(world: World, device: Device, dice: Random) -> None:
    """The server goes from one release to the other."""
    world.server.release(3 - world.server.number)
    world.note("release %s of the server", world.server.number)


async def release_pages(world: World, device: Device, dice: Random) -> None:
    """Pages opened from now on are of the latest release."""
    device.release = 2


async def jump_clock(world: World, device: Device, dice: Random) -> None:
    """A device's clock jumps, up to a day, either way."""
    device.set_clock(
        dice.choice([0, 3_000, -40_000, 90_000, 7_200_000, -7_200_000, 86_400_000, -86_400_000])
    )
    world.note("%s: the clock is %+d ms off", device.name, device.skew)


FAULTS: dict[str, tuple[Action, float]] = {
    "bad_network": (bad_network, 14),
    "unplug": (unplug, 4),
    "cut": (cut, 3),
    "doom": (doom, 9),
    "doom_opening": (doom_opening, 2),
    "kill_page": (kill_page, 4),
    "kill_browser": (kill_browser, 4),
    "freeze": (freeze, 3),
    "thaw": (thaw, 3),
    "night": (night, 0.5),
    "clear": (clear, 1),
    "lose_device": (lose_device, 0.4),
    "tighten": (tighten, 1.5),
    "loosen": (loosen, 1),
    "database_slow": (database_slow, 1),
    "database_blocked": (database_blocked, 1),
    "database_absent": (database_absent, 0.7),
    "database_fails": (database_fails, 1),
    "database_gone": (database_gone, 0.7),
    "restart_server": (restart_server, 2),
    "back_up": (back_up, 2),
    "restore": (restore, 2),
    "restore_silently": (restore_silently, 0.7),
    "renew_epochs": (renew_epochs, 1),
    "expire_tokens": (expire_tokens, 1.5),
    "others_write": (others_write, 3),
    "release_server": (release_server, 1.5),
    "release_pages": (release_pages, 1),
    "jump_clock": (jump_clock, 8),
}
"""What may go wrong, and how often."""
