"""The contract of ``Environment``."""

from __future__ import annotations

import asyncio
from typing import Protocol

from atiha_web.backends.base import SIGNALS, Environment
from atiha_web.testing.contracts.expect import PATIENCE, Checks, Heard, equal, raises

SHORT = 0.05
"""Seconds to wait for a lock that is not to be had."""


class World(Protocol):
    """What surrounds the documents that share locks: no lock is held when a check gets it."""

    async def open(self) -> Environment:
        """The environment of one more document."""
        ...

    async def happen(self, environment: Environment, signal: str) -> None:
        """Make the document that has ``environment`` go online or offline, visible or hidden."""
        ...


ENVIRONMENT_CHECKS: Checks[World] = Checks()
"""Checks for every environment."""


@ENVIRONMENT_CHECKS.add
async def online_follows_the_connection(world: World) -> None:
    environment = await world.open()
    for signal, online in (("offline", False), ("online", True), ("offline", False)):
        await world.happen(environment, signal)
        equal(environment.online(), online, f"the hint after {signal}")


@ENVIRONMENT_CHECKS.add
async def every_signal_is_heard(world: World) -> None:
    environment = await world.open()
    heard = Heard(environment.subscribe)
    for signal in ("offline", "online", "hidden", "visible"):
        await world.happen(environment, signal)
        equal(await heard.take(1), [signal], "the signal heard")
    equal(sorted(SIGNALS), ["hidden", "offline", "online", "visible"], "all signals there are")


@ENVIRONMENT_CHECKS.add
async def no_signal_is_heard_after_unsubscribing(world: World) -> None:
    environment = await world.open()
    gone, stays = Heard(environment.subscribe), Heard(environment.subscribe)
    gone.unsubscribe()
    gone.unsubscribe()
    await world.happen(environment, "offline")
    equal(await stays.take(1), ["offline"], "the signal for who stayed")
    gone.nothing_more("after unsubscribing")


@ENVIRONMENT_CHECKS.add
async def a_lock_has_one_holder_among_documents(world: World) -> None:
    documents = [await world.open() for _ in range(3)]
    inside: list[int] = []

    async def enter(name: int, environment: Environment) -> None:
        for _ in range(5):
            async with environment.lock("shared", PATIENCE) as held:
                equal(held, True, "a lock that others give back")
                inside.append(name)
                await asyncio.sleep(0.005)
                equal(inside, [name], "who is inside")
                inside.remove(name)

    await asyncio.gather(*(enter(*document) for document in enumerate(documents)))


@ENVIRONMENT_CHECKS.add
async def a_lock_has_one_holder_within_a_document(world: World) -> None:
    environment = await world.open()
    async with (
        environment.lock("shared", PATIENCE) as first,
        environment.lock("shared", SHORT) as second,
    ):
        equal([first, second], [True, False], "the same lock asked for twice")


@ENVIRONMENT_CHECKS.add
async def locks_of_different_names_do_not_meet(world: World) -> None:
    ours, other = await world.open(), await world.open()
    async with ours.lock("one", SHORT) as first, other.lock("two", PATIENCE) as second:
        equal([first, second], [True, True], "two locks")


@ENVIRONMENT_CHECKS.add
async def the_block_runs_without_the_lock_after_the_timeout(world: World) -> None:
    ours, other = await world.open(), await world.open()
    async with ours.lock("shared", PATIENCE):
        async with other.lock("shared", SHORT) as held:
            equal(held, False, "a lock that another document holds")
        async with other.lock("shared", SHORT) as held:
            equal(held, False, "the lock after a block that ran without it")


@ENVIRONMENT_CHECKS.add
async def a_lock_is_given_back_at_the_end_of_the_block(world: World) -> None:
    ours, other = await world.open(), await world.open()
    for environment in (ours, other, ours):
        async with environment.lock("shared", PATIENCE) as held:
            equal(held, True, "a lock given back before")


@ENVIRONMENT_CHECKS.add
async def a_lock_is_given_back_after_an_error(world: World) -> None:
    ours, other = await world.open(), await world.open()
    async with raises(LookupError, "a block that fails"), ours.lock("shared", PATIENCE):
        raise LookupError
    async with other.lock("shared", PATIENCE) as held:
        equal(held, True, "the lock after a block that failed")


@ENVIRONMENT_CHECKS.add
async def a_waiter_gets_the_lock_once_it_is_free(world: World) -> None:
    ours, other = await world.open(), await world.open()

    async def wait() -> bool:
        async with other.lock("shared", PATIENCE) as held:
            return held

    async with ours.lock("shared", PATIENCE):
        waiter = asyncio.create_task(wait())
        await asyncio.sleep(SHORT)
        equal(waiter.done(), False, "a waiter that is done while the lock is held")
    equal(await waiter, True, "the lock for who waited")


@ENVIRONMENT_CHECKS.add
async def a_cancelled_waiter_leaves_the_lock_to_others(world: World) -> None:
    ours, other = await world.open(), await world.open()

    async def wait() -> None:
        async with other.lock("shared", PATIENCE):
            raise AssertionError("the cancelled waiter got the lock")

    async with ours.lock("shared", PATIENCE):
        waiter = asyncio.create_task(wait())
        await asyncio.sleep(SHORT)
        waiter.cancel()
        await asyncio.wait([waiter])
        equal(waiter.cancelled(), True, "whether the waiter was cancelled")
    async with ours.lock("shared", PATIENCE) as held:
        equal(held, True, "the lock after a waiter was cancelled")


@ENVIRONMENT_CHECKS.add
async def without_patience_only_a_free_lock_is_had(world: World) -> None:
    ours, other = await world.open(), await world.open()
    async with ours.lock("shared", 0) as first, other.lock("shared", 0) as second:
        equal([first, second], [True, False], "a free lock and a held one, asked for at once")
