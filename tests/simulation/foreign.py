"""A REST server that knows nothing of this package: the seed's routes, with its own ids and times.

It keeps its first answer to each ``Idempotency-Key``. Of two releases one answers in the seed's
words, the other as tersely as REST allows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from atiha_web.backends.base import Request, Response
from atiha_web.collections import FILLED_IN, Collection, iso
from atiha_web.sync import hlc
from atiha_web.sync.calls import user_of
from atiha_web.sync.operation import RecordKey
from atiha_web.testing.fake_server import Fault
from tests.simulation.collections import BAD, CLIENT, WHOLE_BATCH
from tests.simulation.reference import PER_FIELD
from tests.simulation.server import SimulatedServer
from tests.simulation.violations import ViolationError

if TYPE_CHECKING:
    from tests.simulation.world import World

Row = dict[str, Any]
Said = tuple[str, str, bytes | None]
"""Method, URL and body of a request."""


@dataclass
class Books:
    """All that the server remembers, and that a backup of it holds."""

    rows: defaultdict[str, dict[RecordKey, Row]] = field(default_factory=lambda: defaultdict(dict))
    """By user."""
    answered: dict[str, tuple[Said, Response]] = field(default_factory=dict)
    """The first answer to each idempotency key."""
    effects: defaultdict[str, dict[RecordKey, list[str]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """The keys of what took effect on each record of a user, in order; empty for others' doing."""


