"""The origin of the page of the checks: page, demo and API, and a switch that turns it off."""

import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

import demo.server
import demo.static_files
from atiha_web.server import create_app
from demo.assets import Site
from demo.assets.fetch import CACHE
from tests.server.fixtures import running

PAGE = Path(__file__).parent / "page"
HARNESS = Path(__file__).parents[1] / "browser" / "page_harness.py"
ARRIVAL_SECONDS = 3.0


class Origin:
    """Serves all that the page of the checks needs on one port of 127.0.0.1, in this process.

    Its `control` is the URL of a second server, at which a POST to /stop and /start closes and
    opens that port.
    """

    def __init__(self, database_url: str, site: Site) -> None:
        self._database_url = database_url
        self._demo = demo.static_files.StaticFiles(site.root, demo.server.SCRIPTS, CACHE / "gzip")
        self._outlived = threading.Event()
        self._running = ExitStack()
        self._control = _Control(self)
        self.url = self._start()

    def __enter__(self) -> Self:
        self._control.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self.stop()

    @property
    def control(self) -> str:
        """The URL of the switch."""
        return f"http://127.0.0.1:{self._control.server_port}"

    def stop(self) -> None:
        """Let every connection to the origin be refused."""
        self._running.close()

    def start(self) -> None:
        """Answer again, on the same port."""
        self._start(int(self.url.rpartition(":")[2]))

    def _start(self, port: int = 0) -> str:
        return self._running.enter_context(running(self._app(), port))

    def _app(self) -> FastAPI:
        app = create_app(self._database_url)
        app.add_route("/engines/last", self._last, methods=["GET", "POST"])
        app.add_route("/engines/page_harness.py", _harness)
        app.mount("/engines", StaticFiles(directory=PAGE, html=True))
        app.mount("/", self._demo)
        return app

    def _last(self, request: Request) -> Response:
        """Take what a page sends last; tell whether it came. Runs in a thread of its own."""
        if request.method == "GET":
            return Response(status_code=200 if self._outlived.wait(ARRIVAL_SECONDS) else 404)
        if request.url.query == "outlives":
            self._outlived.set()
        return Response(status_code=204)


async def _harness(_: Request) -> Response:
    return FileResponse(HARNESS, media_type="text/plain")


class _Control(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, origin: Origin) -> None:
        super().__init__(("127.0.0.1", 0), _Switch)
        self.origin = origin
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    def close(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


class _Switch(BaseHTTPRequestHandler):
    server: _Control

    def do_POST(self) -> None:
        {"/stop": self.server.origin.stop, "/start": self.server.origin.start}[self.path]()
        self.send_response(204)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: the page tells what went wrong."""
