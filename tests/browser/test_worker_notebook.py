"""The package in a notebook's kernel: what its background work does between cells."""

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Request

from tests.browser.demo_server import DemoServer
from tests.browser.devices import Devices
from tests.browser.notebook import Notebook

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIGN_UP = """
import atiha_web
client = await atiha_web.connect(interval=0.5)
await client.users.register_user(
    email="notebook@example.org", password="correct horse battery", name="Ada"
)
print(client.status.pending)
"""

UNTIL_BACKOFF = """
async for status in client.statuses():
    if status.state == "backoff":
        print(status.state)
        break
"""


def is_sync(request: Request) -> bool:
    return request.url.endswith("/sync")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def notebook(module_devices: Devices, demo_server: DemoServer) -> Notebook:
    """A fresh notebook that tests here share."""
    return await Notebook.fresh(await module_devices.new(), demo_server.url)


async def syncs(device: BrowserContext, number: int) -> None:
    """Return once so many have been asked for."""
    for _ in range(number):
        await device.wait_for_event("request", predicate=is_sync)


async def test_syncing_goes_on_between_cells_prints_nothing_and_ends_with_the_kernel(
    notebook: Notebook,
) -> None:
    device = notebook.page.context
    assert await notebook.run(SIGN_UP) == "0"
    shown = await notebook.outputs.all_inner_texts()
    await syncs(device, 3)
    await device.route("**/sync", lambda route: route.abort())
    await syncs(device, 4)
    assert await notebook.outputs.all_inner_texts() == shown
    assert await notebook.run(UNTIL_BACKOFF) == "backoff"
    await device.unroute("**/sync")
    await notebook.page.get_by_role("button", name="Restart the kernel", exact=True).click()
    await notebook.page.locator(".jp-Dialog .jp-mod-accept").click()
    await notebook.page.wait_for_function(
        """async () => {
            const { held, pending } = await navigator.locks.query();
            return ![...held, ...pending].some(({ name }) => name.startsWith("atiha:"));
        }""",
        polling=200,
    )
    asked: list[str] = []
    device.on("request", lambda request: asked.append(request.url))
    assert await notebook.run("print('client' in globals())") == "False"
    assert [url for url in asked if url.endswith("/sync")] == []


async def test_connecting_needs_no_output_where_the_extension_is_installed(
    notebook: Notebook,
) -> None:
    await notebook.run("import atiha_web")
    await notebook.run("%%capture\nclient = await atiha_web.connect()")
    await notebook.run("await client._backend.storage.write({'atiha_key': 'value'})")
    assert await notebook.page.evaluate("localStorage.atiha_key") == "value"
    # Without the extension the page is shown what it lacks, but only where output is shown.
    await notebook.page.evaluate(
        "atihaServer.leave(); delete globalThis.atihaServer; delete globalThis.atihaBridge"
    )
    told = await notebook.run(
        "%%capture told\ntry:\n    await atiha_web.connect()\n"
        "except atiha_web.errors.PlatformError as error:\n    print(error)"
    )
    assert told == ""
    assert "not under %%capture" in await notebook.run("print(told.stdout)")
    again = "again = await atiha_web.connect(); await again._backend.storage.read(['atiha_key'])"
    assert await notebook.run(again) == "['value']"


USE_ALL = """
import atiha_web
client = await atiha_web.connect()
user = await client.users.register_user(
    email="keys@example.org", password="correct horse battery", name="Ada"
)
await (await client.profiles.add_favorite(user.id, "m1")).saved("server")
await client.users.logout()
await client.close()
"""


async def test_the_keys_of_jupyterlite_are_left_alone(notebook: Notebook) -> None:
    await notebook.page.evaluate(
        """() => {
            localStorage.setItem("@jupyterlab/theme", "dark");
            localStorage.setItem("JupyterLite Storage/é", "kept");
            globalThis.touched = new Set();
            for (const method of ["setItem", "removeItem"]) {
                const done = Storage.prototype[method];
                Storage.prototype[method] = function (key, ...rest) {
                    touched.add(key);
                    return done.call(this, key, ...rest);
                };
            }
            Storage.prototype.clear = () => touched.add("everything");
        }"""
    )
    await notebook.run(USE_ALL)
    touched = await notebook.page.evaluate("[...touched]")
    assert "atiha_session" in touched
    assert [key for key in touched if not key.startswith(("atiha_", "atiha:"))] == []
    kept = "['@jupyterlab/theme', 'JupyterLite Storage/é'].map((key) => localStorage[key])"
    assert await notebook.page.evaluate(kept) == ["dark", "kept"]
