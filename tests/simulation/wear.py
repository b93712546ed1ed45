"""What becomes of a device in the long run: damage, an earlier app's leftovers, curious people."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

from atiha_web import SyncConfig
from atiha_web.errors import AtihaError
from atiha_web.sync.names import GUEST, QUEUE_KEY, Names
from atiha_web.sync.operation import OperationType, RecordKey, dump_json
from tests.simulation.browser import Device, Page
from tests.simulation.collections import CLIENT
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
    items.append(dice.choice(_NONSENSE))
    device.disk.damage(QUEUE_KEY, json.dumps(items))
    if dice.random() < 0.25:
        device.was_full = device.blurred = True
        device.disk.quota = device.disk.used + dice.choice([0, 60, 300, 900])
    if dice.random() < 0.5:
        name = Names(dice.choice(world.users)).view("favorites")
        rows = [{"contentId": "listed", "title": "earlier", "updatedAt": 5}, None, {"title": "x"}]
        if name not in device.disk.items:
            device.disk.damage(name, json.dumps({"favorites": rows}))
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
    """Somebody's app speaks the seed's own words."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None:
        return
    user_id, service = page.client.user_id, page.client.service
    endpoint = f"/api/users/{user_id}/ratings"
    ratings = SyncConfig(cache_key=f"ratings_{user_id}", api_endpoint=endpoint)
    other = SyncConfig(cache_key=f"{user_id}-mine", api_endpoint=endpoint, sync_interval=20)
    value = f"{user_id}/{page.name}/{world.number()}"
    kind: OperationType = dice.choice(KINDS)
    data = {"contentId": f"k{dice.randint(0, 2)}", "rating": 1, "review": value}
    operation = service.create_operation(kind, endpoint, data)
    try:
        match dice.randint(0, 4):
            case 0:
                done = await page.finish(service.add_to_queue(operation))
            case 1:
                done = await page.finish(service.save(ratings, [data], operation))
            case 2:
                done = await page.finish(service.save(other, {"of": value}, operation))
            case 3:
                service.start_periodic_sync(other)
                await asyncio.sleep(dice.choice([1, 50]))
                if page.usable:
                    service.stop_periodic_sync(other)
                return
            case _:
                await check_loaded(page, ratings, other)
                return
    except AtihaError as error:
        world.note("%s: the service refuses %s: %s", page.name, value, error)
        return
    if done is not None:
        await accepted(world, page, done, user_id, dice)


async def check_loaded(page: Page, ratings: SyncConfig, other: SyncConfig) -> None:
    """What is loaded is what is shown, or what some server said."""
    user_id = page.client.user_id
    rows = await page.finish(page.client.service.load(ratings))
    if rows is not None and page.can_act() and page.client.user_id == user_id:
        told = {row["contentId"] for row in rows}
        shown = {key for name, key in view_of(page) if name == "ratings"}
        require(told == shown, 5, "%s loads %s and shows %s", page.name, told, shown)
    found = await page.finish(page.client.service.load(other))
    require(found is None or isinstance(found, list | dict), 10, "%s loads %s", page.name, found)


WEAR: dict[str, tuple[Action, float]] = {
    "spoil": (spoil, 4),
    "leave_behind": (leave_behind, 2),
    "look_closely": (look_closely, 2.5),
    "use_service": (use_service, 3),
}
"""What may happen in the long run, and how often."""
