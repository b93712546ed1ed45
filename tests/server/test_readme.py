"""The README's code runs as it is printed."""

import re
from pathlib import Path
from typing import Any

import pytest

import atiha_web
from atiha_web.backends.httpx import HttpxTransport
from atiha_web.backends.memory import memory_backend
from tests.browser.printed import BLOCKING, QUICKSTART
from tests.server.fixtures import running

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PRINTED_URL = "http://127.0.0.1:8000"
PRINTED_DATABASE = "postgresql://localhost/mine"


def test_there_is_code_to_run() -> None:
    assert PRINTED_URL in BLOCKS[0]


@pytest.mark.parametrize(
    ("code", "most"), [(QUICKSTART, 15), (BLOCKING, 10)], ids=["quickstart", "blocking"]
)
def test_the_first_lines_are_few(code: str, most: int) -> None:
    assert sum(bool(line.strip()) for line in code.splitlines()) <= most


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_block_runs(block: str, api_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block.replace(PRINTED_URL, api_url), "README.md", "exec"), {})  # noqa: S102 - our own text
    if "print(" in block:
        assert capsys.readouterr().out.splitlines() == ["5 1", "Still funny.", "1 ratings"]


async def test_the_routes_serve_in_an_app_with_sessions_of_its_own(database_url: str) -> None:
    [block] = [block for block in BLOCKS if PRINTED_DATABASE in block]
    theirs: dict[str, Any] = {}
    text = block.replace(PRINTED_DATABASE, database_url)
    exec(compile(text, "README.md", "exec"), theirs)  # noqa: S102 - our own text
    [token] = theirs["SESSIONS"]
    with running(theirs["app"]) as url:
        clients = [
            atiha_web.connect(
                url,
                user_id="ada",
                token=known,
                backend=memory_backend(HttpxTransport()),
                background=False,
            )
            for known in (token, None)
        ]
        async with clients[0] as client, clients[1] as stranger:
            await client.profiles.add_favorite("ada", "m1")
            assert (await client.sync()).sent == 1
            assert not (await stranger.sync()).ok
            assert stranger.status.state == "needs_auth"
