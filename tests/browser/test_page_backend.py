"""The page backend in Chromium, with the built wheel: its contracts and what is its own."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from pytest_pyodide import run_in_pyodide

from atiha_web.testing.contracts import (
    ENVIRONMENT_CHECKS,
    QUOTA_CHECKS,
    STORAGE_CHECKS,
    TRANSPORT_CHECKS,
)
from atiha_web.testing.server import ContractServer
from tests.browser.harness import harness  # noqa: F401 - a fixture
from tests.browser.servers import OriginServer, Response

pytestmark = pytest.mark.usefixtures("harness")


def names(checks: Iterable[Any]) -> list[str]:
    return [check.__name__ for check in checks]


@pytest.fixture(scope="module")
def contract_server() -> Iterator[ContractServer]:
    """A server that answers as the checks of transports expect."""
    with ContractServer() as server:
        yield server


@pytest.mark.parametrize("name", names(STORAGE_CHECKS))
@run_in_pyodide(packages=["atiha-web"])
async def test_storage(selenium: Any, name: str) -> None:
    from atiha_web.testing.contracts import STORAGE_CHECKS
    from page_harness import PageOrigin

    with PageOrigin() as origin:
        (check,) = [check for check in STORAGE_CHECKS if check.__name__ == name]
        await check(origin)


@pytest.mark.parametrize("name", names(QUOTA_CHECKS))
@run_in_pyodide(packages=["atiha-web"])
async def test_storage_with_a_quota(selenium: Any, name: str) -> None:
    from atiha_web.testing.contracts import QUOTA_CHECKS
    from page_harness import PageOrigin

    with PageOrigin() as origin:
        (check,) = [check for check in QUOTA_CHECKS if check.__name__ == name]
        await check(origin)


@pytest.mark.parametrize("name", names(ENVIRONMENT_CHECKS))
@run_in_pyodide(packages=["atiha-web"])
async def test_environment(selenium: Any, name: str) -> None:
    from atiha_web.testing.contracts import ENVIRONMENT_CHECKS
    from page_harness import PageWorld

    with PageWorld() as world:
        (check,) = [check for check in ENVIRONMENT_CHECKS if check.__name__ == name]
        await check(world)


@run_in_pyodide(packages=["atiha-web"])
async def check_transport(selenium: Any, name: str, url: str, dead_url: str) -> None:
    from atiha_web.testing.contracts import TRANSPORT_CHECKS
    from page_harness import PageNetwork

    with PageNetwork(url, dead_url) as network:
        (check,) = [check for check in TRANSPORT_CHECKS if check.__name__ == name]
        await check(network)


@pytest.mark.parametrize("name", names(TRANSPORT_CHECKS))
def test_transport(selenium: Any, name: str, contract_server: ContractServer) -> None:
    check_transport(selenium, name, contract_server.url, contract_server.dead_url)


@run_in_pyodide(packages=["atiha-web"])
async def subscribe(selenium: Any) -> None:
    import js

    from atiha_web.testing.contracts.expect import Heard
    from page_harness import Documents, kept

    kept["documents"] = documents = Documents()
    kept["backend"] = backend = await documents.backend(js.window)
    kept["heard"] = Heard(backend.environment.subscribe)


@run_in_pyodide(packages=["atiha-web"])
async def next_signal(selenium: Any) -> str:
    from page_harness import kept

    (signal,) = await kept["heard"].take(1)
    return signal


@run_in_pyodide(packages=["atiha-web"])
async def is_online(selenium: Any) -> bool:
    from page_harness import kept

    return kept["backend"].environment.online()


@run_in_pyodide(packages=["atiha-web"])
async def unsubscribe(selenium: Any) -> None:
    from page_harness import kept

    kept["documents"].__exit__()
    kept.clear()


def cut_network(selenium: Any, *, offline: bool) -> None:
    selenium.driver.set_network_conditions(offline=offline, latency=0, throughput=0)


def test_a_cut_network_is_told(selenium: Any) -> None:
    # A machine with loopback only is offline until the emulation says otherwise.
    cut_network(selenium, offline=False)
    subscribe(selenium)
    cut_network(selenium, offline=True)
    assert next_signal(selenium) == "offline"
    assert not is_online(selenium)
    cut_network(selenium, offline=False)
    assert next_signal(selenium) == "online"
    assert is_online(selenium)
    selenium.driver.delete_network_conditions()
    unsubscribe(selenium)


def test_a_hidden_page_is_told(selenium: Any) -> None:
    subscribe(selenium)
    page = selenium.driver.current_window_handle
    selenium.driver.switch_to.new_window("tab")
    selenium.driver.close()
    selenium.driver.switch_to.window(page)
    assert [next_signal(selenium), next_signal(selenium)] == ["hidden", "visible"]
    unsubscribe(selenium)


@run_in_pyodide(packages=["atiha-web"])
async def test_a_page_that_goes_is_told(selenium: Any) -> None:
    from atiha_web.testing.contracts.expect import Heard
    from page_harness import Documents

    with Documents() as documents:
        js_window = documents.frame()
        heard = Heard((await documents.backend(js_window)).environment.subscribe)
        js_window.location.replace("module_test.html?next")
        assert await heard.take(1) == ["hidden"]


@run_in_pyodide(packages=["atiha-web"])
async def test_changes_of_session_storage_are_not_heard(selenium: Any) -> None:
    from atiha_web.backends.base import StorageChange
    from atiha_web.testing.contracts.expect import Heard
    from page_harness import PageOrigin

    with PageOrigin() as origin:
        heard = Heard((await origin.open()).subscribe)
        js_window = origin.frame()
        js_window.sessionStorage.setItem("key", "session")
        js_window.localStorage.setItem("key", "local")
        assert await heard.take(1) == [StorageChange("key", "local")]


@run_in_pyodide(packages=["atiha-web"])
async def test_what_is_written_is_in_local_storage_itself(selenium: Any) -> None:
    import js

    from atiha_web.backends.auto import choose_backend

    backend = await choose_backend()
    await backend.storage.write({"atiha_key": "value"})
    assert js.localStorage.getItem("atiha_key") == "value"
    backend.close()


@run_in_pyodide(packages=["atiha-web"])
async def test_usage_counts_keys_and_values_as_the_quota_does(selenium: Any) -> None:
    import js

    from atiha_web.backends.auto import choose_backend

    js.localStorage.setItem("somebody else's", "12345")
    backend = await choose_backend()
    assert backend.usage is not None
    before = await backend.usage()
    await backend.storage.write({"été": "12345"})
    after = await backend.usage()
    backend.close()
    assert before.used >= 20
    assert (after.used - before.used, after.quota) == (8, 5_242_880)


@run_in_pyodide(packages=["atiha-web"])
async def test_blocked_storage_is_refused_with_words(selenium: Any) -> None:
    import js
    import pytest

    from atiha_web.backends.auto import choose_backend
    from atiha_web.errors import StorageUnavailableError
    from page_harness import blocked_storage

    with (
        blocked_storage(js.window),
        pytest.raises(StorageUnavailableError, match="allow cookies and site data"),
    ):
        await choose_backend()


@run_in_pyodide(packages=["atiha-web"])
async def test_storage_blocked_later_is_refused_at_the_write(selenium: Any) -> None:
    import js
    import pytest

    from atiha_web.errors import StorageUnavailableError
    from page_harness import PageOrigin, blocked_storage

    with PageOrigin() as origin:
        storage = await origin.open()
        refused = pytest.raises(StorageUnavailableError, match="SecurityError: access is denied")
        with blocked_storage(js.window), refused:
            await storage.write({"key": "value"})


@run_in_pyodide(packages=["atiha-web"])
async def test_memory_serves_where_storage_is_blocked(selenium: Any) -> None:
    import js

    from atiha_web.backends.auto import choose_backend
    from page_harness import blocked_storage

    with blocked_storage(js.window):
        backend = await choose_backend(storage="memory")
        await backend.storage.write({"key": "value"})
        assert await backend.storage.read(["key"]) == ["value"]
        assert backend.transport.keeps_cookies
        backend.close()
    assert js.localStorage.length == 0


@run_in_pyodide(packages=["atiha-web"])
async def test_disk_is_not_promised(selenium: Any) -> None:
    import pytest

    from atiha_web.errors import SaveError
    from page_harness import PageOrigin

    with PageOrigin() as origin:
        storage = await origin.open()
        with pytest.raises(SaveError, match="a killed browser"):
            await storage.flush("disk")


@run_in_pyodide(packages=["atiha-web"])
async def use_everything(selenium: Any) -> None:
    from atiha_web.backends.base import Request
    from atiha_web.backends.page import page_backend
    from atiha_web.testing.contracts.expect import Heard

    backend = await page_backend()
    changes, signals = Heard(backend.storage.subscribe), Heard(backend.environment.subscribe)
    await backend.storage.write({"key": "value"})
    assert await backend.storage.keys("") == ["key"]
    async with backend.environment.lock("shared", 1) as held:
        assert held
    reply = await backend.transport.request(Request("GET", "pyodide-lock.json"))
    assert reply.status == 200
    changes.unsubscribe()
    signals.unsubscribe()
    await backend.transport.close()
    backend.close()
    backend.close()


def listeners(selenium: Any) -> list[tuple[str, str]]:
    """The listeners of window and document, as the browser itself counts them."""
    cdp = selenium.driver.execute_cdp_cmd
    found = []
    for target in ("window", "document"):
        value = cdp("Runtime.evaluate", {"expression": target})["result"]["objectId"]
        counted = cdp("DOMDebugger.getEventListeners", {"objectId": value})["listeners"]
        found += [(target, listener["type"]) for listener in counted]
    return sorted(found)


def test_closing_removes_what_opening_added(selenium: Any) -> None:
    # Whatever is made once for all stays: Pyodide's own helpers, the bridge.
    use_everything(selenium)
    selenium.enable_pyproxy_tracing()
    before = listeners(selenium), selenium.get_num_proxies()
    for _ in range(3):
        use_everything(selenium)
    assert (listeners(selenium), selenium.get_num_proxies()) == before
    subscribe(selenium)
    assert len(listeners(selenium)) == len(before[0]) + 5
    assert selenium.get_num_proxies() > before[1]
    unsubscribe(selenium)
    selenium.disable_pyproxy_tracing()


@run_in_pyodide(packages=["atiha-web"])
async def ask_own_origin(selenium: Any) -> tuple[int, str]:
    import js

    from atiha_web.backends.base import Request
    from page_harness import Documents

    with Documents() as documents:
        transport = (await documents.backend(js.window)).transport
        await transport.request(Request("POST", "/api/login"))
        reply = await transport.request(Request("GET", "api/me?x=1"))
    return reply.status, reply.url


def test_cookies_of_the_own_origin_are_kept(selenium: Any, origin_server: OriginServer) -> None:
    cookie = {"Set-Cookie": "session=secret; HttpOnly; SameSite=Strict; Path=/"}
    origin_server.routes["POST", "/api/login"] = lambda _: Response(204, headers=cookie)
    origin_server.routes["GET", "/api/me"] = lambda _: Response(200)
    assert ask_own_origin(selenium) == (200, f"{origin_server.url}/api/me?x=1")
    asked = {name.lower(): value for name, value in origin_server.requests[-1].headers.items()}
    assert asked["cookie"] == "session=secret"
    selenium.driver.delete_all_cookies()


@run_in_pyodide(packages=["atiha-web"])
async def ask_twice(selenium: Any) -> list[str]:
    import js

    from atiha_web.backends.base import Request
    from page_harness import Documents

    with Documents() as documents:
        transport = (await documents.backend(js.window)).transport
        replies = [await transport.request(Request("GET", "/api/count")) for _ in range(2)]
    return [reply.body.decode() for reply in replies]


def test_no_reply_comes_from_a_cache(selenium: Any, origin_server: OriginServer) -> None:
    count = itertools.count(1)
    cached = {"Cache-Control": "max-age=3600"}
    origin_server.routes["GET", "/api/count"] = lambda _: Response(
        200, str(next(count)).encode(), cached
    )
    assert ask_twice(selenium) == ["1", "2"]
