"""What the fixtures for users' own tests promise; and the printed examples, run by pytest."""

import importlib
import inspect
import os
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import atiha_web.testing
from atiha_web import Client, ClosedError, Collection, Record
from atiha_web.sync import hlc
from atiha_web.testing import (
    FakeDevice,
    FakeServer,
    ManualClock,
    NewDevice,
    OpenClient,
    lost_request,
)
from tests.unit.sync.samples import turns

pytest_plugins = ["atiha_web.testing.plugin"]

ROOT = Path(atiha_web.__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("### Your own tests\n")[2].partition("\n### ")[0]
DOCSTRING = inspect.getdoc(atiha_web.testing) or ""
EXAMPLES = {
    "README": re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL),
    "docstring": [
        inspect.cleandoc(block) for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", DOCSTRING)
    ],
}


class Note(Record):
    note_id: str
    text: str


NOTES = Collection("notes", Note, key="note_id")


@pytest.fixture
def atiha_collections() -> list[Collection]:
    return [NOTES]


@pytest.fixture
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with the files of an example."""
    for block in EXAMPLES[request.param]:
        [name] = re.findall(r"\A# (\w+\.py)\n", block)
        (tmp_path / name).write_text(block, encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Pytest in a folder where nothing is known but this package and pytest-asyncio."""
    known = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "pytest_asyncio.plugin",
        "-W",
        "error",
        *arguments,
    ]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **known},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("written", EXAMPLES, indirect=True)
def test_the_printed_example_passes(written: Path) -> None:
    found = run(written)
    assert "3 passed in" in found.stdout, found.stdout + found.stderr
    assert found.returncode == 0


@pytest.mark.parametrize("written", ["README"], indirect=True)
def test_the_printed_example_would_notice_a_loss(written: Path) -> None:
    example = written / "test_ratings.py"
    text = example.read_text("utf-8")
    example.write_text(text.replace("await here.sync()\n    await there", "await there"), "utf-8")
    found = run(written)
    assert "1 failed, 2 passed in" in found.stdout, found.stdout + found.stderr


def test_the_example_is_the_same_in_both_places() -> None:
    stripped = {name: [block.strip() for block in found] for name, found in EXAMPLES.items()}
    assert stripped["README"] == stripped["docstring"]


def test_every_fixture_is_in_the_readme_and_the_other_way_round(tmp_path: Path) -> None:
    listed = run(tmp_path, "-p", "atiha_web.testing.plugin", "--fixtures", "-q").stdout
    fixtures = set(re.findall(r"^(atiha_\w+)", listed, re.MULTILINE))
    assert fixtures == set(re.findall(r"`(?:await )?(atiha_(?!web)\w+)", SECTION))


def test_no_run_has_the_plugin_unasked(tmp_path: Path) -> None:
    assert "atiha_" not in run(tmp_path, "--fixtures", "-q").stdout


def test_the_names_need_no_test_framework() -> None:
    code = "import sys, atiha_web.testing; sys.exit('pytest' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_public_names_are_sorted_and_there() -> None:
    def in_ruffs_order(name: str) -> tuple[bool, bool, str]:
        return (not name.isupper(), not name[0].isupper(), name)

    module = importlib.import_module("atiha_web.testing")
    assert module.__all__ == sorted(set(module.__all__), key=in_ruffs_order)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_the_clock_stands_still_until_told(atiha_clock: ManualClock) -> None:
    before = atiha_clock()
    assert atiha_clock() == before
    atiha_clock.advance(1.5)
    assert atiha_clock() == before + 1500


async def test_devices_and_server_go_by_the_clock(
    atiha_clock: ManualClock, atiha_server: FakeServer, atiha_client: Client
) -> None:
    atiha_clock.advance(3600)
    await atiha_client.profiles.add_favorite("ann", "m1")
    assert (await atiha_client.sync()).ok
    [operation] = atiha_server.exchanges[-1].request.operations
    assert hlc.milliseconds(operation["timestamp"]) == atiha_clock.now_ms
    assert atiha_server.now_ms() == atiha_clock.now_ms


async def test_own_collections_are_known_on_both_ends(
    atiha_server: FakeServer, atiha_client: Client
) -> None:
    await atiha_client.put("notes", "first", {"text": "Hello"})
    await atiha_client.sync()
    assert [row["text"] for row in await atiha_server.rows_of("ann", "notes")] == ["Hello"]


async def test_a_scripted_fault_meets_one_request(
    atiha_server: FakeServer, atiha_client: Client
) -> None:
    atiha_server.fail_next(lost_request())
    report = await atiha_client.sync()
    assert (report.ok, report.requests, len(atiha_server.exchanges)) == (True, 2, 1)


async def test_each_device_has_storage_of_its_own(
    atiha_device: NewDevice, atiha_connect: OpenClient
) -> None:
    here, there = await atiha_connect(atiha_device()), await atiha_connect(atiha_device())
    await here.profiles.add_favorite("ann", "m1")
    await there.sync()
    assert (len(here["favorites"]), len(there["favorites"])) == (1, 0)


def test_what_is_random_differs_between_devices_and_not_between_runs(
    atiha_device: NewDevice,
) -> None:
    drawn = [atiha_device().backend().random_hex(12) for _ in range(2)]
    assert drawn == [f"{random.Random(seed).getrandbits(48):012x}" for seed in (1, 2)]


async def test_a_device_cut_off_sends_nothing_until_it_is_back(
    atiha_server: FakeServer, atiha_client: Client, atiha_phone: FakeDevice
) -> None:
    atiha_phone.set_online(online=False)
    await atiha_client.profiles.add_favorite("ann", "m1")
    assert not (await atiha_client.sync()).ok
    assert await atiha_server.rows_of("ann", "favorites") == []
    atiha_phone.set_online(online=True)
    assert (await atiha_client.sync()).ok
    assert len(await atiha_server.rows_of("ann", "favorites")) == 1


async def test_an_app_started_again_finds_what_was_not_sent(
    atiha_connect: OpenClient, atiha_phone: FakeDevice
) -> None:
    client = await atiha_connect(atiha_phone)
    await client.profiles.add_favorite("ann", "m1")
    await client.close()
    assert (await atiha_connect(atiha_phone)).status.pending == 1


async def test_nothing_is_sent_before_the_test_says_so(
    atiha_server: FakeServer, atiha_client: Client
) -> None:
    await atiha_client.profiles.add_favorite("ann", "m1")
    await turns()
    assert atiha_server.requests == []


async def test_a_client_syncs_by_itself_where_the_test_wants_that(
    atiha_server: FakeServer, atiha_connect: OpenClient, atiha_phone: FakeDevice
) -> None:
    client = await atiha_connect(atiha_phone, user_id="bob", background=True)
    write = await client.profiles.add_favorite("bob", "m1")
    await write.saved("server")
    assert len(await atiha_server.rows_of("bob", "favorites")) == 1


@pytest.fixture
async def closed_afterwards() -> AsyncIterator[list[Client]]:
    """Clients that must be closed once the fixtures asked for after this one are done."""
    clients: list[Client] = []
    yield clients
    for client in clients:
        with pytest.raises(ClosedError):
            await client.sync()


async def test_clients_are_closed_after_the_test(
    closed_afterwards: list[Client], atiha_connect: OpenClient, atiha_phone: FakeDevice
) -> None:
    closed_afterwards += [await atiha_connect(atiha_phone), await atiha_connect(atiha_phone)]
    assert len(closed_afterwards) == 2
