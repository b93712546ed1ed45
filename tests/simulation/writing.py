"""What people write, and what is promised to them for it."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from atiha_web.errors import AtihaError, ClosedError, InvalidDataError, StorageError
from atiha_web.sync.engine import Write
from atiha_web.sync.names import GUEST
from atiha_web.sync.operation import RecordKey
from atiha_web.sync.synchronizer import Synchronizer
from tests.simulation.browser import Device, Page
from tests.simulation.collections import BAD
from tests.simulation.leaving import log_out
from tests.simulation.pages import page_of, signed_page
from tests.simulation.promises import Unsure, follow
from tests.simulation.violations import require
from tests.simulation.world import World


async def write(world: World, device: Device, dice: Random) -> None:
    """State or delete something; accepted means it must never be lost."""
    page = await signed_page(world, device, dice)
    if page is not None:
        await write_on(world, page, dice)


async def write_on(world: World, page: Page, dice: Random) -> None:
    """One write on this page, if anybody is there by now."""
    if page.synchronizer is None:
        return
    await state(world, page, content(world, page, page.synchronizer.user_id, dice), dice)


async def write_record(
    world: World, page: Page, name: str, key: str, dice: Random, *, follows: bool = False
) -> None:
    """Write one record, if anybody is there by now; all but ratings the server refuses."""
    if page.synchronizer is None:
        return
    value = f"{page.synchronizer.user_id}/{page.name}/{world.number()}"
    if name == "ratings":
        data: dict[str, Any] = {"rating": 5, "review": value}
    else:
        data = {"text": dice.choice(sorted(BAD))}
    await state(world, page, (name, key, data, value), dice, follows=follows)


Content = tuple[str, str, dict[str, Any] | None, str]
"""A collection, a key, data (``None`` to delete), and a value that nobody wrote before."""


async def state(
    world: World, page: Page, what: Content, dice: Random, *, follows: bool = False
) -> None:
    """State something on a page; ``follows``: somebody surely waits for each level."""
    synchronizer = page.synchronizer
    assert synchronizer is not None
    user_id, device = synchronizer.user_id, page.device
    collection, key, data, value = what
    place = page.name, user_id, collection, key
    device.stated[place] += 1
    number = device.stated[place]
    try:
        done = await page.finish(synchronizer.write(collection, key, data))
    except StorageError as error:
        world.note("%s: no room for %s/%s = %s: %s", page.name, collection, key, value, error)
        world.count("no room for a write")
        world.ledger.refused.add(value)
        check_untouched(page, synchronizer, value)
        return
    except AtihaError as error:
        world.note("%s: %s/%s was refused: %s", page.name, collection, key, error)
        return
    if done is None:
        world.note("%s: died writing %s/%s = %s", page.name, collection, key, value)
        world.ledger.unsure.append(Unsure(device, user_id, RecordKey(collection, key), data))
        device.died_writing = True
        return
    await accepted(world, page, done, user_id, dice, follows=follows)
    shown = key in synchronizer.engine.view(collection) and done.record is not None
    # Who goes on writing may have stated it anew before this returned.
    is_last = device.stated[place] == number
    holds = shown == (data is not None) or not is_last
    require(holds, 5, "%s does not show %s", page.name, done.operation)
    # Two pages write in the same millisecond only if a person has four hands.
    await asyncio.sleep(0.005 if device.spec.latency is None else 0.05)


async def accepted(
    world: World,
    page: Page,
    done: Write,
    user_id: str,
    dice: Random,
    begun_ms: int | None = None,
    *,
    follows: bool = False,
) -> None:
    """A write returned, that began just now or at ``begun_ms``: from now on it is promised.

    ``follows``: see ``state``.
    """
    promise = world.ledger.accept(page, done, user_id)
    if promise is None:
        return
    world.promises_by_id[promise.operation.id].append(promise)
    world.note("%s: %s wrote %s", page.name, user_id, promise.operation)
    page.device.guests_wrote |= user_id == GUEST
    made_ms = world.now_ms() if begun_ms is None else begun_ms
    check_time(page, promise.operation.timestamp, made_ms)
    if dice.random() < 0.5 or follows:
        page.run(follow(page, promise, done))


def check_untouched(page: Page, synchronizer: Synchronizer, value: str) -> None:
    """Nothing is left of a write that found no room."""
    memory = synchronizer.engine.local.memory
    held = [each.id for each in memory.pending.values() if value in str(each.data)]
    require(not held, 10, "%s raised, and %s keeps it as %s", value, page.name, held)


def check_time(page: Page, timestamp: str, made_ms: int) -> None:
    """Who knows the server's time stamps writes with it, to within what a slow reply hides."""
    if page.is_right:
        # What took until the database answered may have been stamped before it knew.
        knew = page.knew_time_ms <= made_ms
        behind = made_ms - int(timestamp[:12], 16)
        require(
            not knew or behind < 12_000,
            5,
            "%s knows the time, and is %s ms behind",
            page.name,
            behind,
        )


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


def nested(levels: int) -> dict[str, Any]:
    """An object in an object in an object."""
    return {} if levels == 0 else {"a": nested(levels - 1)}


BAD_INPUT: list[tuple[str, str, dict[Any, Any] | None]] = [
    ("ratings", "k0", {"rating": 0}),
    ("ratings", "k0", {"rating": 6}),
    ("ratings", "k0", {"rating": 3.5}),
    ("ratings", "k0", {"rating": 4, "review": "nul \x00"}),
    ("ratings", "k0", {"rating": 4, "review": "half \ud800"}),
    ("ratings", "", {"rating": 4}),
    ("ratings", "k" * 257, {"rating": 4}),
    ("ratings", "k\x00", None),
    ("settings", "k0", {"preferences": {"a": float("nan")}}),
    ("settings", "k0", {"preferences": {"a": [1, {"b": float("inf")}]}}),
    ("settings", "k0", {}),
    ("settings", "k0", {"preferences": 5}),
    ("settings", "k0", {"preferences.a": 5}),
    ("settings", "k0", {"preferences": {"a": "half \udc00"}}),
    ("settings", "k0", {"preferences": nested(40)}),
    ("settings", "k0", {"preferences": {"a": "x" * 33_000}}),
    ("settings", "k0", {"preferences": {"a\x00": 1}}),
    ("settings", "k0", {"preferences": {"a": object()}}),
    ("profile", "somebody", {"displayName": "not mine"}),
    ("nothing", "k0", {"text": "nobody declared it"}),
]
"""What no client takes, by collection, key and data."""


async def write_badly(world: World, device: Device, dice: Random) -> None:
    """Somebody states what cannot be: they are told so, and nothing changes."""
    page = await signed_page(world, device, dice)
    if page is None or page.synchronizer is None:
        return
    synchronizer = page.synchronizer
    collection, key, data = dice.choice(BAD_INPUT)
    before = set(synchronizer.engine.local.memory.pending)
    try:
        done = await page.finish(synchronizer.write(collection, key, data))
    except InvalidDataError as error:
        world.note("%s: %s/%s was refused: %s", page.name, collection, key[:9], error)
    except AtihaError as error:
        require(isinstance(error, ClosedError), 10, "%r for what cannot be: %s", error, data)
    else:
        require(done is None, 10, "%s took %s/%s = %s", page.name, collection, key, data)
    new = set(synchronizer.engine.local.memory.pending) - before
    mine = {name for name in new if name.startswith(synchronizer.engine.local.clock.writer)}
    require(not mine, 10, "%s refused %s, and keeps it", page.name, data)
