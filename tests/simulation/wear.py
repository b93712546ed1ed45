"""What becomes of a device in the long run: damage, an earlier app's leftovers, curious people."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any

from atiha_web import SyncConfig
from atiha_web.errors import AtihaError, NotSignedInError, StorageError
from atiha_web.sync.engine import Write
from atiha_web.sync.names import GUEST, QUEUE_KEY, Names
from atiha_web.sync.operation import OperationType, RecordKey, dump_json
from atiha_web.sync.service import SyncOperation
from tests.simulation.browser import Device, Page
from tests.simulation.collections import CLIENT
from tests.simulation.leaving import log_out
from tests.simulation.oracle import view_of
from tests.simulation.pages import Action, open_page, signed_page
from tests.simulation.violations import require
from tests.simulation.world import World
from tests.simulation.writing import accepted, write

# -- damage --------------------------------------------------------------------------------


async def spoil(world: World, device: Device, dice: Random) -> None:
    """While no page is open something in localStorage is damaged; all else must go on."""
    await write(world, device, dice)
    for page in list(device.pages):
        await page.kill()
    what = dice.choice([*_PLACES, *3 * ["a page of base"]])
    keys = [key for key in sorted(device.disk.items) if re.match(_PLACES[what], key)]
    if keys:
        key = dice.choice(keys)
        before = device.disk.items[key]
        text = dice.choice(_DAMAGES)(before)
        world.note("%s: %s is damaged: %.60s", device.name, key, text)
        device.disk.damage(key, text)
        device.blurred = True
        if "operation" in what:
            device.spoilt[key] = text
            world.ledger.damaged(device, key, before)
    opened = await open_page(world, device)
    if opened is not None and opened.client.user_id is not None:
        check_named(opened)


_PLACES = {
    "an operation": r"atiha:[^:]+:j:",
    "a refused operation": r"atiha:[^:]+:q:",
    "a page of base": r"atiha:[^:]+:b:",
    "a manifest": r"atiha:[^:]+:m$",
    "a view": r"atiha_(ratings|profile|sync_queue)",
    "the times of syncs": r"atiha_last_sync",
    "a time": r"atiha:session-time",
}
"""What may be damaged, and the keys of it."""

_TIME = "0197743000000000aaaaaaaaaaaa"
_DAMAGES: list[Callable[[str], str]] = [
    lambda text: text[: len(text) // 2],
    lambda text: text.replace('"', "'"),
    lambda text: text[:-1] + ",1" + text[-1:],
    lambda _: dump_json(["ratings", "k1", {"rating": 4}, "not a time", 1]),
    lambda _: dump_json(["ratings", "", {"rating": 4}, _TIME, 1]),
    lambda _: dump_json(["ratings", "k1", 5, _TIME, 1]),
    lambda _: dump_json(["ratings", "k1", {"rating": 4}, _TIME, 1, ["rename", "/api", None]]),
    lambda _: dump_json(["ratings", "k1", {"rating": 4}, _TIME, 1, None, [["a-1", {}]]]),
    lambda _: dump_json({"format": 1, "pages": 7, "ratings_user-1": "yesterday"}),
    lambda _: "[]",
    lambda _: "null",
    lambda _: "",
]


def check_named(page: Page) -> None:
    """What cannot be read stays where it is, and people are told."""
    assert page.client.user_id is not None
    names, items = Names(page.client.user_id), page.device.disk.items
    mine = [key for key in page.device.spoilt if key.startswith((names.journal, names.quarantine))]
    left = [key for key in mine if items.get(key) == page.device.spoilt[key]]
    told = page.client.status.problems
    require(told or not left, 6, "%s says nothing of %s", page.name, left)


# -- an earlier app's leftovers ------------------------------------------------------------


async def leave_behind(world: World, device: Device, dice: Random) -> None:
    """The seed's own app was used on the device once more, and left some changes unsent."""
    for page in list(device.pages):
        await page.kill()
    items = json.loads(device.disk.items.get(QUEUE_KEY) or "[]")
    if not isinstance(items, list):
        return
    for _ in range(dice.randint(1, 3)):
        user_id = dice.choice(world.users)
        key, value = f"old-{world.number()}", f"{user_id}/earlier/{world.number()}"
        items.append(_queued(world, user_id, key, value, dice))
        world.leftovers.append((device, user_id, RecordKey("ratings", key), value))
        # It waits for them like anything else that came after they had discarded what there was.
        device.erased.pop(user_id, None)
    items.append(dice.choice(_NONSENSE))
    device.disk.damage(QUEUE_KEY, json.dumps(items))
    if dice.random() < 0.25:
        device.was_full = device.blurred = True
        device.disk.quota = device.disk.used + dice.choice([0, 60, 300, 900])
    if dice.random() < 0.5:
        name = Names(dice.choice(world.users)).view("favorites")
        rows = [{"contentId": "listed", "title": "earlier", "updatedAt": 5}, None, {"title": "x"}]
        if name not in device.disk.items:
            left = dice.choice([{"favorites": rows}, {"favorites": rows}, 5])
            device.disk.damage(name, json.dumps(left))
    world.note("%s: an earlier app leaves %s behind", device.name, items)
    await open_page(world, device)