class ForeignServer(SimulatedServer):
    """Answers REST by itself; accounts and sessions are those of the fake server."""

    def __init__(self, world: World, users: int) -> None:
        super().__init__(world, users)
        self.books = Books()

    def backup(self) -> Any:
        """See ``SimulatedServer``."""
        return deepcopy(self.books)

    def put_back(self, backup: Any, *, silently: bool) -> None:
        """See ``SimulatedServer``; no client is ever told."""
        del silently
        self.books = deepcopy(backup)

    def text_of_everything(self) -> str:
        """See ``SimulatedServer``."""
        return repr(self.books.rows)

    async def answer(self, request: Request) -> Response:
        """The reply to a request, the same one for the same key."""
        match [unquote(part) for part in urlsplit(request.url).path.split("/") if part]:
            case ["api", "users", user_id, *_]:
                return self._answer_rest(request, user_id)
        return await super().answer(request)

    def _answer_rest(self, request: Request, user_id: str) -> Response:
        if not self._is_allowed(request, user_id):
            return _json(401, {"error": "who are you?"})
        if request.method == "GET":
            return self._read(user_id, request)
        key = request.headers["idempotency-key"]
        said = request.method, request.url, request.body
        if key in self.books.answered:
            before, reply = self.books.answered[key]
            adopted = key in self._world.watch.forgotten and user_of(before[1]) != user_id
            if before != said and "memos" not in request.url and not adopted:
                # Memos are brought into their newest shape by pages of the next release. What two
                # heirs took over, as their device forgot the first, each of them says as their own.
                words = f"{key} was {before} before, and is {said}"
                self._world.broken(ViolationError(2, words))
            return reply
        reply = self._write(user_id, request, key)
        self.books.answered[key] = said, reply
        return reply

    # -- reading ---------------------------------------------------------------------------

    def _read(self, user_id: str, request: Request) -> Response:
        collection = declared_at(user_id, request.url)
        if collection is None:
            return _json(200, {"things": self.count_of(user_id, request.url)})
        rows = [row for record, row in self._of(user_id, collection).items()]
        if collection.single:
            person = {"id": user_id, "email": f"{user_id}@x.test", **(rows[0] if rows else {})}
            return _json(200, person if self.number == 1 else {"user": person})
        if self.number == 1:
            # What no client can read must stop nothing else.
            return _json(200, [*rows, None, {"of": "no key"}])
        return _json(200, {collection.rows_name: rows})

    def _of(self, user_id: str, collection: Collection) -> dict[RecordKey, Row]:
        rows = self.books.rows[user_id]
        return {record: row for record, row in rows.items() if record.collection == collection.name}

    def count_of(self, user_id: str, url: str) -> int:
        """How many records there are of something nobody declared."""
        path = urlsplit(url).path
        return sum(record.collection == path for record in self.books.rows[user_id])

    # -- writing ---------------------------------------------------------------------------

    def _write(self, user_id: str, request: Request, key: str) -> Response:
        collection = declared_at(user_id, request.url)
        parts = urlsplit(request.url)
        named, body = dict(parse_qsl(parts.query)), json.loads(request.body or b"{}")
        if collection is None:
            record = RecordKey(parts.path, str({**named, **body}.get("id", key)))
        else:
            told = named if request.method == "DELETE" else body
            name = user_id if collection.single else told.get(collection.key_alias)
            if name is None or (FILLED_IN | {"session"}) & body.keys():
                words = f"{request} says what only we know, or not what it is about"
                self._world.broken(ViolationError(1, words))
                return _json(422, {"error": "what is this about?"})
            record = RecordKey(collection.name, name)
        if body.get("text") in BAD:
            return _json(WHOLE_BATCH.get(body["text"], 422), {"error": "not that"})
        before = self.books.rows[user_id].get(record)
        self._world.watch.takes_effect(user_id, record, key, request)
        missing = before is None and collection is not None and not collection.single
        if missing and request.method in ("PATCH", "PUT"):
            return _json(404, {"error": "there is no such thing"})
        row = None if request.method == "DELETE" else self._row(record, body, before, request)
        self._set(user_id, record, row, key)
        if missing and request.method == "DELETE":
            return _json(
                410 if self.number == 1 else 404, {"error": "there is no such thing any more"}
            )
        if self.number == 1:
            return Response(204, {}, b"")
        return _json(201 if request.method == "POST" else 200, row or {"success": True})

    def _row(self, record: RecordKey, body: Row, before: Row | None, request: Request) -> Row:
        """What is stated, over what was there where that counts."""
        over = request.method == "PATCH" or record.collection in PER_FIELD
        told = {**(before or {}), **body} if over else dict(body)
        return {**told, **self._filled_in(before)}

    def _filled_in(self, before: Row | None) -> Row:
        now = iso(hlc.tick(self.now_ms(), ""))
        if self.number == 1:
            return {"timestamp": self.now_ms()}
        return {
            "id": (before or {}).get("id", f"cuid{self._world.number()}"),
            "createdAt": (before or {}).get("createdAt", now),
            "updatedAt": now,
        }

    def _set(self, user_id: str, record: RecordKey, row: Row | None, key: str) -> None:
        self.books.effects[user_id].setdefault(record, []).append(key)
        if row is None:
            self.books.rows[user_id].pop(record, None)
        else:
            self.books.rows[user_id][record] = row

    def others_write(self, user_id: str, key: str, review: str | None) -> None:
        """Somebody rates something, or takes that back, in another way."""
        record = RecordKey("ratings", key)
        before = self.books.rows[user_id].get(record)
        row = {"contentId": key, "rating": 3, "review": review, **self._filled_in(before)}
        self._set(user_id, record, None if review is None else row, "")

    def others_set(self, user_id: str, key: str) -> None:
        """Somebody chooses a color, in another way."""
        record = RecordKey("settings", key)
        before = self.books.rows[user_id].get(record, {"name": key})
        color = f"{user_id}/rest/{self._world.number()}"
        self._set(user_id, record, {**before, "color": color, **self._filled_in(before)}, "")

    # -- what others make of it ------------------------------------------------------------

    def held(self, user_id: str) -> dict[RecordKey, Row]:
        """What a client shows that has read everything: each row without what is filled in."""
        found = {
            RecordKey(name, key): plain(collection, row)
            for name, collection in CLIENT.items()
            for (_, key), row in self._of(user_id, collection).items()
        }
        person = {"email": f"{user_id}@x.test"}
        profile = RecordKey("profile", user_id)
        return {**found, profile: {**person, **found.get(profile, {})}}

    def changed_by(self, user_id: str, record: RecordKey) -> list[str]:
        """The keys of what changed a record, in order; empty for others' doing."""
        return self.books.effects[user_id].get(record, [])


REDIRECTED = Fault(
    acts=0,
    reply=Response(200, {"content-type": "application/json"}, b"[]", "/log-in"),
)
"""Somebody leads elsewhere, and there is a list."""
WORDLESS = Fault(acts=0, reply=Response(200, {"content-type": "application/json"}, b"{half"))
"""A reply that broke off."""


def declared_at(user_id: str, url: str) -> Collection | None:
    """The collection that a URL is about."""
    path = urlsplit(url).path
    return next((each for each in CLIENT.values() if each.endpoint(user_id) == path), None)


def plain(collection: Collection, data: Mapping[str, Any]) -> Row:
    """What is stated, without the key, what is filled in, and nothing said."""
    left_out = FILLED_IN | {collection.key_alias, "session", "timestamp"}
    kept = {name: value for name, value in data.items() if name not in left_out}
    if collection.is_partial:
        return {name: value for name, value in kept.items() if value != {}}
    return {name: value for name, value in kept.items() if value is not None}


def _json(status: int, value: object) -> Response:
    headers = {"content-type": "application/json; charset=utf-8"}
    return Response(status, headers, json.dumps(value).encode())
