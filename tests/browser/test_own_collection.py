"""A collection declared in the page's Python and in the server's, in the same ten lines."""

from typing import Any

import asyncpg

from atiha_web.collections import BUILT_IN
from atiha_web.server import create_app
from demo.assets import build
from demo.server import COMPRESSED, SCRIPTS
from demo.static_files import StaticFiles
from tests.browser.devices import Devices
from tests.browser.viewer import PASSWORD, Viewer
from tests.server.fixtures import database_url, postgres, running, template

__all__ = ["database_url", "postgres", "template"]

DECLARED = """
import atiha_web

class Note(atiha_web.Record):
    note_id: str
    text: str
    pinned: bool = False

notes = atiha_web.Collection("notes", Note, key="note_id")
"""
IN_THE_PAGE = f"""
mine = await atiha_web.connect(collections=[notes])
await mine.users.register_user(email="ada@example.test", password={PASSWORD!r}, name="Ada")
write = await mine.put("notes", "n1", {{"text": "Hello", "pinned": True}})
await write.saved("server")
text = mine["notes"]["n1"].text
await mine.close()
text
"""


async def test_a_note_made_in_chromium_is_a_row_in_sql(devices: Devices, database_url: str) -> None:
    declared: dict[str, Any] = {}
    exec(DECLARED, declared)  # noqa: S102 - our own text, which the page runs too
    app = create_app(database_url, collections=[*BUILT_IN, declared["notes"]])
    app.mount("/", StaticFiles(build().root, SCRIPTS, COMPRESSED))
    with running(app) as url:
        viewer = await Viewer.at(await devices.new(), url)
        run = "code => pyodide.runPythonAsync(code)"
        assert await viewer.page.evaluate(run, DECLARED + IN_THE_PAGE) == "Hello"
        await viewer.page.context.close()
    connection = await asyncpg.connect(database_url)
    [row] = await connection.fetch("SELECT note_id, text, pinned FROM notes")
    await connection.close()
    assert dict(row) == {"note_id": "n1", "text": "Hello", "pinned": True}
