"""What people do: write, look, sign in and out, open and close pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from atiha_web.errors import AtihaError, PendingOperationsError, StorageError
from atiha_web.sync.engine import Write
from atiha_web.sync.names import GUEST, Names
from atiha_web.sync.operation import RecordKey
from tests.simulation.browser import Device, Page
from tests.simulation.collections import BAD
from tests.simulation.oracle import check_opened
from tests.simulation.promises import Unsure, covers, follow
from tests.simulation.promptness import HELD, check_signed_out
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


async def sign_in(world: World, page: Page, user_id: str) -> bool:
    """Sign in; tells whether it worked."""
    email = f"{user_id}@example.org"
    try:
        done = await page.finish(page.client.users.login(email=email, password=PASSWORD))
    except AtihaError as error:
        world.note("%s: cannot sign in as %s: %s", page.name, user_id, error)
        return False
    world.note("%s: signed in as %s", page.name, user_id)
    if page.device.blurred:
        # It opened what storage holds, which may lack what the server has.
        page.written.clear()
    return done is not None


# -- writing -------------------------------------------------------------------------------


async def write(world: World, device: Device, dice: Random) -> None:
    """State or delete something; accepted means it must never be lost."""
    page = await signed_page(world, device, dice)
    if page is not None:
        await write_on(world, page, dice)


async def write_on(world: World, page: Page, dice: Random) -> None:
    """One write on this page."""
    assert page.synchronizer is not None
    await state(world, page, content(world, page, page.synchronizer.user_id, dice), dice)


async def write_record(world: World, page: Page, name: str, key: str, dice: Random) -> None:
    """Write one record; one of the key ``…refused…`` is what the server refuses."""
    assert page.synchronizer is not None
    value = f"{page.synchronizer.user_id}/{page.name}/{world.number()}"
    if name == "ratings":
        await state(world, page, (name, key, {"rating": 5, "review": value}, value), dice)
    else:
        bad = {"text": dice.choice(sorted(BAD))}
        await state(world, page, (name, key, bad, value), dice)


Content = tuple[str, str, dict[str, Any] | None, str]
"""A collection, a key, data (``None`` to delete), and a value that nobody wrote before."""


async def state(world: World, page: Page, what: Content, dice: Random) -> None:
    """State something on a page."""
    synchronizer = page.synchronizer
    assert synchronizer is not None
    user_id, device = synchronizer.user_id, page.device
    collection, key, data, value = what
    try:
        done = await page.finish(synchronizer.write(collection, key, data))
    except StorageError as error:
        world.note("%s: no room for %s/%s = %s: %s", page.name, collection, key, value, error)
        world.count("no room for a write")
        world.ledger.refused.add(value)
        return
    except AtihaError as error:
        world.note("%s: %s/%s was refused: %s", page.name, collection, key, error)
        return
    if done is None:
        world.note("%s: died writing %s/%s = %s", page.name, collection, key, value)
        world.ledger.unsure.append(Unsure(device, user_id, RecordKey(collection, key), data))
        device.died_writing = True
        return
    await accepted(world, page, done, user_id, dice)
    shown = key in synchronizer.engine.view(collection) and done.record is not None
    require(shown == (data is not None), 5, "%s does not show %s", page.name, done.operation)
    # Two pages write in the same millisecond only if a person has four hands.
    await asyncio.sleep(0.005 if device.spec.latency is None else 0.05)


async def accepted(world: World, page: Page, done: Write, user_id: str, dice: Random) -> None:
    """A write returned: from now on it is promised."""
    promise = world.ledger.accept(page, done, user_id)
    if promise is None:
        return
    world.promises_by_id[promise.operation.id].append(promise)
    world.note("%s: %s wrote %s", page.name, user_id, promise.operation)
    page.device.guests_wrote |= user_id == GUEST
    check_time(world, page, promise.operation.timestamp)
    if dice.random() < 0.5:
        page.run(follow(page, promise, done))


def check_time(world: World, page: Page, timestamp: str) -> None:
    """Who knows the server's time stamps writes with it, to within what a slow reply hides."""
    if page.synchronizer is not None and page.knows_time == (page.synchronizer, page.device.skew):
        behind = world.now_ms() - int(timestamp[:12], 16)
        require(behind < 12_000, 5, "%s knows the time, and is %s ms behind", page.name, behind)


OFTEN = ["ratings", *2 * ["watch_history"], *2 * ["settings"], "profile", "notes", "favorites"]
OFTEN += ["memos", "notes"]
"""What people write, some of it more often."""


