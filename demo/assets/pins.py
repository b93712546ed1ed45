"""Reads the pins: versions from npm, wheels from PyPI, and what pyproject.toml installed here."""

import hashlib
import importlib.metadata
import json
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_JSON = ROOT / "demo" / "package.json"
PACKAGE_LOCK = ROOT / "demo" / "package-lock.json"
WHEELS = ROOT / "demo" / "requirements-pyodide.txt"
NOTEBOOK_WHEELS = ROOT / "demo" / "requirements-notebook.txt"
TEST_WHEELS = ROOT / "tests" / "browser" / "requirements-pyodide.txt"


def npm_pins() -> dict[str, str]:
    """Versions by npm package name."""
    pins: dict[str, str] = json.loads(PACKAGE_JSON.read_text("utf-8"))["dependencies"]
    return pins


def vendored() -> list[str]:
    """Files inside `node_modules` that the site serves as they are, in its folder `vendor/`."""
    files: list[str] = json.loads(PACKAGE_JSON.read_text("utf-8"))["vendor"]
    return files


def wheel_pins(path: Path) -> dict[str, str]:
    """Versions by canonical package name, from a file of `name==version` lines."""
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    requirements = [Requirement(line) for line in lines if line]
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in requirements}


def installed(*packages: str) -> list[str]:
    """The versions of packages that are installed here."""
    return [importlib.metadata.version(name) for name in packages]


def digest(*parts: str | bytes | Path) -> str:
    """A short name for the given texts and the contents of the given files."""
    total = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part
        data = content.encode() if isinstance(content, str) else content
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()[:16]
