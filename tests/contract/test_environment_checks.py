"""Every check of the environment fails for one that breaks its promise."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any

import pytest

from atiha_web.backends.base import Unsubscribe
from atiha_web.backends.memory import MemoryEnvironment, MemoryOrigin
from atiha_web.testing.contracts import ENVIRONMENT_CHECKS
from tests.contract.sabotage import named, passing, unbroken

pytestmark = pytest.mark.usefixtures("short_patience")


class AlwaysOnline(MemoryEnvironment):
    def online(self) -> bool:
        return True


class Unheard(MemoryEnvironment):
    def signal(self, name: str) -> None:
        pass


class Clinging(MemoryEnvironment):
    def subscribe(self, listener: Callable[[str], None]) -> Unsubscribe:
        super().subscribe(listener)
        return lambda: None


class OpenToAll(MemoryEnvironment):
    @asynccontextmanager
    async def lock(self, *_: object) -> AsyncIterator[bool]:
        yield True


class NeverHad(MemoryEnvironment):
    @asynccontextmanager
    async def lock(self, *_: object) -> AsyncIterator[bool]:
        yield False


class OneForAll(MemoryEnvironment):
    def lock(self, _: str, timeout: float) -> Any:
        return super().lock("", timeout)


class Impatient(MemoryEnvironment):
    def lock(self, name: str, _: float) -> Any:
        return super().lock(name, 0)


class Endless(MemoryEnvironment):
    @asynccontextmanager
    async def lock(self, name: str, _: float) -> AsyncIterator[bool]:
        async with super().lock(name, 1000) as held:
            yield held


class KeptAfterErrors(MemoryEnvironment):
    @asynccontextmanager
    async def lock(self, name: str, timeout: float) -> AsyncIterator[bool]:  # noqa: ASYNC109
        self.kept = super().lock(name, timeout)
        yield await self.kept.__aenter__()
        await self.kept.__aexit__(None, None, None)


class Haunted(MemoryEnvironment):
    @asynccontextmanager
    async def lock(self, name: str, timeout: float) -> AsyncIterator[bool]:  # noqa: ASYNC109
        lock = super().lock(name, timeout)
        entering = asyncio.ensure_future(lock.__aenter__())
        held = await asyncio.shield(entering)
        try:
            yield held
        finally:
            await lock.__aexit__(None, None, None)


class BrokenWorld:
    def __init__(self, kind: type[MemoryEnvironment]) -> None:
        self._origin = MemoryOrigin()
        self._kind = kind

    async def open(self) -> MemoryEnvironment:
        return self._kind(self._origin)

    async def happen(self, environment: MemoryEnvironment, signal: str) -> None:
        if signal in ("online", "offline"):
            environment.set_online(signal == "online")
        else:
            environment.signal(signal)


ENVIRONMENTS = {
    AlwaysOnline: "online_follows_the_connection",
    Unheard: "every_signal_is_heard",
    Clinging: "no_signal_is_heard_after_unsubscribing",
    OpenToAll: "a_lock_has_one_holder_among_documents a_lock_has_one_holder_within_a_document "
    "the_block_runs_without_the_lock_after_the_timeout",
    NeverHad: "a_lock_is_given_back_at_the_end_of_the_block",
    OneForAll: "locks_of_different_names_do_not_meet",
    Impatient: "a_waiter_gets_the_lock_once_it_is_free",
    Endless: "without_patience_only_a_free_lock_is_had",
    KeptAfterErrors: "a_lock_is_given_back_after_an_error",
    Haunted: "a_cancelled_waiter_leaves_the_lock_to_others",
}


@pytest.mark.parametrize("kind", ENVIRONMENTS, ids=attrgetter("__name__"))
async def test_broken_environment_fails(kind: type[MemoryEnvironment]) -> None:
    checks = named(ENVIRONMENT_CHECKS, ENVIRONMENTS[kind])
    assert await passing(checks, lambda: BrokenWorld(kind)) == []


def test_every_check_is_failed_by_somebody() -> None:
    assert unbroken(ENVIRONMENT_CHECKS, ENVIRONMENTS) == set()
