"""The API, the page of the benchmarks, and a server that stores nothing, as one process."""

import argparse
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import atiha_web
from atiha_web.server import create_app, serve

HERE = Path(__file__).parent
SCRIPTS = Path(atiha_web.__file__).parent / "js"


async def sink(request: Request) -> JSONResponse:
    """Take whatever comes; answer what RxDB takes for "no conflict"."""
    await request.body()
    return JSONResponse([])


def main() -> None:
    """Print `ready: <url>`, then serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--pyodide", required=True, type=Path)
    parser.add_argument("--peers", required=True, type=Path)
    args = parser.parse_args()
    files = Starlette(
        routes=[
            Route("/sink", sink, methods=["POST"]),
            Mount("/atiha", StaticFiles(directory=SCRIPTS)),
            Route("/benchmarks/peers.js", lambda _: FileResponse(args.peers)),
            Mount("/benchmarks", StaticFiles(directory=HERE)),
            Mount("/pyodide", StaticFiles(directory=args.pyodide)),
        ]
    )
    app = create_app(args.database_url)
    app.mount("/", files)
    serve(app, port=0)


if __name__ == "__main__":
    main()
