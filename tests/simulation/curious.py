"""People who use every word there is, say what cannot be, or speak to the server by hand."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from atiha_web import SyncConfig, connect
from atiha_web.backends.base import Request, Response
from atiha_web.errors import AtihaError, InvalidDataError, NetworkError, ProblemError, StorageError
from atiha_web.server.push import synchronise
from atiha_web.sync import hlc
from atiha_web.sync.outcomes import HEADER
from atiha_web.sync.protocol import PROTOCOL, SyncRequest
from atiha_web.sync.protocols import Protocol
from atiha_web.testing import fake_server
from atiha_web.testing.fake_server import Fault
from tests.simulation.browser import Device, Page
from tests.simulation.oracle import view_of
from tests.simulation.pages import Action, signed_page
from tests.simulation.violations import require
from tests.simulation.world import World
from tests.simulation.writing import accepted, nested

# -- the words of the domain ---------------------------------------------------------------


async def use_profiles(world: World, device: Device, dice: Random) -> None:
    """Somebody uses the words of the domain; what is so already is not done again."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None:
        return
    user_id, profiles = page.client.user_id, page.client.profiles
    value, key = f"{user_id}/{page.name}/{world.number()}", f"k{dice.randint(0, 2)}"
    loved = ("favorites", key) in view_of(page)
    work: Any = dice.choice(
        [
            lambda: profiles.add_to_watch_history(user_id, key, "movie", value, duration=9.0),
            lambda: profiles.add_favorite(user_id, key, "movie", value),
            lambda: profiles.remove_favorite(user_id, key),
            lambda: profiles.update_user_profile(user_id, display_name=value, language=None),
        ]
    )
    try:
        done = await page.finish(work())
        if done is not None:
            await accepted(world, page, done, user_id, dice)
            again = done.operation is None and done.record is not None
            require(loved or not again, 5, "%s does not love %s, and need not", page.name, key)
        if page.can_act() and page.client.user_id == user_id:
            await check_read(page, user_id)
    except AtihaError as error:
        world.note("%s: %s is refused: %s", page.name, value, error)


async def check_read(page: Page, user_id: str) -> None:
    """What the words of the domain read is what is shown."""
    profiles = page.client.profiles
    found = await page.finish(profiles.get_user_profile(user_id))
    if found is None or not page.can_act() or page.client.user_id != user_id:
        return
    shown = {key for name, key in view_of(page) if name == "favorites"}
    told = {each.content_id for each in found.favorites}
    require(told == shown, 5, "%s reads %s, and shows %s", page.name, told, shown)
    newest = await page.finish(profiles.get_watch_history(user_id, limit=1))
    require(newest is None or len(newest) <= 1, 5, "%s reads %s", page.name, newest)


# -- what cannot be ------------------------------------------------------------------------


