"""The contract of the environment on every adapter that runs without a browser."""

from operator import attrgetter

import pytest

from atiha_web.backends.base import Environment
from atiha_web.backends.memory import MemoryEnvironment, MemoryOrigin
from atiha_web.testing.contracts import ENVIRONMENT_CHECKS, Check


class MemoryWorld:
    """Documents of one origin in memory."""

    def __init__(self) -> None:
        self._origin = MemoryOrigin()

    async def open(self) -> Environment:
        return MemoryEnvironment(self._origin)

    async def happen(self, environment: Environment, signal: str) -> None:
        assert isinstance(environment, MemoryEnvironment)
        if signal in ("online", "offline"):
            environment.set_online(signal == "online")
        else:
            environment.signal(signal)


@pytest.mark.parametrize("check", ENVIRONMENT_CHECKS, ids=attrgetter("__name__"))
async def test_memory(check: Check[MemoryWorld]) -> None:
    await check(MemoryWorld())
