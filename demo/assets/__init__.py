"""Everything the browser gets, pinned and self-hosted.

`build()` returns a `Site`: a folder that never changes once it is there, to be served as it is.

    pyodide/        the Pyodide runtime, its wheels and ours, and a lock file that names them, so
                    that `loadPackage("atiha-web")` asks for nothing else; all but ours as bytecode,
                    and ours too by the lock file for notebooks
    wheels/         our own wheel, for `micropip.install(url)`; without the server, the test helpers
                    and what else a page cannot use, except for the target "test"
    vendor/         the files that `vendor` in demo/package.json lists, each under its own name
    manifest.json   `build`, a name that changes with any byte of the site; `pyodide`, `python` and
                    `wheel`; `files`, the size in bytes and the SHA-256 of each path above; `boot`,
                    the paths a page fetches to import `atiha_web`

`build_lab()` returns another such folder: JupyterLite, whose kernel gets Python from the first.

What comes from npm and PyPI is kept in `.cache/` by the pins that asked for it: a second build
needs no network. The command `python -m demo.assets` does the same and prints the folder.
"""

from demo.assets.errors import AssetError
from demo.assets.lab import build_lab
from demo.assets.site import Site, build

__all__ = ["AssetError", "Site", "build", "build_lab"]
