"""Where everything is measured: one PostgreSQL, one server, one Chromium, started when needed."""

import asyncio
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import asyncpg
import httpx
from playwright.async_api import BrowserContext, Page, async_playwright

from atiha_web.server import EmbeddedPostgres
from atiha_web.sync import hlc
from demo.assets import build
from tests.benchmarks.bundle import peers
from tests.benchmarks.figures import each
from tests.browser.devices import Devices
from tests.server.fixtures import PASSWORD, Account

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"
"""Where Chromium sends what is not for this machine: nothing listens there."""
BATCH = 500
SLICE, SLICES = 25, 20
PUT_MS = 0.49
"""A put of Dexie on the machine that the aims in ms were set on: beside it they hold anywhere."""

_numbers = itertools.count(1)


class Lab:
    """What the benchmarks share; leaving it stops everything it started."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._postgres: EmbeddedPostgres | None = None
        self._url: str | None = None
        self._devices: Devices | None = None
        self.folder = self._stack.enter_context(_open_folder())
        """For anybody's files; gone with the lab."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def postgres(self) -> EmbeddedPostgres:
        """A PostgreSQL with the settings it has in production."""
        if self._postgres is None:
            server = EmbeddedPostgres(self.folder / "postgres")
            self._postgres = self._stack.enter_context(server)
        return self._postgres

    async def database(self, name: str) -> str:
        """The URL of a new, empty database."""
        connection = await asyncpg.connect(self.postgres.database_url("postgres"))
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        return self.postgres.database_url(name)

    async def server(self) -> str:
        """The URL of the API and of the benchmarks' page, in a process of its own."""
        if self._url is None:
            command = [sys.executable, "-m", "tests.benchmarks.server"]
            command += ["--database-url", await self.database("benchmarks")]
            command += ["--pyodide", str(build().pyodide), "--peers", str(peers())]
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdout=subprocess.PIPE
            )
            self._stack.push_async_callback(_stop, process)
            assert process.stdout is not None
            said = (await process.stdout.readline()).decode()
            assert said.startswith("ready: "), "the server did not start; its output says why"
            self._url = said.removeprefix("ready: ").strip()
        return self._url

    async def account(self, records: int = 0) -> Account:
        """A new user with so many entries in the watch history, on the server."""
        url = await self.server()
        email = f"user{next(_numbers)}@example.test"
        body = {"email": email, "password": PASSWORD, "name": "Ada", "session": "token"}
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            reply = (await http.post("/api/users", json=body)).raise_for_status().json()
            account = Account(reply["user"]["id"], email, reply["token"])
            path = f"/api/users/{account.id}/sync"
            for first in range(0, records, BATCH):
                some = [_entry(number) for number in range(first, min(first + BATCH, records))]
                request = {"protocol": 1, "cursor": 0, "limit": 1, "operations": some}
                answer = await http.post(path, json=request, headers=account.headers)
                answer.raise_for_status()
        return account

    async def device(self) -> BrowserContext:
        """A new device; fails if a page had an error until now."""
        if self._devices is None:
            playwright = await self._stack.enter_async_context(async_playwright())
            self._devices = Devices(playwright, NOWHERE)
            self._stack.push_async_callback(self.close_devices)
        assert self._devices.errors == []
        return await self._devices.new()

    async def close_devices(self) -> None:
        """Close all devices: pages that live on would slow down what is measured next."""
        if self._devices is not None:
            await self._devices.close()

    async def page(self) -> Page:
        """The benchmarks' page on a new device, before Python is started."""
        page = await (await self.device()).new_page()
        page.set_default_timeout(300_000)
        await page.goto(f"{await self.server()}/benchmarks/page.html", wait_until="load")
        return page

    async def python(self) -> Page:
        """A page in which the functions of `in_page` can be called."""
        page = await self.page()
        await page.evaluate("benchmark.prepare()")
        return page


async def call(page: Page, name: str, *values: Any) -> Any:
    """Call a function of `in_page`."""
    return await page.evaluate(
        "([name, values]) => benchmark.call(name, values)", [name, list(values)]
    )


async def call_worker(page: Page, name: str, *values: Any) -> Any:
    """Call a function of `in_page` in a worker."""
    return await page.evaluate(
        "([name, values]) => benchmark.callWorker(name, values)", [name, list(values)]
    )


async def put_of_dexie(page: Page) -> float:
    """What one put of Dexie takes there, in ms: how fast this machine is with a page's storage."""
    slices = [await peer(page, "dexie", SLICE) for _ in range(SLICES + 1)]
    # The first one opens the database.
    return each(slices[1:], SLICE)


async def peer(page: Page, name: str, *values: Any) -> Any:
    """Call a function of `peers.js`."""
    return await page.evaluate("([name, values]) => peers[name](...values)", [name, list(values)])


def _entry(number: int) -> dict[str, Any]:
    writer = "5eed5eed5eed"
    timestamp = str(hlc.Timestamp(1_760_000_000_000 + number, 0, writer))
    return {
        "id": f"{writer}-{number + 1}",
        "collection": "watch_history",
        "key": f"old-film-{number}",
        "type": "put",
        "timestamp": timestamp,
        "data": {
            "contentType": "movie",
            "title": f"Film {number}",
            "progress": 60 + number,
            "duration": 7200,
            "completed": False,
            "session": timestamp,
        },
    }


@contextmanager
def _open_folder() -> Iterator[Path]:
    """A folder that PostgreSQL can reach where it must run as another user."""
    with tempfile.TemporaryDirectory(prefix="atiha-benchmarks-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def _stop(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    await process.wait()
