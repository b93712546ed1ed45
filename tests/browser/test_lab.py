"""JupyterLite below /lab, served by the demo."""

from playwright.async_api import BrowserContext, expect

from tests.browser.demo_server import DemoServer
from tests.browser.devices import Devices
from tests.browser.notebook import START_MS, Notebook
from tests.browser.viewer import Viewer


def requests_of(device: BrowserContext) -> list[str]:
    """Fills with the addresses that anything on the device asks for, workers included."""
    asked: list[str] = []
    device.on("request", lambda request: asked.append(request.url))
    return asked


async def test_a_fresh_notebook_imports_the_package_and_asks_nobody_else(
    devices: Devices, demo_server: DemoServer
) -> None:
    device = await devices.new()
    asked = requests_of(device)
    notebook = await Notebook.fresh(device, demo_server.url)
    assert await notebook.run("import atiha_web; print(atiha_web.__name__)") == "atiha_web"
    local = (demo_server.url, "data:", "blob:")
    assert [address for address in asked if not address.startswith(local)] == []
    assert any(address.endswith("pyodide.asm.wasm") for address in asked)


async def test_the_wheel_is_there_for_pip(devices: Devices, demo_server: DemoServer) -> None:
    notebook = await Notebook.fresh(await devices.new(), demo_server.url)
    await notebook.run("%pip install atiha-web")
    printed = await notebook.run("import importlib.metadata as m; print(m.version('atiha-web'))")
    assert printed == "0.1.0"


async def test_the_page_leads_to_the_notebook_and_its_service_worker_leaves_it_alone(
    devices: Devices, demo_server: DemoServer
) -> None:
    viewer = await Viewer.at(await devices.new(), demo_server.url)
    await viewer.page.evaluate("navigator.serviceWorker.ready.then(() => {})")
    await viewer.reload()
    async with viewer.page.expect_popup() as opened:
        await viewer.page.get_by_role("link", name="notebook").click()
    tab = (await opened.value).get_by_role("tab", name="atiha_web.ipynb")
    await expect(tab).to_be_visible(timeout=START_MS)


async def test_a_fresh_notebook_connects_without_an_argument(
    devices: Devices, demo_server: DemoServer
) -> None:
    notebook = await Notebook.fresh(await devices.new(), demo_server.url)
    code = "import atiha_web; client = await atiha_web.connect(); print(client.status.state)"
    assert await notebook.run(code) == "idle"
