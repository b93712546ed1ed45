"""The three tests of the original document, against the real page as its console reaches it."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Page

from tests.browser.viewer import Viewer

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADD = """
await client.profiles.add_to_watch_history(client.user_id, "test", "movie", "Test Movie")
"""


async def python(page: Page, code: str) -> None:
    await page.evaluate("code => pyodide.runPythonAsync(code).then(() => {})", code)


async def stored(page: Page, key: str) -> Any:
    return await page.evaluate("key => JSON.parse(localStorage.getItem(key))", key)


async def test_basic_synchronisation(newcomer: Viewer) -> None:
    await python(newcomer.page, f"write = {ADD.strip()}")
    user_id = (await stored(newcomer.page, "atiha_session"))["userId"]
    [cached] = await stored(newcomer.page, f"atiha_watch_history_{user_id}")
    assert cached["contentId"] == "test"
    await python(newcomer.page, "await write.saved('server')")
    [row] = await newcomer.on_server("watch_history")
    assert (row["contentId"], row["id"]) == ("test", cached["id"])


async def test_offline_mode(newcomer: Viewer) -> None:
    await newcomer.saved()
    await newcomer.page.context.set_offline(True)
    await python(newcomer.page, ADD)
    queue = await stored(newcomer.page, "atiha_sync_queue")
    assert len(queue) > 0
    async with asyncio.timeout(30):
        await newcomer.page.context.set_offline(False)
        await newcomer.saved()
    assert await stored(newcomer.page, "atiha_sync_queue") == []
    assert [row["contentId"] for row in await newcomer.on_server("watch_history")] == ["test"]


async def test_periodic_synchronisation(newcomer: Viewer) -> None:
    await newcomer.saved()
    await python(
        newcomer.page,
        """
        from atiha_web import SyncConfig
        config = SyncConfig.model_validate({
            "cacheKey": "test_sync",
            "apiEndpoint": f"/api/users/{client.user_id}/watch-history",
            "syncInterval": 200,
        })
        client.service.start_periodic_sync(config)
        """.replace("\n        ", "\n"),
    )
    first = await synced_after(newcomer.page, None)
    assert await stored(newcomer.page, "atiha_test_sync") == []
    assert await synced_after(newcomer.page, first) > first
    await python(newcomer.page, "client.service.stop_periodic_sync(config)")


async def synced_after(page: Page, last: str | None) -> str:
    async with asyncio.timeout(30):
        while True:
            time = (await stored(page, "atiha_last_sync")).get("test_sync")
            if time is not None and time != last:
                return str(time)
            await page.evaluate("new Promise(requestAnimationFrame)")
