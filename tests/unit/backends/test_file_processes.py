"""Several processes in one folder, some of them killed."""

import asyncio
from pathlib import Path

import pytest

from atiha_web.backends.file import FileStorage
from atiha_web.backends.file.reader import list_segments
from tests.unit.backends.conftest import OpenStorage
from tests.unit.backends.programs import Program, some_moments

WRITE_ON = """
from atiha_web.backends.file import FileStorage

async def main(folder, name):
    storage = await FileStorage.open(folder)
    n = 0
    while True:
        await storage.write({f"{name}-{n}": "x" * (n % 5000), f"{name}-{n - 3}": None})
        say(n)
        n += 1
"""

WRITE_AND_STAY = """
from atiha_web.backends.file import FileStorage

async def main(folder, name):
    storage = await FileStorage.open(folder)
    await storage.write({name: "x"})
    say(name)
    await forever()
"""

WRITE_SOME = """
from atiha_web.backends.file import FileStorage

async def main(folder, name, count):
    storage = await FileStorage.open(folder)
    for n in range(int(count)):
        await storage.write({f"{name}-{n:03}": str(n), "shared": f"{name}-{n}"})
    storage.close()
"""

READ_SHARED = """
from atiha_web.backends.file import FileStorage

async def main(folder):
    storage = await FileStorage.open(folder)
    say(await storage.read(["shared"]))
"""

FORK = """
import os
from atiha_web.backends.file import FileStorage

async def main(folder):
    storage = await FileStorage.open(folder)
    await storage.write({"parent": "1"})
    child = os.fork()
    if not child:
        asyncio.run(storage.write({"child": "2"}))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    await storage.write({"parent": "3"})
    say(status)
    await forever()
"""


@pytest.mark.parametrize("writes", some_moments(4, 300))
def test_every_write_that_returned_survives_sigkill(folder: Path, writes: int) -> None:
    with Program(WRITE_ON, folder, "w") as program:
        for _ in range(writes + 1):
            last = program.hear()
        program.kill()
        last = max([last, *program.hear_all()])

    async def found() -> dict[str, str | None]:
        storage = await FileStorage.open(folder)
        keys = await storage.keys("")
        storage.close()
        return dict(zip(keys, await storage.read(keys), strict=True))

    values = asyncio.run(found())
    expected = {f"w-{n}": "x" * (n % 5000) for n in range(max(0, last - 2), last + 1)}
    # The write under way when it died may be there, wholly or up to one of its two changes.
    values.pop(f"w-{last + 1}", None)
    gone = f"w-{last - 2}"
    assert values == expected or values == {k: v for k, v in expected.items() if k != gone}


async def test_processes_that_write_at_once_lose_nothing(
    folder: Path, open_storage: OpenStorage
) -> None:
    watching = await open_storage()
    mirror: dict[str | None, str | None] = {}
    watching.subscribe(lambda change: mirror.update({change.key: change.value}))
    programs = [Program(WRITE_SOME, folder, name, "60") for name in "abc"]
    await asyncio.gather(*(asyncio.to_thread(program.hear_all) for program in programs))
    for program in programs:
        with program:
            pass
    keys = await watching.keys("")
    assert keys == sorted([f"{name}-{n:03}" for name in "abc" for n in range(60)] + ["shared"])
    assert mirror == dict(zip(keys, await watching.read(keys), strict=True))
    with Program(READ_SHARED, folder) as later:
        assert later.hear() == await watching.read(["shared"])


async def test_segments_of_a_living_process_are_not_merged_and_of_a_killed_one_are(
    folder: Path,
) -> None:
    programs = [Program(WRITE_AND_STAY, folder, name) for name in "abcd"]
    for program in programs:
        program.hear()
    living = set(list_segments(folder))
    (await FileStorage.open(folder)).close()
    assert living <= set(list_segments(folder))
    for program in programs:
        with program:
            program.kill()
    (await FileStorage.open(folder)).close()
    assert not living & set(list_segments(folder))


async def test_a_forked_child_writes_to_a_segment_of_its_own(
    folder: Path, open_storage: OpenStorage
) -> None:
    with Program(FORK, folder) as program:
        assert program.hear() == 0
        assert len(list_segments(folder)) == 2
        storage = await open_storage()
        assert await storage.read(["parent", "child"]) == ["3", "2"]
