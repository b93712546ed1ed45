"""What a start imports, what it leaves for later, and when that comes."""

import subprocess
import sys

from atiha_web.loading import LATER

PREPARED = """
import asyncio, sys
import atiha_web

def ours():
    return {name for name in sys.modules if name.startswith("atiha_web.")}

def opened(**options):
    return atiha_web.connect("http://127.0.0.1:9", storage="memory", **options)

"""


def said(code: str) -> set[str]:
    """The words that code prints in a new interpreter."""
    command = [sys.executable, "-c", PREPARED + code]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(run.stdout.split())


def test_a_start_without_anybody_signed_in_loads_no_model_and_no_engine() -> None:
    loaded = said(
        "async def main():\n"
        "    async with opened(background=False):\n"
        "        print(*ours())\n"
        "asyncio.run(main())"
    )
    assert "atiha_web.session" in loaded
    assert loaded & set(LATER) == set()


def test_what_a_sign_in_needs_is_loaded_by_itself_meanwhile() -> None:
    loaded = said(
        "from atiha_web.loading import LATER\n"
        "async def main():\n"
        "    async with opened(), asyncio.timeout(30):\n"
        "        while not set(LATER) <= set(sys.modules):\n"
        "            await asyncio.sleep(0)\n"
        "        print(*ours())\n"
        "asyncio.run(main())"
    )
    assert {name for name in LATER if name.startswith("atiha_web.")} <= loaded


def test_a_turn_loads_one_module_of_ours() -> None:
    together = said(
        "from importlib import import_module\n"
        "from atiha_web.loading import LATER\n"
        "atiha_web.connect\n"
        "import atiha_web.services\n"
        "for name in LATER:\n"
        "    before = ours()\n"
        "    import_module(name)\n"
        "    if len(ours() - before) > 1:\n"
        "        print(name)"
    )
    assert together == set()


def test_a_sign_in_loads_nothing_more() -> None:
    late = said(
        "from atiha_web.loading import load_in_turns\n"
        "async def main():\n"
        "    async with opened(background=False):\n"
        "        await load_in_turns()\n"
        "        before = ours()\n"
        "    async with opened(background=False, user_id='ann') as client:\n"
        "        await client.profiles.add_favorite('ann', 'detour', 'movie', 'Detour')\n"
        "        client.users\n"
        "        print(*ours() - before)\n"
        "asyncio.run(main())"
    )
    assert late == set()


def test_the_first_model_takes_a_turn_of_its_own() -> None:
    built = said(
        "from atiha_web.models import RECORDS\n"
        "from atiha_web.first_model import First\n"
        "from atiha_web.sync.turns import built_in_turns\n"
        "async def main():\n"
        "    task = asyncio.ensure_future(built_in_turns(RECORDS))\n"
        "    while not First.__pydantic_complete__:\n"
        "        await asyncio.sleep(0)\n"
        "    print(len(RECORDS) > 0, *(kind.__pydantic_complete__ for kind in RECORDS))\n"
        "    await task\n"
        "asyncio.run(main())"
    )
    assert built == {"True", "False"}
