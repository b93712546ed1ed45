"""What the browsers of the tests talk to: a same-origin server and a proxy that refuses."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from pytest_pyodide.server import DefaultHandler


@dataclass(frozen=True)
class Request:
    """A request as it arrived; `path` includes the query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """What a route answers."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Answer = Callable[[Request], Response]
Server = TypeVar("Server", bound=socketserver.BaseServer)


class OriginServer(ThreadingHTTPServer):
    """Serves a folder, pytest-pyodide's pages and, on the same origin, what a test wants answered.

    `routes` maps a method and a path without query to a function that answers in a thread of its
    own, so it may wait; `requests` holds what the routes were asked.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.routes: dict[tuple[str, str], Answer] = {}
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        """The origin."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(DefaultHandler):
    protocol_version = "HTTP/1.1"
    extensions_map = {  # noqa: RUF012 - the standard library declares it so
        **DefaultHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".whl": "application/zip",
    }
    server: OriginServer

    def __init__(self, connection: Any, address: Any, server: OriginServer) -> None:
        super().__init__(connection, address, server, directory=str(server.folder))

    def do_GET(self) -> None:  # noqa: N802 - the base class calls it so
        if not self._routed():
            super().do_GET()

    def do_POST(self) -> None:  # noqa: N802 - the base class calls it so
        if not self._routed():
            self.send_error(404)

    do_PATCH = do_PUT = do_DELETE = do_POST  # noqa: N815 - as above

    def log_message(self, *_: Any) -> None:
        """Say nothing: pytest shows what matters."""

    def _routed(self) -> bool:
        answer = self.server.routes.get((self.command, self.path.partition("?")[0]))
        if answer is None:
            return False
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, self.path, dict(self.headers), body)
        self.server.requests.append(request)
        self._send(answer(request))
        return True

    def _send(self, response: Response) -> None:
        try:
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body)
        except ConnectionError:
            # The client gave up waiting, which is what some tests want it to do.
            self.close_connection = True


# Chromium fetches the dictionary of its spelling checker once somebody types; no switch stops it.
SPELLING_DICTIONARY = "CONNECT redirector.gvt1.com:443 "


class RefusingProxy(socketserver.ThreadingTCPServer):
    """Refuses every request and remembers the first line of those a page may have made."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refusal)
        self.refused: list[str] = []

    @property
    def url(self) -> str:
        """What to give to a browser as its proxy."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Refusal(socketserver.StreamRequestHandler):
    server: RefusingProxy

    def handle(self) -> None:
        line = self.rfile.readline().decode("latin-1").strip()
        if not line.startswith(SPELLING_DICTIONARY):
            self.server.refused.append(line)
        self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nrefused")


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Run a server in a thread."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
