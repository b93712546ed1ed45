"""What the two commands say when something is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "cmp", "dirname", "flock", "id", "mkdir", "npm")


@pytest.fixture
def few_tools(tmp_path: Path) -> Path:
    """A folder with the programs that the commands themselves use, to be the whole path."""
    for name in TOOLS:
        found = shutil.which(name)
        if found is not None:
            (tmp_path / name).symlink_to(found)
    return tmp_path


def run(command: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command from another folder than the project's."""
    return subprocess.run(
        [str(ROOT / command), *arguments],
        cwd="/",
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["demo/run", "tests/run"])
def test_without_npm_the_command_says_what_to_install(command: str, few_tools: Path) -> None:
    (few_tools / "npm").unlink()
    ended = run(command, PATH=str(few_tools))
    assert ended.returncode == 1
    assert ended.stderr.startswith("npm was not found: install Node.js")


def test_with_a_browser_that_is_not_there_the_tests_do_not_start() -> None:
    ended = run("tests/run", ATIHA_CHROMIUM="/nowhere/chromium")
    assert ended.returncode == 1
    assert "The tests need chromedriver on the path, and Chromium" in ended.stderr


def test_without_a_browser_and_apt_the_tests_do_not_start(few_tools: Path) -> None:
    ended = run("tests/run", PATH=str(few_tools), ATIHA_CHROMIUM="")
    assert ended.returncode == 1
    assert "The tests need chromedriver on the path, and Chromium" in ended.stderr


def test_without_python_the_command_says_what_to_install(tmp_path: Path, few_tools: Path) -> None:
    copy = tmp_path / "a copy"
    for name in ("demo/run", "demo/venv.sh"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    ended = run(str(copy / "demo/run"), PATH=str(few_tools))
    assert ended.returncode == 1
    assert ended.stderr.startswith("Python 3.11 or later")


def test_ci_demands_every_browser(tmp_path: Path) -> None:
    for name in (".ci/run", "tests/run"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    shutil.copy2(ROOT / ".ci/run", tmp_path / ".ci/run")
    (tmp_path / "tests/run").write_text("#!/bin/sh\necho engines: $ATIHA_ENGINES\n")
    (tmp_path / "tests/run").chmod(0o755)
    ended = run(str(tmp_path / ".ci/run"), ATIHA_ENGINES="")
    assert ended.stdout == "engines: all\n"


@pytest.fixture
def copy_without_pytest(tmp_path: Path) -> Path:
    """A checkout whose Python only says what it was called with."""
    for name in ("tests/run", "demo/venv.sh", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text('#!/bin/sh\necho "$@"\n')
    (venv / "bin" / "python").chmod(0o755)
    (venv / "atiha-root").write_text(f"{tmp_path.resolve()}\n")
    shutil.copy2(ROOT / "pyproject.toml", venv / "atiha-test.toml")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "in_several"),
    [
        ((), True),
        (("-q", "--durations=9"), True),
        (("tests/unit/test_scripts.py",), False),
        (("-k", "scripts"), False),
        (("--pdb",), False),
    ],
    ids=["all", "options", "a file", "an expression", "a debugger"],
)
def test_all_tests_run_in_several_processes_and_some_in_one(
    copy_without_pytest: Path, arguments: tuple[str, ...], in_several: bool
) -> None:
    ended = run(str(copy_without_pytest / "tests/run"), *arguments)
    called = ended.stdout.splitlines()[-1]
    assert called.startswith("-m pytest")
    assert called.endswith(" ".join(arguments))
    assert ("--numprocesses=" in called) == in_several