async def speak_badly(world: World, device: Device, dice: Random) -> None:
    """Somebody's app asks for what cannot be: it is told so, and nothing changes."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None or page.synchronizer is None:
        return
    user_id, service = page.client.user_id, page.client.service
    own = f"/api/users/{user_id}/ratings"
    config = SyncConfig(cache_key=f"{user_id}-word", api_endpoint=own, syncInterval=5_000)
    view = SyncConfig(cache_key=f"ratings_{user_id}", api_endpoint=own)
    other = service.create_operation("create", "/api/users/somebody/ratings", {"contentId": "k"})
    nowhere = service.create_operation("create", f"{own}/of/nobody", {"rating": 7})
    account = service.create_operation("delete", f"/api/users/{user_id}", {})
    bad = service.create_operation("create", own, {"contentId": "k0", "rating": 9})
    word = f"never kept by {page.name}"
    words: list[Callable[[], Awaitable[Any]]] = [
        lambda: _made(lambda: SyncConfig(cache_key="", api_endpoint=own)),
        lambda: _made(lambda: SyncConfig(cache_key="x", api_endpoint="//elsewhere/api")),
        lambda: _made(lambda: SyncConfig(cache_key="x", api_endpoint="/api/../x")),
        lambda: _made(lambda: SyncConfig(cache_key="x", api_endpoint=own, syncInterval=True)),
        lambda: _made(lambda: service.create_operation("rename", own, {})),  # type: ignore[arg-type]  # not one
        lambda: _made(lambda: service.create_operation("create", own, 5)),  # type: ignore[arg-type]  # no object
        lambda: service.add_to_queue(other),
        lambda: service.add_to_queue(bad),
        lambda: service.save(config, {"a": object()}),
        lambda: service.save(config, {"a": word}, bad),
        lambda: service.save(view, [], bad),
        lambda: _made(lambda: Protocol("soap")),  # type: ignore[arg-type]  # no protocol
        lambda: _made(lambda: Protocol("rest", "POST")),  # type: ignore[arg-type]  # no update
        lambda: connect("ftp://server"),
        lambda: connect(interval=0),
        *([] if world.plan.rest else [lambda: service.add_to_queue(nowhere)]),
        *([lambda: service.add_to_queue(account)] if world.plan.rest else []),
    ]
    pending = set(page.synchronizer.engine.local.memory.pending)
    try:
        found = await page.finish(_done(dice.choice(words)))
    except (InvalidDataError, AtihaError) as error:
        world.note("%s is told: %s", page.name, error)
        known = isinstance(error, InvalidDataError | StorageError) or "user" in str(error)
        require(known or not page.usable, 10, "%s is told %r", page.name, error)
    else:
        require(found is None, 10, "%s gets %s for what cannot be", page.name, found)
    # Who dies over it was told nothing.
    kept = word in str(device.disk.items)
    require(not kept or page.process.dead, 10, "%s keeps what it refused", page.name)
    if page.can_act() and page.client.user_id == user_id:
        writer = page.synchronizer.engine.local.clock.writer
        new = set(page.synchronizer.engine.local.memory.pending) - pending
        mine = {name for name in new if name.startswith(writer)}
        require(not mine, 10, "%s keeps %s, which it refused", page.name, mine)
        await page.finish(service.save(view, []))


async def _made(make: Callable[[], object]) -> object:
    return make()


async def _done(word: Callable[[], Awaitable[Any]]) -> Any:
    return await word()


# -- by hand -------------------------------------------------------------------------------


async def forge(world: World, device: Device, dice: Random) -> None:
    """Somebody speaks to the server by hand: each bad operation is refused, and changes nothing."""
    if world.foreign is not None:
        return
    user_id, server = dice.choice(world.users), world.server
    before = server.rows.now(user_id)
    timestamp = hlc.tick(world.now_ms(), "f" * 12)
    good: dict[str, Any] = {
        "id": f"{'f' * 12}-1",
        "collection": "ratings",
        "key": "k0",
        "type": "put",
    }
    good |= {"timestamp": timestamp, "data": {"rating": 3}}
    raws = [each if not isinstance(each, dict) else {**good, **each} for each in FORGED]
    request = SyncRequest(protocol=PROTOCOL, epoch=None, cursor=0, operations=raws)
    reply = await synchronise(server.rows, server.collections, user_id, request, world.now_ms())
    told = [result.status for result in reply.results]
    require(told == ["rejected"] * len(raws), 10, "what cannot be was answered with %s", told)
    require(server.rows.now(user_id) == before, 10, "what was refused changed %s", user_id)


FORGED: list[Any] = [
    7,
    {"id": "nonsense"},
    {"type": "delete"},
    {"data": None},
    {"key": ""},
    {"key": "half \ud800"},
    {"timestamp": "late"},
    {"collection": "nothing"},
    {"collection": "profile", "key": "somebody", "data": {"displayName": "not mine"}},
    {"collection": "settings", "data": {}},
    {"collection": "settings", "data": {"preferences": 5}},
    {"collection": "settings", "data": {"preferences.a": 1}},
    {"collection": "memos", "data": {"body": "x"}, "schema": 99},
    {"data": {"rating": 9}},
    {"data": {"rating": 3, "review": "nul \x00"}},
    {"data": {"rating": 3, "more": "x" * 40_000}},
    {"data": {"rating": 3, "more": nested(40)}},
    {"data": {"rating": 3, "more": [float("nan")]}},
    {"data": {"rating": 3, "createdAt": "yesterday"}},
]
"""What a good operation becomes, that the server must refuse."""


async def write_by_hand(world: World, device: Device, dice: Random) -> None:
    """Somebody's own program writes, and orders what it says in its own way."""
    page = await signed_page(world, device, dice)
    if page is None or page.client.user_id is None or world.foreign is not None:
        return
    user_id, number = page.client.user_id, world.number()
    data = {
        "tags": [1, {"a": False}],
        "contentType": "movie",
        "completed": dice.random() < 0.5,
        "progress": dice.choice([1, 2.5]),
        "title": f"{user_id}/by-hand/{number}",
    }
    writer = f"{number:012x}"
    operation: dict[str, Any] = {"id": f"{writer}-1", "collection": "watch_history"}
    operation |= {"key": "k0", "type": "put"}
    operation |= {"timestamp": hlc.tick(world.now_ms(), writer), "data": data}
    asked = {"protocol": PROTOCOL, "cursor": 0, "operations": [operation]}
    headers = {"authorization": f"Bearer {device.cookie}"}
    body = json.dumps(asked).encode()
    await world.server.answer(Request("POST", f"/api/users/{user_id}/sync", headers, body))


# -- odd answers ---------------------------------------------------------------------------


def _odd(status: int, body: bytes, **more: str) -> Fault:
    known = {"content-type": "application/problem+json", HEADER: str(PROTOCOL)}
    headers = known | {name.replace("_", "-"): value for name, value in more.items()}
    return Fault(acts=0, reply=Response(status, headers, body))


ODD: list[Fault] = [
    _odd(403, b"{half"),
    _odd(403, b"[]"),
    _odd(503, b"{}", retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
    _odd(429, b"{}", retry_after="Wed, 21 Oct 2015 07:28:00"),
    _odd(503, b"{}", retry_after="soon"),
    fake_server.answer(425),
    fake_server.answer(413, ours=False),
    _odd(200, b"{}"),
]


async def odd_answers(world: World, device: Device, dice: Random) -> None:
    """The next answers are of a kind that few servers give."""
    page = await signed_page(world, device, dice)
    for _ in range(dice.randint(1, 2)):
        device.faults.append(("odd answer", dice.choice(ODD)))
    if page is None or page.client.user_id is None:
        return
    try:
        if dice.random() < 0.5:
            page.sync()
        else:
            await page.finish(page.as_wished(page.client.service.process_sync_queue()))
    except (NetworkError, ProblemError) as error:
        world.note("%s: %s", page.name, error)


CURIOUS: dict[str, tuple[Action, float]] = {
    "use_profiles": (use_profiles, 3),
    "speak_badly": (speak_badly, 4),
    "forge": (forge, 2.5),
    "write_by_hand": (write_by_hand, 4),
    "odd_answers": (odd_answers, 2.5),
}
"""What curious people do, and how often."""