def _queued(world: World, user_id: str, key: str, value: str, dice: Random) -> dict[str, Any]:
    return {
        "id": f"{world.number()}-seed",
        "type": dice.choice(["create", "create", "update"]) if not world.plan.rest else "create",
        "endpoint": f"/api/users/{user_id}/ratings",
        "data": {"contentId": key, "rating": 2, "review": value},
        "timestamp": world.now_ms() - dice.choice([0, 5_000, 86_400_000]),
        "retries": dice.randint(0, 3),
    }


_NONSENSE: list[object] = [
    7,
    {"type": "create", "endpoint": "/api/nobody", "data": {}},
    {"type": "rename", "endpoint": "/api/users/user-1/ratings"},
    {"data": {"rating": 3}},
    {"type": "create", "endpoint": "//elsewhere/api/users/user-1/ratings", "data": {}},
    {"type": "create", "endpoint": "/api/users/user-1/ratings", "data": {"rating": 9}},
    {"type": "create", "endpoint": "/api/users/user-1/ratings", "data": [1]},
    {"type": "create", "endpoint": "/api/users/user-1/things", "data": {"id": "t1"}},
    {"type": "delete", "endpoint": "/api/users/user-1/ratings?contentId=never", "data": {}},
    {
        "type": "create",
        "endpoint": "/api/users/user-1/ratings",
        "data": {"contentId": 17, "rating": 3},
    },
]


def check_leftovers(world: World) -> None:
    """What an earlier app left unsent arrived, unless somebody or something took it away."""
    text = world.server.text_of_everything()
    for device, _, record, value in world.leftovers:
        signed_in = any(page.client.user_id is not None for page in device.pages)
        unsure = device.blurred or world.was_restored or device.was_full or not signed_in
        # Over REST something on the way may have said that it is wrong: it is kept, then.
        kept = any(
            ":q:" in key and f'"{value}"' in entry for key, entry in device.disk.items.items()
        )
        unsure |= bool(world.plan.rest) and kept
        require(unsure or f"'{value}'" in text, 1, "%s: %s was left and lost", device.name, record)


# -- who looks closely ---------------------------------------------------------------------


async def look_closely(world: World, device: Device, dice: Random) -> None:
    """Somebody exports all they have, and looks at how things stand."""
    page = await signed_page(world, device, dice)
    if page is None or page.synchronizer is None or page.synchronizer.user_id == GUEST:
        return
    memory = page.synchronizer.engine.local.memory
    told = json.loads(json.dumps(page.client.export()))
    pending = [each["id"] for each in told["pending"]]
    require(pending == list(memory.pending), 5, "%s exports %s as pending", page.name, pending)
    refused = [each["id"] for each in told["quarantine"]]
    require(refused == list(memory.quarantine), 5, "%s exports %s", page.name, refused)
    rows = {name: len(told["collections"][name]) for name in CLIENT if name in memory.views}
    shown = {name: len(memory.views[name]) for name in rows}
    require(rows == shown, 5, "%s exports %s rows of %s", page.name, rows, shown)
    report = page.client.inspect()
    require(report["live"] == shown, 5, "%s reports %s", page.name, report["live"])
    secret = f"'{page.synchronizer.user_id}/"
    require(secret not in repr(report), 7, "%s tells in a report what records say", page.name)


# -- the seed's service --------------------------------------------------------------------


KINDS: list[OperationType] = ["create", "update", "delete"]


