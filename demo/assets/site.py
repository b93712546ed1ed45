"""Puts the fetched parts together into one folder that a server can serve as it is."""

import json
import os
import shutil
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from demo.assets import bytecode, fetch, lab, lock, pins
from demo.assets.progress import Steps

LIBRARY = "python_stdlib.zip"
RUNTIME = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm")
DAY = 24 * 60 * 60

Target = Literal["demo", "test"]


@dataclass(frozen=True)
class Site:
    """A finished site: its folder and what stands in it."""

    root: Path

    @property
    def pyodide(self) -> Path:
        """The folder to give to Pyodide as `indexURL`."""
        return self.root / "pyodide"

    @property
    def pyscript(self) -> Path:
        """The folder of PyScript's own files."""
        return self.root / "pyscript"

    @property
    def manifest(self) -> dict[str, Any]:
        """What `manifest.json` says."""
        manifest: dict[str, Any] = json.loads((self.root / "manifest.json").read_text("utf-8"))
        return manifest

    @property
    def wheel(self) -> Path:
        """Our own wheel; that of a demo is the page's, see `slim`."""
        return next((self.root / "wheels").glob("atiha_web-*.whl"))


def build(target: Target = "demo") -> Site:
    """Build the site, or find it built; safe to call from several processes.

    Args:
        target: "demo" is what the page needs; "test" adds pytest, what that needs in Pyodide, and
            what pages do without in our own wheel.

    Raises:
        AssetError: Something is missing here, or could not be fetched.
    """
    with fetch.exclusively() as steps:
        node_modules = fetch.npm_packages(steps)
        upstream = json.loads((node_modules / "pyodide" / "pyodide-lock.json").read_text("utf-8"))
        whole = fetch.own_wheel(steps)
        own = fetch.slim_wheel(whole) if target == "demo" else whole
        runtime, python = node_modules / "pyodide", upstream["info"]["python"]
        archives = [runtime / LIBRARY, *_wheels(steps, target, upstream["info"])]
        library, *wheels = bytecode.compiled(steps, runtime, python, archives)
        # Ours is three times as large then: a notebook gets it so, a page does not.
        [compiled] = bytecode.compiled(steps, runtime, python, [own])
        wheels.insert(0, own)
        builder = sorted(Path(__file__).parent.glob("*.py"))
        parts = (pins.PACKAGE_JSON, pins.PACKAGE_LOCK, library, *sorted(wheels), compiled, *builder)
        root = fetch.CACHE / "site" / f"{target}-{pins.digest(*parts)}"
        if not root.exists():
            with steps.step("Site"), fetch.new_folder(root) as folder:
                _assemble(folder, node_modules, library, wheels, compiled, upstream)
        for used in (whole.parent, own.parent, compiled.parent, root):
            os.utime(used)
        _prune()
    return Site(root)


def _wheels(steps: Steps, target: Target, info: dict[str, str]) -> list[Path]:
    wheels = fetch.wheels(steps, pins.WHEELS, info["python"], info["abi_version"])
    if target == "demo":
        wheels += lab.kernel_wheels(steps, info["python"], info["abi_version"])
    else:
        wheels += fetch.wheels(steps, pins.TEST_WHEELS, info["python"], info["abi_version"])
    return wheels


def _assemble(
    folder: Path,
    node_modules: Path,
    library: Path,
    wheels: list[Path],
    compiled: Path,
    upstream: dict[str, Any],
) -> None:
    own = wheels[0]
    runtime = [*(node_modules / "pyodide" / name for name in RUNTIME), library]
    for file in (*runtime, *wheels):
        _place(file, folder / "pyodide" / file.name)
    for path in pins.vendored():
        _place(node_modules / path, folder / "vendor" / Path(path).name)
    for pattern in ("*.js", "*.css"):
        for file in (node_modules / "@pyscript" / "core" / "dist").glob(pattern):
            _place(file, folder / "pyscript" / file.name)
    _place(own, folder / "wheels" / own.name)
    entries = lock.packages(wheels, upstream["info"]["python"])
    _write_json(folder / "pyodide" / "pyodide-lock.json", {**upstream, "packages": entries})
    _place(compiled, folder / "pyodide" / "compiled" / compiled.name)
    quick = {"file_name": f"compiled/{compiled.name}", "sha256": lock.sha256(compiled)}
    notebooks = {**entries, "atiha-web": {**entries["atiha-web"], **quick}}
    _write_json(folder / "pyodide" / "notebook-lock.json", {**upstream, "packages": notebooks})
    files = {
        file.relative_to(folder).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": lock.sha256(file),
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    booted = [entries[name]["file_name"] for name in lock.with_needs("atiha-web", entries)]
    manifest = {
        "build": pins.digest(json.dumps(files)),
        "pyodide": pins.npm_pins()["pyodide"],
        "python": upstream["info"]["python"],
        "wheel": f"wheels/{own.name}",
        "boot": [f"pyodide/{name}" for name in (*RUNTIME, LIBRARY, "pyodide-lock.json", *booted)],
        "files": files,
    }
    _write_json(folder / "manifest.json", manifest)


def _place(source: Path, target: Path) -> None:
    """Link a cached file, which nothing ever changes, or copy it where links are not to be had."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", "utf-8")


def _prune() -> None:
    """Remove what no build used for a day; a younger site may be served right now."""
    old = time.time() - DAY
    kinds = [(fetch.CACHE / kind).glob("*") for kind in ("own", "site", "lab")]
    compiled = (wheel.parent for wheel in fetch.CACHE.glob("compiled/*/atiha_web-*.whl"))
    for folder in chain(*kinds, compiled):
        if folder.stat().st_mtime < old:
            shutil.rmtree(folder)
