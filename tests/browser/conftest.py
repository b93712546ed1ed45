"""Fixtures for tests in Chromium: Pyodide with the built wheel, and whole pages.

`selenium` and `selenium_standalone` are pytest-pyodide's; they run in the built test site, with
storage empty at the start of each test. `origin_server` answers on their origin what a test puts
into its `routes`. `devices` and `page` are Playwright's, for pages of the demo, which
`demo_server` serves; `own_demo_server` is for a test that stops it. No test passes if a browser
asked for anything that is not on this machine.

To start Python on a new device takes 5 to 20 s. Who needs no first visit takes `visitor` (signed
out), `newcomer` (a new member in each test) or `member` (one for a whole module) in place of
`devices`: all tests of a module then share one tab. Such a module says
`pytestmark = pytest.mark.asyncio(loop_scope="module")`, and `module_devices` opens more devices.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright
from pytest_pyodide.runner import SeleniumChromeRunner

from demo.assets import Site, build
from tests.browser import chromium
from tests.browser.demo_server import DemoServer
from tests.browser.devices import Devices
from tests.browser.servers import OriginServer, RefusingProxy, running
from tests.browser.shared_tab import SharedTab
from tests.browser.viewer import Viewer

SITE = pytest.StashKey[Site]()


def pytest_configure(config: pytest.Config) -> None:
    """Build the test site before modules are collected: `run_in_pyodide` looks into it then."""
    site = build("test")
    config.stash[SITE] = site
    config.option.dist_dir = site.pyodide
    # pytest-pyodide has copied the option by now, as it was configured before this file was read.
    pytest.pyodide_dist_dir = site.pyodide  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def site(pytestconfig: pytest.Config) -> Site:
    """The built test site."""
    return pytestconfig.stash[SITE]


@pytest.fixture(scope="session")
def refusing_proxy() -> Iterator[RefusingProxy]:
    """Where all browsers send what is not for this machine."""
    with running(RefusingProxy()) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def no_foreign_request(refusing_proxy: RefusingProxy) -> Iterator[None]:
    """Fails a test during which a browser asked for anything that is not on this machine."""
    refusing_proxy.refused.clear()
    yield
    assert refusing_proxy.refused == []


@pytest.fixture(scope="session")
def session_origin_server(site: Site) -> Iterator[OriginServer]:
    """One server for all tests in Pyodide; a test that wants routes takes `origin_server`."""
    with running(OriginServer(site.pyodide)) as server:
        yield server


@pytest.fixture
def origin_server(session_origin_server: OriginServer) -> Iterator[OriginServer]:
    """The server of the page that `selenium` has open, without routes at first."""
    yield session_origin_server
    session_origin_server.routes.clear()
    session_origin_server.requests.clear()


@pytest.fixture(scope="session")
def web_server_main(
    session_origin_server: OriginServer, refusing_proxy: RefusingProxy
) -> Iterator[tuple[str, int, Path]]:
    """Replaces pytest-pyodide's server, which listens on all interfaces and knows no routes."""
    with pytest.MonkeyPatch.context() as patch:
        # Twenty seconds are not enough to start Pyodide beside other work on two cores.
        patch.setattr(SeleniumChromeRunner, "script_timeout", 90)
        # The runner offers no other place to say which Chromium to start.
        patch.setattr(
            SeleniumChromeRunner, "get_driver", lambda *_, **__: chromium.drive(refusing_proxy.url)
        )
        yield "127.0.0.1", session_origin_server.server_port, Path(os.devnull)


@pytest.fixture(autouse=True)
def empty_storage(request: pytest.FixtureRequest) -> None:
    """Empties the storage that tests of a module share through their one browser."""
    if "selenium" in request.fixturenames:
        request.getfixturevalue("selenium").run_js(
            """
            localStorage.clear();
            sessionStorage.clear();
            for (const { name } of await indexedDB.databases()) {
                await new Promise((resolve, reject) => {
                    const deletion = indexedDB.deleteDatabase(name);
                    deletion.onsuccess = resolve;
                    deletion.onerror = () => reject(deletion.error);
                    deletion.onblocked = () => reject(new Error(`a test left ${name} open`));
                });
            }
            """
        )


@asynccontextmanager
async def opened_devices(proxy: RefusingProxy) -> AsyncIterator[Devices]:
    """Browsers with storage of their own; fails at the end if a page of theirs had an error."""
    async with async_playwright() as playwright:
        opened = Devices(playwright, proxy.url)
        yield opened
        await opened.close()
    assert opened.errors == []


@pytest.fixture
async def devices(refusing_proxy: RefusingProxy) -> AsyncIterator[Devices]:
    """Opens browsers for one test."""
    async with opened_devices(refusing_proxy) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_devices(refusing_proxy: RefusingProxy) -> AsyncIterator[Devices]:
    """Opens browsers for the tests of a module, which take one from the other."""
    async with opened_devices(refusing_proxy) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def member(demo_server: DemoServer, module_devices: Devices) -> Viewer:
    """A member in a tab that all tests of a module share."""
    viewer = await Viewer.at(await module_devices.new(), demo_server.url)
    await viewer.register()
    return viewer


@pytest.fixture(scope="module")
def shared_tab(demo_server: DemoServer, module_devices: Devices) -> SharedTab:
    """What `visitor` and `newcomer` are in."""
    return SharedTab(module_devices, demo_server.url)


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(shared_tab: SharedTab, module_devices: Devices) -> AsyncIterator[Viewer]:
    """Nobody we know, in a tab that the tests of a module use one after another."""
    yield await shared_tab.enter()
    await shared_tab.leave()
    errors = module_devices.errors.copy()
    module_devices.errors.clear()
    assert errors == []


@pytest_asyncio.fixture(loop_scope="module")
async def newcomer(visitor: Viewer) -> Viewer:
    """A new member on the home page, in a tab that the tests of a module use one after another."""
    await visitor.join()
    return visitor


@pytest.fixture
async def page(devices: Devices) -> Page:
    """An empty page on a new device."""
    return await (await devices.new()).new_page()


@contextmanager
def data_folder() -> Iterator[Path]:
    """An empty folder that an unprivileged user can reach, unlike `tmp_path` of root.

    PostgreSQL runs as such a user where the tests run as root.
    """
    with tempfile.TemporaryDirectory(prefix="atiha é ") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "data"


@pytest.fixture(scope="session")
def demo_server() -> Iterator[DemoServer]:
    """The running demo, shared by all tests: each registers users of its own."""
    with data_folder() as data, DemoServer(data) as server:
        yield server


@pytest.fixture
def own_demo_server() -> Iterator[DemoServer]:
    """A running demo for one test, which may stop, kill and start it."""
    with data_folder() as data, DemoServer(data) as server:
        yield server
