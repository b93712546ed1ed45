"""What happens to who speaks REST to a server that is none of ours, and to nobody else."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from atiha_web.errors import AtihaError
from atiha_web.sync.operation import Call
from atiha_web.testing import fake_server
from atiha_web.testing.fake_server import Fault
from tests.simulation.browser import Device, Page
from tests.simulation.faults import NETWORK
from tests.simulation.foreign import REDIRECTED, WORDLESS
from tests.simulation.pages import Action, open_page, signed_page, two_pages
from tests.simulation.violations import require
from tests.simulation.world import World
from tests.simulation.writing import Content, accepted, state, write_record

UNDECLARED = "/api/things/of/everybody"
"""An endpoint that no collection is declared for."""


def something(page: Page, name: str, key: str) -> Content:
    """Something to write that nobody wrote before."""
    assert page.synchronizer is not None
    value = f"{page.synchronizer.user_id}/{page.name}/{page.device.world.number()}"
    data: dict[str, Any] = {"title": value}
    if name == "ratings":
        data = {"rating": 4, "review": value}
    elif name == "settings":
        data = {"color": value, "preferences": {f"p{page.device.world.number() % 3}": value}}
    return name, key, data, value


async def several(world: World, page: Page, name: str, dice: Random) -> None:
    """Two or three writes to one path, one after the other."""
    for number in range(dice.randint(2, 3)):
        if page.can_act():
            await state(world, page, something(page, name, f"k{number}"), dice)


async def writes_meet_trouble(world: World, device: Device, dice: Random) -> None:
    """Several writes wait, and it is them that the next trouble hits; maybe the page hides."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None:
        return
    if dice.random() < 0.5:
        page.sync()
        await asyncio.sleep(2)
    kinds = dice.choice([["request lost"] * 3, ["server busy"], list(ANSWERS)])
    for _ in range(dice.randint(1, 3)):
        name = dice.choice(kinds)
        fault = ANSWERS[name] if name in ANSWERS else NETWORK[name](dice)
        device.write_faults.append(fault)
    if kinds == ["request lost"] * 3:
        device.write_faults.extend([fake_server.lost_request()] * 2)
    name = dice.choice(["ratings", "settings", "favorites"])
    await several(world, page, name, dice)
    if page.usable and dice.random() < 0.5:
        page.signal("hidden")
        await asyncio.sleep(0.05)
    page.sync()
    await asyncio.sleep(dice.choice([1, 8]))
    device.write_faults.clear()


async def one_path_fails(world: World, device: Device, dice: Random) -> None:
    """What is wrong with one path holds up no other, and hides nothing that waits."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None:
        return
    device.failing = "/settings"
    calm = device.reachable and device.online and not (device.faults or page.waits)
    calm = calm and asyncio.get_running_loop().time() >= world.network.down_until
    for name in ("settings", "favorites"):
        if page.can_act():
            await state(world, page, something(page, name, f"{device.name}-own"), dice)
    if world.foreign is not None and page.can_act():
        world.foreign.others_set(page.client.user_id or world.users[0], f"{device.name}-own")
    page.sync()
    await asyncio.sleep(8)
    device.failing = ""
    calm = calm and device.reachable and len(device.pages) == 1 and page.can_act()
    if not calm or page.client.status.state != "backoff":
        return
    for promise in page.written:
        if promise.operation.collection == "favorites" and not promise.excused:
            name = promise.operation.id
            # What was refused before waits for nobody but a person.
            refused = any(name == each.operation.id for each in page.client.quarantined)
            arrived = name in world.watch.ever_taken or refused
            require(arrived, 6, "%s waits for another path", promise.operation)


async def written_while_read(world: World, device: Device, dice: Random) -> None:
    """One page reads a list slowly, and meanwhile another one has a write acknowledged there."""
    pages = await two_pages(world, device, dice)
    if pages is None:
        return
    page, other = pages
    if page.client.user_id is None or not page.usable:
        return
    await asyncio.sleep(3)
    device.faults.clear()
    device.faults.appendleft(("reply slow", fake_server.slow(after=4)))
    page.sync()
    await asyncio.sleep(0.5)
    if other.can_act() and other.client.user_id is not None:
        await state(world, other, something(other, "watch_history", f"of-{other.name}"), dice)
        other.sync()
    await asyncio.sleep(6)


async def dies_as_it_is_told(world: World, device: Device, dice: Random) -> None:
    """A page dies as a write is acknowledged, and the next one has no network."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None:
        return
    await write_record(world, page, "ratings", f"{device.name}-own", dice)
    page.storage.counts_all, page.storage.calls_left = False, dice.randint(0, 4)
    page.sync()
    await asyncio.sleep(1)
    await world.reap()
    page.storage.calls_left = None
    reachable, device.reachable = device.reachable, False
    await open_page(world, device)
    device.reachable = reachable


async def clock_set_back(world: World, device: Device, dice: Random) -> None:
    """Between two writes that wait a clock is set back; they arrive in their order."""
    page = await signed_page(world, device, dice)
    if page is None:
        return
    reachable, device.reachable = device.reachable, False
    for number in range(2):
        if page.can_act():
            await state(world, page, something(page, "ratings", f"k{number}"), dice)
        device.set_clock(device.skew - 40_000)
    device.reachable = reachable


async def update(world: World, device: Device, dice: Random) -> None:
    """Some fields are stated of what is there, in the seed's words, or of what nobody declared."""
    page = await signed_page(world, device, dice)
    if page is None or page.synchronizer is None or page.client.user_id is None:
        return
    user_id, value = page.client.user_id, f"{page.client.user_id}/{page.name}/{world.number()}"
    if dice.random() < 0.5:
        work = page.synchronizer.write("ratings", "k1", {"rating": 2, "review": value}, "update")
    else:
        kind = dice.choice(["create", "update", "delete"])
        call = Call(kind, UNDECLARED)  # type: ignore[arg-type]  # one of the three
        work = page.synchronizer.queue(call, {"id": f"t{dice.randint(0, 2)}", "word": value})
    try:
        done = await page.finish(work)
    except AtihaError as error:
        world.note("%s: %s was refused: %s", page.name, value, error)
        return
    if done is not None:
        await accepted(world, page, done, user_id, dice)


ANSWERS: dict[str, Fault] = {
    "elsewhere": REDIRECTED,
    "wordless": WORDLESS,
    "401": fake_server.answer(401, ours=False),
    "408": fake_server.answer(408, ours=False),
    "409": fake_server.answer(409, ours=False),
    "429": fake_server.answer(429, ours=False),
    "429, wait": fake_server.answer(429, ours=False, headers={"retry-after": "40"}),
    "500": fake_server.answer(500, ours=False),
    "503 after": fake_server.answer(503, ours=False, acted=True),
    "portal": fake_server.captive_portal(),
}
"""What a write may be answered with."""

REPLAYS: dict[str, tuple[Action, float]] = {
    "writes_meet_trouble": (writes_meet_trouble, 3),
    "one_path_fails": (one_path_fails, 1),
    "written_while_read": (written_while_read, 2),
    "dies_as_it_is_told": (dies_as_it_is_told, 2),
    "clock_set_back": (clock_set_back, 4),
    "update": (update, 2),
}
"""What happens where the server is none of ours, and how often."""
