"""The notebook of the demo, run as people do: in full, again, in two tabs, with a new kernel."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, expect

from demo.assets.lab import NOTEBOOKS
from tests.browser.demo_server import DemoServer
from tests.browser.devices import Devices
from tests.browser.notebook import Notebook
from tests.browser.printed import on_cpython
from tests.browser.viewer import Viewer

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILMS = 100
RATED_OFFLINE = 3
LISTS = ("watch-history", "ratings", "favorites", "watchlist", "notes")
SAID = (
    "stored here:    The General up to second 1500",
    "safe from a killed browser",
    "safe from a lost device, pending: 0",
    "characters  atiha_session",
    '"contentId": "the-general-1926"',
    "synced: False - the server cannot be reached: unplugged",
    "★★★★   metropolis-1927",
    f"{FILMS} viewings here",
    "pending now: 0, synced: True",
    f"{FILMS} viewings in PostgreSQL, {FILMS} here",
    "each once: True",
    "favorite: The General since",
    "lost: Seen on a small screen.   to: Seen again, in the dark.",
    "tablet now says: 5",
    "and so does this notebook: 5",
    "on another device: Watch Metropolis on a big screen.",
    "in PostgreSQL:     Watch Metropolis on a big screen.",
)
UNPLUG = "\nunplug()\n"
PLUG = "client.sync(progress=True)"
PAINTED = """(canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let painted = 0;
    for (let at = 0; at < data.length; at += 4)
        painted += data[at] > 180 && data[at + 1] < 180 && data[at + 2] < 90 && data[at + 3] > 200;
    return painted / (canvas.width * canvas.height);
}"""
"""How much of a picture is in the orange and red of the data."""


def code_cells() -> list[str]:
    """The code of the notebook, cell by cell."""
    (path,) = NOTEBOOKS.glob("*.ipynb")
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def cell_with(words: str) -> int:
    """The number of the only code cell with these words."""
    (number,) = [number for number, code in enumerate(code_cells()) if words in code]
    return number


class Reader:
    """A device with the notebook open, everything that it asks for, and what the server has."""

    def __init__(self, device: BrowserContext, url: str) -> None:
        self.device = device
        self.url = url
        self.asked: list[str] = []
        device.on("request", lambda request: self.asked.append(request.url))

    async def open(self) -> Notebook:
        return await Notebook.tutorial(self.device, self.url)

    async def user(self) -> str:
        page = self.device.pages[0]
        user: str = await page.evaluate("JSON.parse(localStorage.atiha_session).userId")
        return user

    async def pending(self) -> int:
        """How many operations `localStorage` has in its journal."""
        code = "(prefix) => Object.keys(localStorage).filter((k) => k.startsWith(prefix)).length"
        number: int = await self.device.pages[0].evaluate(code, f"atiha:{await self.user()}:j:")
        return number

    async def rows(self, name: str, key: str = "") -> list[dict[str, Any]]:
        """What PostgreSQL has in a list, or of one key there."""
        path = f"{self.url}/api/users/{await self.user()}/{name}?limit=1000"
        reply = await self.device.request.get(path)
        assert reply.ok
        rows: list[dict[str, Any]] = next(iter((await reply.json()).values()))
        return [row for row in rows if key in ("", row.get("contentId"))]

    async def on_server(self) -> dict[str, Counter[str]]:
        """How often each key is in each list that PostgreSQL has."""
        return {
            name: Counter(row.get("contentId") or row["noteId"] for row in await self.rows(name))
            for name in LISTS
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reader(module_devices: Devices, demo_server: DemoServer) -> Reader:
    """Somebody who reads the notebook from its beginning; all tests here go on where one ended."""
    return Reader(await module_devices.new(), demo_server.url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def notebook(reader: Reader) -> Notebook:
    """The notebook of the reader's first tab, run once."""
    opened = await reader.open()
    await opened.run_all()
    return opened


