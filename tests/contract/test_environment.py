"""The contract of the environment on every adapter that runs without a browser."""

from operator import attrgetter
from pathlib import Path

import pytest

from atiha_web.backends.base import Environment
from atiha_web.backends.file import FileEnvironment
from atiha_web.backends.memory import MemoryEnvironment, MemoryOrigin
from atiha_web.testing.contracts import ENVIRONMENT_CHECKS, Check


class ToldWorld:
    """Documents that are told what happens around them."""

    async def happen(self, environment: Environment, signal: str) -> None:
        assert isinstance(environment, MemoryEnvironment)
        if signal in ("online", "offline"):
            environment.set_online(signal == "online")
        else:
            environment.signal(signal)


class MemoryWorld(ToldWorld):
    """Documents of one origin in memory."""

    def __init__(self) -> None:
        self._origin = MemoryOrigin()

    async def open(self) -> Environment:
        return MemoryEnvironment(self._origin)


class FileWorld(ToldWorld):
    """Engines that share a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def open(self) -> Environment:
        return FileEnvironment(self._folder)


@pytest.mark.parametrize("check", ENVIRONMENT_CHECKS, ids=attrgetter("__name__"))
async def test_memory(check: Check[MemoryWorld]) -> None:
    await check(MemoryWorld())


@pytest.mark.parametrize("check", ENVIRONMENT_CHECKS, ids=attrgetter("__name__"))
async def test_file(check: Check[FileWorld], tmp_path: Path) -> None:
    await check(FileWorld(tmp_path / "data"))
