"""Brings what the pins name into the cache, through npm and pip as they are set up here."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from demo.assets import pins
from demo.assets.errors import AssetError
from demo.assets.progress import Steps, shown_steps
from demo.assets.slim import slim

CACHE = pins.ROOT / ".cache"


@contextmanager
def exclusively() -> Iterator[Steps]:
    """The steps of a build, while no other process builds in this checkout."""
    CACHE.mkdir(exist_ok=True)
    with FileLock(CACHE / "lock"), shown_steps() as steps:
        yield steps


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """A folder to fill that becomes `final` at once, and only if nothing went wrong."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=final.parent) as scratch:
        filling = Path(scratch) / final.name
        filling.mkdir()
        yield filling
        filling.rename(final)


def npm_packages(steps: Steps) -> Path:
    """The folder `node_modules` with what demo/package.json pins."""
    wanted = pins.npm_pins()
    final = CACHE / "npm" / pins.digest(json.dumps(wanted), pins.PACKAGE_LOCK)
    if not final.exists():
        what = f"Pyodide {wanted['pyodide']} and {len(wanted) - 1} more from npm"
        with steps.step(what), new_folder(final) as folder:
            for file in (pins.PACKAGE_JSON, pins.PACKAGE_LOCK):
                shutil.copy2(file, folder)
            options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
            run([_npm(), "ci", *options], folder, "npm")
    return final / "node_modules"


def wheels(steps: Steps, requirements: Path, python: str, abi: str) -> list[Path]:
    """The wheels that a file of pins names.

    Args:
        steps: Where to show the progress.
        requirements: A file of `name==version` lines that lists all needs of each package.
        python: The version of Python in Pyodide, such as 3.14.2.
        abi: Pyodide's ABI, such as 2026_0.
    """
    final = CACHE / "wheels" / pins.digest(requirements, python, abi)
    if not final.exists():
        count = len(pins.wheel_pins(requirements))
        what = f"{count} wheels from PyPI"
        with steps.step(what, count) as step, new_folder(final) as folder:
            # Needs are listed, not resolved: pip would evaluate their markers for this machine.
            command = [sys.executable, "-m", "pip", "download", "--no-deps"]
            command += ["--progress-bar=off", "--only-binary=:all:", *_tags(python, abi)]
            command += ["--requirement", str(requirements), "--dest", "."]

            def on_line(line: str) -> None:
                if line.startswith("Collecting "):
                    step.advance()

            run(command, folder, "pip", on_line)
    return sorted(final.glob("*.whl"))


def own_wheel(steps: Steps) -> Path:
    """Our own wheel, built again when a source file changed."""
    while True:
        sources = _sources_digest()
        final = CACHE / "own" / sources
        if not final.exists():
            command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
            with steps.step("Wheel of atiha_web"), new_folder(final) as folder:
                run([*command, "--directory", str(folder)], pins.ROOT, "hatchling")
        # A source saved during the build would make the folder's name a lie.
        if _sources_digest() == sources:
            return next(final.glob("*.whl"))
        shutil.rmtree(final)


def slim_wheel(wheel: Path) -> Path:
    """Our own wheel without what a page cannot use."""
    final = CACHE / "own" / pins.digest(wheel, Path(__file__).with_name("slim.py"))
    if not final.exists():
        with new_folder(final) as folder:
            slim(wheel, folder)
    return final / wheel.name


def _sources_digest() -> str:
    package = sorted((pins.ROOT / "atiha_web").rglob("*"))
    files = [f for f in package if f.is_file() and "__pycache__" not in f.parts]
    files += [f for f in (pins.ROOT / "pyproject.toml", pins.ROOT / "README.md") if f.exists()]
    parts: list[str | Path] = []
    for file in files:
        parts += [file.relative_to(pins.ROOT).as_posix(), file]
    return pins.digest(*parts)


def _tags(python: str, abi: str) -> list[str]:
    major, minor = python.split(".")[:2]
    tags = ["--python-version", f"{major}.{minor}", "--implementation", "cp"]
    tags += ["--abi", f"cp{major}{minor}", "--abi", "none"]
    return [*tags, "--platform", f"pyemscripten_{abi}_wasm32", "--platform", "any"]


def _npm() -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise AssetError("npm was not found: install Node.js 20 or later, which brings npm")
    return npm


def run(
    command: list[str], folder: Path, name: str, on_line: Callable[[str], None] = lambda _: None
) -> None:
    said: list[str] = []
    with subprocess.Popen(  # noqa: S603 - the commands are the ones above, without a shell
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            said.append(line)
            on_line(line)
    if process.returncode:
        raise AssetError(f"{name} failed; is there a network?\n\n{''.join(said[-30:])}")
