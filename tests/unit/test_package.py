"""What is shipped, and what importing it costs."""

import ast
import json
import re
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import atiha_web
from demo.assets import Site, build, pins

ROOT = Path(__file__).parents[2]
HTTP = {"aiohttp", "http", "httpx", "pyodide_http", "requests", "urllib3"}
SERVER = {"alembic", "argon2", "asyncpg", "fastapi", "sqlalchemy", "starlette", "uvicorn"}
BROWSER = {"js", "pyodide", "pyodide_js"}


@pytest.fixture(scope="module")
def site() -> Site:
    return build("test")


@pytest.fixture(scope="module")
def wheel_names(site: Site) -> set[str]:
    with zipfile.ZipFile(site.wheel) as wheel:
        return set(wheel.namelist())


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """All modules that `import atiha_web` loads in a new interpreter."""
    code = "import sys, atiha_web; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("unwanted", [HTTP, SERVER, BROWSER], ids=["http", "server", "browser"])
def test_import_loads_none_of(imported: set[str], unwanted: set[str]) -> None:
    assert {name.partition(".")[0] for name in imported} & unwanted == set()


def test_import_does_not_load_our_server(imported: set[str]) -> None:
    assert "atiha_web.server" not in imported


def test_nobody_prints_what_is_logged_until_somebody_asks() -> None:
    code = "import logging, atiha_web; logging.getLogger('atiha_web').error('failed')"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("", "")


def test_public_names_are_sorted_and_there() -> None:
    def in_ruffs_order(name: str) -> tuple[bool, bool, str]:
        return (not name.isupper(), not name[0].isupper(), name)

    assert list(atiha_web.__all__) == sorted(set(atiha_web.__all__), key=in_ruffs_order)
    assert [name for name in atiha_web.__all__ if not hasattr(atiha_web, name)] == []


def test_public_names_come_from_the_modules_that_type_checkers_see() -> None:
    tree = ast.parse(Path(atiha_web.__file__).read_text("utf-8"))
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("atiha_web.")
        for alias in node.names
    }
    assert set(seen) == set(atiha_web.__all__)
    assert {name: f"atiha_web.{home}" for name, home in atiha_web._MODULE_OF.items()} == seen


def test_a_name_that_is_not_public_is_missed_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Clint'"):
        atiha_web.Clint  # type: ignore[attr-defined]  # noqa: B018 - asking is the test
    assert set(atiha_web.__all__) <= set(dir(atiha_web))


def test_wheel_holds_the_whole_package_and_nothing_else(wheel_names: set[str]) -> None:
    package = (p for p in (ROOT / "atiha_web").rglob("*") if "__pycache__" not in p.parts)
    sources = {p.relative_to(ROOT).as_posix() for p in package if p.is_file()}
    assert {n for n in wheel_names if not re.search(r"\.(dist-info|data)/", n)} == sources


def test_wheel_installs_an_extension_of_jupyterlab_and_nothing_else(wheel_names: set[str]) -> None:
    folder = "data/share/jupyter/labextensions/atiha-web"
    installed = {n.partition(".data/")[2] for n in wheel_names if ".data/" in n}
    assert installed == {
        f"{folder}/install.json",
        f"{folder}/package.json",
        f"{folder}/static/bridge.js",
        f"{folder}/static/remoteEntry.js",
        f"{folder}/static/serve.js",
    }


def test_the_extension_has_the_version_of_the_package() -> None:
    manifest = ROOT / "atiha_web" / "js" / "labextension" / "package.json"
    assert json.loads(manifest.read_text("utf-8"))["version"] == version("atiha-web")


def test_scripts_and_python_agree_on_the_version_of_the_bridge() -> None:
    found = {
        name: re.findall(r"(?i:version)(?: =|:) (\d+)", (ROOT / "atiha_web" / name).read_text())
        for name in ("js/bridge.js", "js/serve.js", "backends/bridge.py")
    }
    assert set(map(tuple, found.values())) == {(found["js/serve.js"][0],)}, found


@pytest.mark.parametrize("name", ["py.typed", "js/bridge.js", "js/serve.js"])
def test_wheel_holds_what_is_no_python(wheel_names: set[str], name: str) -> None:
    assert f"atiha_web/{name}" in wheel_names


def test_wheel_holds_the_migrations(wheel_names: set[str]) -> None:
    pattern = re.compile(r"atiha_web/server/migrations/versions/\w+\.py")
    assert any(map(pattern.fullmatch, wheel_names))


def test_installed_version_is_the_one_in_the_wheel(site: Site) -> None:
    assert site.wheel.name.startswith(f"atiha_web-{version('atiha-web')}-")


def test_npm_lock_file_names_the_pinned_versions() -> None:
    lock = json.loads(pins.PACKAGE_LOCK.read_text("utf-8"))["packages"]
    assert lock[""]["dependencies"] == pins.npm_pins()
    assert pins.npm_pins() == {
        name: lock[f"node_modules/{name}"]["version"] for name in pins.npm_pins()
    }


def test_npm_lock_file_leaves_the_registry_to_npm() -> None:
    # Made with `npm install --package-lock-only --omit-lockfile-registry-resolved`.
    lock = json.loads(pins.PACKAGE_LOCK.read_text("utf-8"))["packages"]
    assert [name for name, entry in lock.items() if "resolved" in entry] == []


def test_wheels_are_pinned_once() -> None:
    assert not pins.wheel_pins(pins.WHEELS).keys() & pins.wheel_pins(pins.TEST_WHEELS).keys()


def test_pytest_is_the_same_here_and_in_pyodide() -> None:
    assert pins.wheel_pins(pins.TEST_WHEELS)["pytest"] == version("pytest")


def test_no_other_file_names_another_version_of_pyodide() -> None:
    pinned = pins.npm_pins()["pyodide"]
    series = re.compile(rf"\b{pinned.partition('.')[0]}\.\d+\.\d+\b")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    named = {
        (name, found)
        for name in files.split("\0")
        if (ROOT / name).is_file()
        for found in series.findall((ROOT / name).read_text("utf-8", "ignore"))
    }
    assert {found for _, found in named} == {pinned}, named
