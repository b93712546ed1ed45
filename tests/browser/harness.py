"""Brings code for tests into Pyodide."""

import json
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).with_name("page_harness.py")


@pytest.fixture
def harness(selenium: Any) -> None:
    """Let code in Pyodide import `page_harness`."""
    source = json.dumps(SOURCE.read_text("utf-8"))
    selenium.run_js(f"pyodide.FS.writeFile('page_harness.py', {source})")
