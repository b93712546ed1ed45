"""Locks among processes."""

import asyncio
from pathlib import Path

import pytest

from atiha_web.backends.file import FileEnvironment
from tests.unit.backends.programs import Program

HOLD = """
from atiha_web.backends.file import FileEnvironment

async def main(folder):
    async with FileEnvironment(folder).lock("shared", 5) as held:
        say(held)
        await forever()
"""


async def test_a_lock_is_held_against_another_process_until_it_is_killed(folder: Path) -> None:
    environment = FileEnvironment(folder)
    with Program(HOLD, folder) as program:
        assert program.hear() is True
        async with environment.lock("shared", 0.05) as held:
            assert not held
        program.kill()
    async with environment.lock("shared", 5) as held:
        assert held


async def test_waiting_does_not_stop_the_loop(folder: Path) -> None:
    ours, other = FileEnvironment(folder), FileEnvironment(folder)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    async with ours.lock("shared", 1):
        counting = asyncio.create_task(count())
        async with other.lock("shared", 0.2) as held:
            assert not held
        counting.cancel()
    assert turns > 3


async def test_a_folder_without_locks_costs_only_the_lock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    async with FileEnvironment(tmp_path / "file").lock("shared", 0.05) as held:
        assert not held
    assert "going on without a lock" in caplog.text