async def use_service(world: World, device: Device, dice: Random) -> None:
    """Somebody's app speaks the seed's own words, several of them."""
    page = await signed_page(world, device, dice)
    for _ in range(dice.randint(2, 4)):
        # Two writes of one moment would tell nobody which of them is the later one.
        await asyncio.sleep(0.01)
        if page is None or not page.can_act() or page.client.user_id is None:
            return
        user_id = page.client.user_id
        value = f"{user_id}/{page.name}/{world.number()}"
        try:
            done = await dice.choice(WORDS)(page, value, dice)
        except AtihaError as error:
            world.note("%s: the service refuses %s: %s", page.name, value, error)
        else:
            if done is not None:
                await accepted(world, page, done, user_id, dice)


def configs_of(page: Page) -> tuple[SyncConfig, SyncConfig]:
    """That of a declared collection, and one under a key of the app's own."""
    user_id = page.client.user_id
    endpoint = f"/api/users/{user_id}/ratings"
    return (
        SyncConfig(cache_key=f"ratings_{user_id}", api_endpoint=endpoint),
        SyncConfig(cache_key=f"{user_id}-mine", api_endpoint=endpoint, sync_interval=20),
    )


def _operation(page: Page, value: str, dice: Random) -> SyncOperation:
    endpoint = configs_of(page)[0].api_endpoint
    data = {"contentId": f"k{dice.randint(0, 2)}", "rating": 1, "review": value}
    return page.client.service.create_operation(dice.choice(KINDS), endpoint, data)


async def _queues(page: Page, value: str, dice: Random) -> Write | None:
    return await page.finish(page.client.service.add_to_queue(_operation(page, value, dice)))


async def _saves_view(page: Page, value: str, dice: Random) -> Write | None:
    operation = _operation(page, value, dice)
    saving = page.client.service.save(configs_of(page)[0], [operation.data], operation)
    return await page.finish(saving)


async def _saves_own(page: Page, value: str, dice: Random) -> Write | None:
    operation = _operation(page, value, dice) if dice.random() < 0.7 else None
    saving = page.client.service.save(configs_of(page)[1], {"of": value}, operation)
    return await page.finish(saving)


async def _repeats(page: Page, value: str, dice: Random) -> None:
    config = dice.choice(configs_of(page))
    for _ in range(2):
        # The page's own doing: it ends, and stands still, with it.
        page.context.run(page.client.service.start_periodic_sync, config)
    await asyncio.sleep(dice.choice([1, 50]))
    if not page.usable:
        return
    if dice.random() < 0.8:
        page.client.service.stop_periodic_sync(config)
    else:
        await page.leave()


async def _loads(page: Page, value: str, dice: Random) -> None:
    """What is loaded is what is shown, or what some server said, now or earlier."""
    device, user_id = page.device, page.client.user_id
    ratings, other = configs_of(page)
    reachable, device.reachable = device.reachable, device.reachable and dice.random() < 0.7
    try:
        rows = await page.finish(page.client.service.load(ratings))
        if rows is not None and page.can_act() and page.client.user_id == user_id:
            told = {row["contentId"] for row in rows}
            shown = {key for name, key in view_of(page) if name == "ratings"}
            require(told == shown, 5, "%s loads %s and shows %s", page.name, told, shown)
        found = await page.finish(page.client.service.load(other))
    finally:
        device.reachable = reachable
    require(found is None or isinstance(found, list | dict), 10, "%s loads %s", page.name, found)


Word = Callable[[Page, str, Random], Awaitable[Write | None]]
WORDS: list[Word] = [_queues, _saves_view, _saves_own, _repeats, _loads, _loads]
"""What the seed's own words can say."""


async def as_nobody(world: World, device: Device, dice: Random) -> None:
    """Somebody's app goes on after its user has signed out: nothing is taken in."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None:
        return
    ratings, other = configs_of(page)
    service, operation = page.client.service, _operation(page, "nobody's", dice)
    await log_out(world, page, "keep")
    if not page.usable or page.client.user_id is not None or device.spec.guest:
        return
    words: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        lambda: service.add_to_queue(operation),
        lambda: service.save(other, {"of": "nobody"}, operation),
        service.process_sync_queue,
    ]
    for word in words:
        with suppress(NotSignedInError, StorageError):
            told = await page.finish(word())
            in_again = page.client.user_id is not None
            require(told is None or in_again, 7, "%s takes in a word of nobody's", page.name)
    for config in (ratings, other):
        with suppress(AtihaError):
            await page.finish(service.load(config))


WEAR: dict[str, tuple[Action, float]] = {
    "spoil": (spoil, 4),
    "leave_behind": (leave_behind, 2),
    "look_closely": (look_closely, 2.5),
    "use_service": (use_service, 4),
    "as_nobody": (as_nobody, 2.5),
}
"""What may happen in the long run, and how often."""
