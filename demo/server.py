"""Serves the demo: the page, the API and, unless told of another, a PostgreSQL of its own."""

import argparse
import sys
from pathlib import Path

from starlette.responses import RedirectResponse

import atiha_web
from atiha_web.collections import BUILT_IN
from atiha_web.server import ServerError, create_app, open_database, serve
from demo.assets import AssetError, build, build_lab
from demo.lab_files import LabFiles
from demo.notes import NOTES
from demo.pyscript_files import PyScriptFiles
from demo.static_files import StaticFiles

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(atiha_web.__file__).parent / "js"
COMPRESSED = ROOT / ".cache" / "gzip"


def main() -> None:
    """Run until SIGINT or SIGTERM; print `ready: <url>` once the page and the API answer."""
    args = _arguments()
    try:
        site = build()
        page = StaticFiles(site.root, SCRIPTS, COMPRESSED)
        lab = LabFiles(build_lab(), page.forever("/pyodide/pyodide.mjs"), COMPRESSED)
        with open_database(args.database_url, args.data) as url:
            app = create_app(url, collections=[*BUILT_IN, NOTES])
            app.add_route("/lab", lambda _: RedirectResponse("/lab/"))
            app.mount("/lab", lab)
            app.add_route("/pyscript", lambda _: RedirectResponse("/pyscript/"))
            app.mount("/pyscript", PyScriptFiles(site.pyscript, COMPRESSED))
            app.mount("/", page)
            serve(app, port=args.port)
    except (AssetError, ServerError) as error:
        sys.exit(f"{error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="0 picks a free one")
    parser.add_argument(
        "--data",
        type=Path,
        default=ROOT / ".data",
        help="folder of the PostgreSQL that runs without --database-url",
    )
    parser.add_argument("--database-url", help="a PostgreSQL 14 or later to use")
    return parser.parse_args()


if __name__ == "__main__":
    main()
