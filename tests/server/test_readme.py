"""The README's code runs as it is printed."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PRINTED_URL = "http://127.0.0.1:8000"


def test_there_is_code_to_run() -> None:
    assert PRINTED_URL in BLOCKS[0]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_block_runs(block: str, api_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block.replace(PRINTED_URL, api_url), "README.md", "exec"), {})  # noqa: S102 - our own text
    if "print(" in block:
        assert capsys.readouterr().out.splitlines() == ["5 1", "Still funny.", "1 ratings"]
