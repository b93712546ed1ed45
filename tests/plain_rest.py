"""A REST backend that has the seed's routes, Prisma-shaped rows, and no knowledge of us."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from atiha_web.backends.base import Request, Response
from atiha_web.testing.fake_server import FakeServer

LIST_NAMES = {
    "watch-history": "history",
    "watchlist": "watchlist",
    "favorites": "favorites",
    "ratings": "ratings",
}
COLUMNS = {
    "contentId",
    "contentType",
    "title",
    "progress",
    "duration",
    "completed",
    "watchedAt",
    "rating",
    "review",
}


class PlainRest(FakeServer):
    """Answers by itself; only the scripting of faults is borrowed.

    A request whose ``Idempotency-Key`` was seen gets the first answer again.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.tables: dict[str, dict[str, dict[str, Any]]] = {}
        """Rows by path and content id."""
        self.people: dict[str, dict[str, Any]] = {}
        self.effects: list[tuple[str, str, str]] = []
        """What took effect: method, path, and content id where there is one."""
        self._answered: dict[str, Response] = {}
        self._numbers = count(1)

    def rows_at(self, path: str) -> list[dict[str, Any]]:
        """The rows of a list, oldest first."""
        return list(self.tables.get(path, {}).values())

    def sent(self, method: str = "") -> list[tuple[str, str]]:
        """Method and path of the requests that left the device, of one method or all but GET."""
        return [
            (each.method, urlsplit(each.url).path)
            for each in self.requests
            if (each.method == method if method else each.method != "GET")
        ]

    async def answer(self, request: Request) -> Response:
        """The reply, the same for the same key."""
        key = request.headers.get("idempotency-key")
        if key in self._answered:
            return self._answered[key]
        reply = self._act(request)
        if key is not None and reply.status < 500:
            self._answered[key] = reply
        return reply

    def _act(self, request: Request) -> Response:
        parts = urlsplit(request.url)
        path = unquote(parts.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = json.loads(request.body) if request.body else {}
        pieces = path.strip("/").split("/")
        if pieces[:2] == ["api", "users"] and len(pieces) == 3:
            return self._person(request.method, pieces[2], body)
        if pieces[:2] == ["api", "users"] and pieces[-1] in LIST_NAMES:
            return self._list(request.method, path, pieces, body, query)
        if request.method == "GET" and path in self.documents:
            return reply(200, self.documents[path])
        if path.startswith("/api/free"):
            self.effects.append((request.method, path, str(body.get("id", query.get("id", "")))))
            return reply(200, {"ok": True})
        return reply(404, {"error": "no such route"})

    def _person(self, method: str, user_id: str, body: Mapping[str, Any]) -> Response:
        person = self.people.setdefault(user_id, {"id": user_id, "email": f"{user_id}@x.test"})
        if method == "PATCH":
            self.effects.append((method, f"/api/users/{user_id}", ""))
            person.update(body, updatedAt=self._now())
        elif method != "GET":
            return reply(405, {"error": "method not allowed"})
        return reply(200, {"user": person})

    def _list(
        self,
        method: str,
        path: str,
        pieces: list[str],
        body: dict[str, Any],
        query: Mapping[str, str],
    ) -> Response:
        table = self.tables.setdefault(path, {})
        if method == "GET":
            return reply(200, {LIST_NAMES[pieces[-1]]: list(table.values())})
        key = query.get("contentId") if method == "DELETE" else body.get("contentId")
        if key is None or not set(body) <= COLUMNS:
            return reply(422, {"error": f"bad members: {sorted(set(body) - COLUMNS)}"})
        if method in ("DELETE", "PATCH") and key not in table:
            return reply(404, {"error": "no such row"})
        self.effects.append((method, path, key))
        if method == "DELETE":
            del table[key]
            return reply(200, {"success": True})
        now = self._now()
        old = table.get(key, {"id": f"cuid{next(self._numbers)}", "createdAt": now})
        if method == "PUT":
            old = {"id": old["id"], "createdAt": old["createdAt"]}
        table[key] = {**old, "userId": pieces[2], **body, "updatedAt": now}
        return reply(201 if method == "POST" else 200, table[key])

    def _now(self) -> str:
        moment = datetime.fromtimestamp(self.now_ms() / 1000, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def reply(status: int, value: object, headers: Mapping[str, str] | None = None) -> Response:
    """A reply in JSON."""
    known = {"content-type": "application/json; charset=utf-8", **(headers or {})}
    return Response(status, known, json.dumps(value).encode())


@contextmanager
def serve(rest: PlainRest) -> Iterator[str]:
    """Serve it over HTTP on 127.0.0.1; yields the origin."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))) or None
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            rest.requests.append(request)
            fault = rest.next_fault(request)
            answers = [asyncio.run(rest.answer(request)) for _ in range(fault.acts)]
            found = fault.reply or (answers[-1] if answers else None)
            if fault.lost or found is None:
                self.close_connection = True
                return
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815 - names of the standard library

        def log_message(self, *_: object) -> None:
            """Say nothing: the tests look at what was asked."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
