"""Writes Pyodide's lock file for the wheels that are really shipped."""

import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from demo.assets.errors import AssetError

Entry = dict[str, Any]


def emscripten(python: str) -> dict[str, str]:
    """The values of environment markers inside a Pyodide with the given Python version."""
    return {
        "extra": "",
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": "wasm32",
        "platform_python_implementation": "CPython",
        "platform_system": "Emscripten",
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": "emscripten",
    }


def packages(wheels: Iterable[Path], python: str) -> dict[str, Entry]:
    """Entries by canonical name, each with the names it depends on inside Pyodide.

    Raises:
        AssetError: A need is not among the wheels or its version does not fit.
    """
    needs: dict[str, list[Requirement]] = {}
    entries: dict[str, Entry] = {}
    for wheel in sorted(wheels):
        name = canonicalize_name(parse_wheel_filename(wheel.name)[0])
        needs[name], entries[name] = _read(wheel, emscripten(python))
    for package, requirements in needs.items():
        _check(package, requirements, entries)
    return dict(sorted(entries.items()))


def with_needs(name: str, entries: Mapping[str, Entry]) -> list[str]:
    """The package and all it pulls, in the order of first mention."""
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop(0)
        if current not in found:
            found[current] = None
            waiting += entries[current]["depends"]
    return list(found)


def sha256(path: Path) -> str:
    """The hash of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(wheel: Path, environment: dict[str, str]) -> tuple[list[Requirement], Entry]:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(n for n in names if n.endswith(".dist-info/METADATA"))
        headers = Parser().parsestr(archive.read(metadata).decode())
    declared = [Requirement(text) for text in headers.get_all("Requires-Dist", [])]
    needed = [r for r in declared if r.marker is None or r.marker.evaluate(environment)]
    entry: Entry = {
        "depends": sorted(canonicalize_name(r.name) for r in needed),
        "file_name": wheel.name,
        "imports": _imports(names),
        "install_dir": "site",
        "name": headers["Name"],
        "package_type": "package",
        "sha256": sha256(wheel),
        "unvendored_tests": False,
        "version": headers["Version"],
    }
    return needed, entry


def _imports(names: Iterable[str]) -> list[str]:
    """The top-level modules and packages of a wheel."""
    tops = {name.split("/")[0] for name in names}
    without_data = {top for top in tops if not top.endswith((".dist-info", ".data"))}
    return sorted(re.sub(r"\.pyc?$", "", top) for top in without_data)


def _check(name: str, requirements: Iterable[Requirement], entries: Mapping[str, Entry]) -> None:
    for requirement in requirements:
        entry = entries.get(canonicalize_name(requirement.name))
        if entry is None:
            raise AssetError(f"{name} needs {requirement.name}: pin it beside {name}")
        if not requirement.specifier.contains(entry["version"], prereleases=True):
            version = entry["version"]
            raise AssetError(f"{name} needs {requirement}, but {version} is pinned: change the pin")
        if requirement.extras:
            raise AssetError(f"{name} needs {requirement}: extras are not resolved")
