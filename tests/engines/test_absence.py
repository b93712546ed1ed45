"""A browser that is not installed is never passed over in silence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines.engines import ENGINES

ROOT = Path(__file__).parents[2]


def run_without_browsers(engines: str) -> subprocess.CompletedProcess[str]:
    """Run one test of each browser where none is to be found."""
    tests = "tests/engines/test_engines.py::test_the_demo_starts"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", tests],
        cwd=ROOT,
        env={**os.environ, "PATH": "", "ATIHA_ENGINES": engines},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_missing_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert ENGINES["firefox"].absence == (
        "Firefox was not tested: firefox-esr, node not found "
        "(Debian: apt-get install firefox-esr nodejs)"
    )
    assert ENGINES["webkit"].absence.startswith("WebKit was not tested: WebKitWebDriver, Xvfb")


def test_the_summary_says_which_browsers_were_not_tested() -> None:
    ended = run_without_browsers("")
    assert ended.returncode == 0, ended.stdout
    assert "Firefox was not tested: " in ended.stdout
    assert "WebKit was not tested: " in ended.stdout


def test_where_all_are_demanded_a_missing_browser_fails() -> None:
    ended = run_without_browsers("all")
    assert ended.returncode == 1, ended.stdout
    assert "2 errors" in ended.stdout
    assert "skipped" not in ended.stdout