def content(world: World, page: Page, user_id: str, dice: Random) -> Content:
    """Something to write."""
    name = dice.choice(OFTEN)
    if dice.random() < 0.05:
        name = "drafts"
    device = page.device.name
    key = f"{device}-own" if dice.random() < 0.4 else f"k{dice.randint(0, 2)}"
    author = f"guest-{device}" if user_id == GUEST else user_id
    value = f"{author}/{page.name}/{world.number()}"
    if dice.random() < 0.18 and name not in ("settings", "profile"):
        return name, key, None, value
    match name:
        case "ratings":
            data: dict[str, Any] = {"rating": dice.randint(1, 5), "review": value}
        case "watch_history":
            progress = dice.choice([0.0, 10.0, 90.0])
            data = {"title": value, "progress": progress, "completed": progress > 50}
        case "favorites":
            data = {"title": value}
        case "settings":
            data = chosen({"color": value, "size": dice.randint(0, 9)}, value, dice)
        case "profile":
            key = user_id
            data = chosen({"displayName": value, "maturityLimit": dice.randint(0, 21)}, value, dice)
        case "memos":
            data = {"body" if page.release > 1 else "text": value}
        case "notes" if dice.random() < 0.2:
            data = {"text": dice.choice(sorted(BAD))}
        case _:
            data = {"text": value[:20]}
    return name, key, data, value


def chosen(fields: dict[str, Any], value: str, dice: Random) -> dict[str, Any]:
    """One or two of the fields."""
    fields = {**fields, "preferences": {dice.choice("ab"): value}}
    return {name: fields[name] for name in dice.sample(sorted(fields), dice.randint(1, 2))}


async def burst(world: World, device: Device, dice: Random) -> None:
    """Several writes, one after another."""
    for _ in range(dice.randint(2, 6)):
        await write(world, device, dice)


async def write_as_guest(world: World, device: Device, dice: Random) -> None:
    """On a device that keeps guests' data: sign out first, then write."""
    page = await page_of(world, device, dice)
    if page is None or not page.usable or not device.spec.guest:
        return
    if page.client.user_id is not None:
        await log_out(world, page, "keep")
    if page.can_act():
        await write_on(world, page, dice)


# -- pages ---------------------------------------------------------------------------------


async def sync(world: World, device: Device, dice: Random) -> None:
    """Somebody asks for a sync."""
    page = await signed_page(world, device, dice)
    if page is not None and page.synchronizer is not None:
        world.note("%s: asked to sync", page.name)
        page.run(page.synchronizer.sync())


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
        left = due - page.flushed
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
    if not calm or page.knows_time is None or page.knows_time[0] is not synchronizer:
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


# -- who is signed in ----------------------------------------------------------------------


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
    on_device = journal_of(device, user_id)
    try:
        done = await page.finish(as_done(page.client.users.logout(pending=pending)))
    except PendingOperationsError:
        world.note("%s: cannot sign out %s: some is not sent", page.name, user_id)
        return
    except AtihaError as error:
        world.note("%s: cannot sign out %s: %s", page.name, user_id, error)
        return
    world.note("%s: %s signs out: %s, %s", page.name, user_id, pending, "done" if done else "died")
    if done:
        check_signed_out(device, user_id, pending)
    if pending == "discard":
        # What the server has of it is pulled again at the next sign-in.
        device.blurred = True
        for other in device.pages:
            other.written.clear()
        # Pages that do not hear of it yet may still write: what they hold is theirs to give up.
        left = on_device | journal_of(device, user_id)
        sound = bool(done) and (page.mirrored is None or not page.mirrored.problems())
        world.ledger.given_up(left, device, for_good=sound)
        gone = [each for each in world.ledger.of(device) if each.operation.id in left]
        for promise in world.ledger.of(device):
            unsent = promise.user_id == user_id and not promise.settled
            if unsent or any(covers(each, promise) for each in gone):
                promise.excused = promise.excused or "it was discarded"


async def as_done(work: Awaitable[None]) -> bool:
    """``True`` once it is done."""
    await work
    return True


def journal_of(device: Device, user_id: str) -> set[str]:
    """The operations that a device's storage holds of a user, refused ones too."""
    names = Names(user_id)
    return {
        key.removeprefix(prefix)
        for key in device.disk.items
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


# -- quarantine ----------------------------------------------------------------------------


async def retry_refused(world: World, device: Device, dice: Random) -> None:
    """Somebody corrects what the server refused."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None or not page.client.quarantined:
        return
    refused = page.client.quarantined[0].operation
    user_id = page.client.user_id
    text = f"{user_id}/{world.number()}"
    try:
        done = await page.finish(page.client.retry_quarantined(refused.id, {"text": text}))
    except AtihaError:
        return
    world.note("%s: corrected %s", page.name, refused)
    if done is None:
        world.ledger.unsure.append(Unsure(device, user_id, refused.record, {"text": text}))
    else:
        world.ledger.given_up({refused.id}, device, for_good=False)
        await accepted(world, page, done, user_id, dice)


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


async def read_by_rest(world: World, device: Device, dice: Random) -> None:
    """Somebody loads a list the way the seed's app does."""
    page = await signed_page(world, device, dice)
    if page is not None and page.client.user_id is not None:
        from atiha_web import SyncConfig

        user = page.client.user_id
        config = SyncConfig(cache_key=f"ratings_{user}", api_endpoint=f"/api/users/{user}/ratings")
        page.run(_quietly(page.client.service.load(config)))


async def _quietly(work: Awaitable[Any]) -> None:
    try:
        json.dumps(await work)
    except AtihaError:
        return


PEOPLE: dict[str, tuple[Action, float]] = {
    "write": (write, 40),
    "burst": (burst, 5),
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
