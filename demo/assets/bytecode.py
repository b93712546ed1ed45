"""Compiles what pages import: Python then starts in a third of the time.

Pyodide's own library and wheels come as sources, which each start of each page would compile. Only
the Python they are for can do it before, so that one is started under Node.js.
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from demo.assets import fetch, pins, slim
from demo.assets.errors import AssetError
from demo.assets.progress import Steps

COMPILER = Path(__file__).with_name("compiler.py")
SCRIPT = Path(__file__).with_name("compile.mjs")


def compiled(steps: Steps, runtime: Path, python: str, archives: Iterable[Path]) -> list[Path]:
    """The archives with bytecode, under the same names, from the cache or made now.

    Args:
        steps: Where to show the progress.
        runtime: Pyodide's folder.
        python: The version of Python in it, such as 3.14.2.
        archives: Wheels, and the standard library as Pyodide brings it.

    Raises:
        AssetError: Node.js is missing, or could not compile them.
    """
    found = {archive: _place(archive, runtime) for archive in archives}
    missing = {archive: final for archive, final in found.items() if not final.exists()}
    if missing:
        with (
            steps.step(f"Bytecode of {len(missing)} archives", len(missing)) as step,
            tempfile.TemporaryDirectory(dir=fetch.CACHE) as scratch,
        ):
            made = Path(scratch)
            wanted = [
                (str(archive), str(made / archive.name), imported_from(archive, python))
                for archive in missing
            ]
            (made / "wanted.json").write_text(json.dumps(wanted), "utf-8")
            command = [_node(), str(SCRIPT), str(runtime), str(COMPILER), str(made / "wanted.json")]
            fetch.run(command, pins.ROOT, "node", lambda _: step.advance())
            for archive, final in missing.items():
                with fetch.new_folder(final) as folder:
                    _finish(made / archive.name, folder / archive.name)
    return [final / archive.name for archive, final in found.items()]


def imported_from(archive: Path, python: str) -> str:
    """Where Pyodide has the files of an archive."""
    major, minor = python.split(".")[:2]
    if archive.suffix == ".whl":
        return f"/lib/python{major}.{minor}/site-packages"
    return f"/lib/python{major}{minor}.zip"


def _place(archive: Path, runtime: Path) -> Path:
    makers = (COMPILER, SCRIPT, Path(__file__), Path(slim.__file__))
    return fetch.CACHE / "compiled" / pins.digest(archive, runtime / "package.json", *makers)


def _finish(made: Path, final: Path) -> None:
    """A wheel's record names what is in it."""
    if made.suffix != ".whl":
        shutil.copyfile(made, final)
        return
    with zipfile.ZipFile(made) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    slim.write(files, final, zipfile.ZIP_STORED)


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        raise AssetError("node was not found: install Node.js 20 or later")
    return node