async def test_it_is_stored_without_outputs() -> None:
    (path,) = NOTEBOOKS.glob("*.ipynb")
    cells = json.loads(path.read_text("utf-8"))["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


async def test_every_cell_does_what_the_text_says(notebook: Notebook, reader: Reader) -> None:
    said = await notebook.said()
    assert [words for words in SAID if words not in said] == [], said
    found = await reader.on_server()
    assert len(found["watch-history"]) == FILMS
    assert {times for keys in found.values() for times in keys.values()} == {1}


async def test_two_pictures_are_drawn(notebook: Notebook) -> None:
    drawn = notebook.page.locator(".jp-OutputArea-output .vega-embed canvas")
    await expect(drawn).to_have_count(2)
    heat_map, bars = [await picture.evaluate(PAINTED) for picture in await drawn.all()]
    assert 0.01 < heat_map < 0.5
    assert 0.1 < bars < 0.9


async def test_nothing_was_asked_of_anybody_else(notebook: Notebook, reader: Reader) -> None:
    assert any(address.endswith("pyodide.asm.wasm") for address in reader.asked)
    local = (reader.url, "data:", f"blob:{reader.url}")
    assert [address for address in reader.asked if not address.startswith(local)] == []


async def test_its_last_lines_see_it_all_from_cpython(
    notebook: Notebook, reader: Reader, tmp_path: Path
) -> None:
    script = await notebook.cells.last.locator(".jp-OutputArea-output").inner_text()
    ratings = (await reader.on_server())["ratings"]
    viewings, *rated = on_cpython(script, tmp_path)
    assert viewings == f"{FILMS} viewings"
    assert sorted(line.partition(" ")[2] for line in rated) == sorted(ratings)
    rows = await reader.rows("ratings")
    assert [row["contentId"] for row in rows if row.get("review") == "From a terminal."] == [
        "the-kid-1921"
    ]


async def test_it_can_be_run_again_from_where_it_has_no_network(
    notebook: Notebook, reader: Reader
) -> None:
    before = await reader.on_server()
    await notebook.run_above(cell_with(PLUG))
    assert await reader.pending() == RATED_OFFLINE
    await notebook.run_all()
    assert await reader.pending() == 0
    assert await reader.on_server() == before


async def test_two_tabs_run_it_at_once_and_add_nothing_twice(
    notebook: Notebook, reader: Reader
) -> None:
    before, user = await reader.on_server(), await reader.user()
    second = await reader.open()
    await asyncio.gather(notebook.run_all(), second.run_all())
    assert (await reader.user(), await reader.pending()) == (user, 0)
    assert await reader.on_server() == before
    await second.page.close()


async def test_a_kernel_restarted_in_the_middle_loses_nothing(
    module_devices: Devices, demo_server: DemoServer
) -> None:
    reader = Reader(await module_devices.new(), demo_server.url)
    notebook = await reader.open()
    await notebook.run_above(cell_with(PLUG))
    pending = await reader.pending()
    card = notebook.page.locator(".atiha-status")
    await expect(card).to_contain_text(f"pending{pending}")
    assert pending > FILMS
    assert (await reader.on_server())["watch-history"].total() == 1
    await notebook.restart()
    assert await reader.pending() == pending
    await notebook.run_above(cell_with(UNPLUG))
    await expect(card).to_contain_text("pending0")
    assert await reader.pending() == 0
    found = await reader.on_server()
    assert sum(keys.total() for keys in found.values()) == 1 + pending
    await notebook.run_all()
    after = await reader.on_server()
    assert after["watch-history"] == found["watch-history"]
    assert {times for keys in after.values() for times in keys.values()} == {1}


async def test_who_signs_in_on_the_page_is_who_the_notebook_works_for(
    notebook: Notebook, reader: Reader
) -> None:
    earlier = await reader.user()
    viewer = await Viewer.at(reader.device, reader.url)
    await viewer.python("await client.users.logout()")
    await viewer.join()
    await viewer.rate("charade-1963", 1)
    await viewer.saved()
    await notebook.run_all()
    assert await reader.user() != earlier
    assert [row["rating"] for row in await reader.rows("ratings", "charade-1963")] == [1]
    assert await viewer.python("len(client['watch_history'])") == FILMS
