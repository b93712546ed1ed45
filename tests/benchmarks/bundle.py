"""Brings the peers from npm and bundles them for a page."""

import shutil
import subprocess
from pathlib import Path

from demo.assets import pins
from demo.assets.fetch import CACHE, new_folder

HERE = Path(__file__).parent
INPUTS = ("package.json", "package-lock.json", "peers.js")


def peers() -> Path:
    """The bundle, made anew when what goes into it changed."""
    final = CACHE / "benchmarks" / pins.digest(*(HERE / name for name in INPUTS))
    if not final.exists():
        with new_folder(final) as folder:
            for name in INPUTS:
                shutil.copy2(HERE / name, folder)
            _run(folder, "npm", "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit")
            _run(
                folder,
                "node_modules/.bin/esbuild",
                *("peers.js", "--bundle", "--minify", "--outfile=bundle.js", "--log-level=error"),
                *("--define:global=globalThis", "--define:process.env.NODE_ENV='production'"),
            )
    return final / "bundle.js"


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
