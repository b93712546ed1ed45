"""Builds JupyterLite with the notebook, as a folder to be served below /lab.

Pyodide and all wheels stay where the page has them, so that who has seen the page has them cached.
"""

import json
import os
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from demo.assets import fetch, pins, slim
from demo.assets.progress import Steps

CONFIGURATION = pins.ROOT / "demo" / "lab"
NOTEBOOKS = pins.ROOT / "demo" / "notebook"
EXTENSIONS = Path(sysconfig.get_path("data")) / "share" / "jupyter" / "labextensions"
KERNEL = EXTENSIONS / "@jupyterlite" / "pyodide-kernel-extension"
INSTALLED = ".data/data/share/jupyter/labextensions/"
LEFT_OUT = {
    # 4,800 files that describe packages which are not here: seven eighths of a kernel's files.
    "jedi": ("jedi/third_party/typeshed/stubs/", "jedi/third_party/django-stubs/"),
}
JUPYTERLITE = ("jupyterlite-core", "jupyterlite-pyodide-kernel")


def kernel_wheels(steps: Steps, python: str, abi: str) -> list[Path]:
    """The wheels that a notebook's kernel needs beside the page's; arguments as of fetch.wheels."""
    pinned = fetch.wheels(steps, pins.NOTEBOOK_WHEELS, python, abi)
    kernel = (KERNEL / "static" / "pypi").glob("*.whl")
    # This one stands in for a package that needs a server, and comes in two versions.
    own = [wheel for wheel in kernel if not wheel.name.startswith("widgetsnbextension")]
    return [_unpacked_soon(wheel) for wheel in pinned] + sorted(own)


def _unpacked_soon(wheel: Path) -> Path:
    """The wheel without files that no notebook needs; each start of a kernel unpacks it."""
    name = wheel.name.partition("-")[0]
    if name not in LEFT_OUT:
        return wheel
    final = fetch.CACHE / "wheels" / pins.digest(wheel, Path(slim.__file__), *LEFT_OUT[name])
    if not final.exists():
        with fetch.new_folder(final) as folder:
            slim.without(wheel, LEFT_OUT[name], folder)
    return final / wheel.name


def build_lab() -> Path:
    """Build the folder, or find it built; safe to call from several processes.

    Raises:
        AssetError: It could not be built.
    """
    with fetch.exclusively() as steps:
        extension = _own_extension(fetch.own_wheel(steps))
        parts: list[str | bytes | Path] = [*pins.installed(*JUPYTERLITE), *_inputs()]
        parts += [part for file in sorted(extension.items()) for part in file]
        final = fetch.CACHE / "lab" / pins.digest(*parts)
        if not final.exists():
            with steps.step("JupyterLite"), fetch.new_folder(final) as folder:
                _build(folder, extension)
                _add_notebooks(folder)
        os.utime(final)
    return final


def _inputs() -> list[Path]:
    return [Path(__file__), *sorted(CONFIGURATION.iterdir()), *sorted(NOTEBOOKS.glob("*.ipynb"))]


def _own_extension(wheel: Path) -> dict[str, bytes]:
    """What pip would install of our wheel into JupyterLab's folder of extensions."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name.partition(INSTALLED)[2]: archive.read(name)
            for name in archive.namelist()
            if INSTALLED in name
        }


def _build(folder: Path, extension: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "project"
        shutil.copytree(CONFIGURATION, project)
        for name, content in extension.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_bytes(content)
        build = {
            "apps": ["lab"],
            "federated_extensions": [str(KERNEL), "atiha-web"],
            # What else is installed here is not pinned.
            "ignore_sys_prefix": True,
            "no_sourcemaps": True,
            "no_unused_shared_packages": True,
            "output_dir": str(folder),
        }
        configuration = json.dumps({"LiteBuildConfig": build})
        (project / "jupyter_lite_config.json").write_text(configuration, "utf-8")
        command = [sys.executable, "-W", "ignore", "-m", "jupyterlite_core", "build"]
        fetch.run(command, project, "jupyterlite")
    index = folder / "lab" / "index.html"
    # Without it the browser asks for /favicon.ico, which is not JupyterLab's to have.
    linked = index.read_text("utf-8").replace(
        "<head>", '<head><link rel="icon" href="favicon.ico">'
    )
    index.write_text(linked, "utf-8")


def _add_notebooks(folder: Path) -> None:
    """What JupyterLite does itself where jupyter-server is installed: twenty packages for this."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    unread = dict.fromkeys(("content", "format", "mimetype", "hash", "hash_algorithm"))
    common = {"created": now, "last_modified": now, "writable": True, **unread}
    (folder / "files").mkdir()
    listed = []
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        shutil.copyfile(notebook, folder / "files" / notebook.name)
        told = {"name": notebook.name, "path": notebook.name, "size": notebook.stat().st_size}
        listed.append({**common, **told, "type": "notebook"})
    root = {"name": "", "path": "", "type": "directory", "size": None, "format": "json"}
    contents = folder / "api" / "contents"
    contents.mkdir(parents=True, exist_ok=True)
    (contents / "all.json").write_text(json.dumps({**common, **root, "content": listed}), "utf-8")
