"""A small HTTP server whose answers the checks of ``Transport`` know."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

DRIP_SECONDS = 0.05
ETAG = '"1"'


class ContractServer:
    """Answers on a free port of 127.0.0.1, as a context manager, from threads of its own.

    Every answer may be read by a page of any origin (CORS), so that the checks run in browsers.
    ``/describe`` tells method, path and headers of the request as JSON; ``/body`` sends its body
    back; ``/status/N`` has that status; ``/redirect`` leads to ``/describe``; ``/tagged`` has an
    ETag; ``/cookie`` sets a cookie; ``/gzip`` is compressed. ``/hang`` never answers, ``/drip``
    answers without an end, ``/broken`` breaks off within the body, ``/drop`` before the first byte.
    """

    def __init__(self) -> None:
        self._server = _Server()
        self._taken = socket.socket()
        self._taken.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}
        )

    @property
    def url(self) -> str:
        """The origin, without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def dead_url(self) -> str:
        """A URL that refuses connections: its port is taken and nobody listens."""
        return f"http://127.0.0.1:{self._taken.getsockname()[1]}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._taken.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.closing = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            # The client went away, which some checks mean to do.
            self.close_connection = True

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        if path == "/body":
            self._send(200, body, {"Content-Type": "application/octet-stream"})
        elif path.startswith("/status/"):
            self._send(int(path.removeprefix("/status/")), f"body of {path}".encode())
        else:
            answer = getattr(self, f"answer_{path.lstrip('/')}", self.answer_missing)
            answer()

    do_DELETE = do_PATCH = do_POST = do_PUT = do_GET  # noqa: N815 - names of the standard library

    def do_OPTIONS(self) -> None:
        """Let a page of another origin send what it likes."""
        self._send(204, headers=dict.fromkeys(_ALLOWED, "*"))

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Expose-Headers", "*")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: the checks tell what went wrong."""

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status not in (204, 304):
            self.wfile.write(body)

    def answer_missing(self) -> None:
        self._send(404)

    def answer_describe(self) -> None:
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
        }
        self._send(200, json.dumps(seen).encode(), {"X-Answer-Header": "Value With Case"})

    def answer_cookie(self) -> None:
        self._send(204, headers={"Set-Cookie": "session=secret; HttpOnly; Path=/"})

    def answer_redirect(self) -> None:
        self._send(302, headers={"Location": "/describe?redirected"})

    def answer_tagged(self) -> None:
        known = self.headers.get("If-None-Match") == ETAG
        self._send(304 if known else 200, b"tagged", {"ETag": ETAG})

    def answer_gzip(self) -> None:
        self._send(200, gzip.compress(b"plain text"), {"Content-Encoding": "gzip"})

    def answer_hang(self) -> None:
        self.server.closing.wait()
        self.close_connection = True

    def answer_drip(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.server.closing.wait(DRIP_SECONDS):
            self.wfile.write(b".")

    def answer_broken(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"the first part")

    def answer_drop(self) -> None:
        self.close_connection = True


_ALLOWED = ("Access-Control-Allow-Headers", "Access-Control-Allow-Methods")
