"""The server in memory, behind as bad a network as a test wants: for tests of apps.

Sync requests are decided by the very functions the real server runs; needs the ``[server]`` extra
only where those need it, and no database. With pytest-asyncio::

    from atiha_web.testing.fake_server import FakeDevice, FakeServer, lost_reply

    async def test_a_rating_survives_a_lost_reply():
        server = FakeServer()
        phone = FakeDevice(server)
        async with atiha_web.connect(backend=phone.backend(), user_id="ann") as client:
            server.fail_next(lost_reply())
            write = await client.profiles.add_rating("ann", "m1", 5)
            await write.saved("server")
        assert [row["rating"] for row in await server.rows_of("ann", "ratings")] == [5]
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import ValidationError

from atiha_web.backends.base import Backend, Request, Response
from atiha_web.backends.memory import MemoryEnvironment, MemoryOrigin, MemoryStorage, system_clock
from atiha_web.collections import BUILT_IN, Collection, Registry
from atiha_web.errors import NetworkError, RequestTimeoutError
from atiha_web.server.push import synchronise
from atiha_web.server.rows import Row, SyncState, new_epoch
from atiha_web.server.rows_memory import MemoryRows
from atiha_web.sync.outcomes import HEADER
from atiha_web.sync.protocol import (
    MAX_BATCH_BYTES,
    MAX_BATCH_OPERATIONS,
    PROTOCOL,
    SyncReply,
    SyncRequest,
)

_ENVELOPE_BYTES = 4 * 1024


class ManualClock:
    """Wall-clock time that stands still until told otherwise; in ms since 1970."""

    def __init__(self, now_ms: int = 1_750_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        """The time."""
        return self.now_ms

    def advance(self, seconds: float) -> None:
        """Move on; back when negative."""
        self.now_ms += round(seconds * 1000)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request.

    Attributes:
        acts: how many times the server acts on it.
        before: seconds until it reaches the server.
        after: seconds until the reply is back.
        lost: no reply comes: ``network`` breaks the connection, ``timeout`` stays silent.
        reply: what is answered instead of what the server said.
    """

    acts: int = 1
    before: float = 0.0
    after: float = 0.0
    lost: str = ""
    reply: Response | None = None


def lost_request() -> Fault:
    """The connection breaks before the server has the request."""
    return Fault(acts=0, lost="network")


def lost_reply() -> Fault:
    """The server acts, then the connection breaks."""
    return Fault(lost="network")


def silence(*, acted: bool = False) -> Fault:
    """No reply within the request's timeout; whether the server ``acted`` nobody can tell."""
    return Fault(acts=int(acted), lost="timeout")


def slow(*, before: float = 0.0, after: float = 0.0) -> Fault:
    """The request, or its reply, takes this many seconds."""
    return Fault(before=before, after=after)


def twice() -> Fault:
    """The network delivers the request twice."""
    return Fault(acts=2)


def answer(
    status: int, *, ours: bool = True, headers: Mapping[str, str] | None = None, acted: bool = False
) -> Fault:
    """A reply of this status, from our server (``ours``: it has our header) or from a proxy."""
    problem = {"code": "scripted", "detail": f"scripted {status}", "status": status}
    kind = "application/problem+json" if ours else "text/plain"
    known = {"content-type": kind, **({HEADER: str(PROTOCOL)} if ours else {}), **(headers or {})}
    return Fault(acts=int(acted), reply=Response(status, known, json.dumps(problem).encode()))


def captive_portal() -> Fault:
    """A page in HTML with status 200: somebody else answered."""
    headers = {"content-type": "text/html"}
    return Fault(acts=0, reply=Response(200, headers, b"<html>Welcome to the hotel</html>"))


@dataclass(frozen=True, slots=True)
class Exchange:
    """One sync the server carried out."""

    user_id: str
    request: SyncRequest
    reply: SyncReply
    counter: int
    """The newest version before."""


class RestorableRows(MemoryRows):
    """Rows in memory of which a backup can be taken and put back."""

    def backup(self) -> dict[str, tuple[SyncState, dict[Any, Row]]]:
        """Everything as it is now."""
        return {name: (user.state, dict(user.rows)) for name, user in self._users.items()}

    def restore(self, backup: Mapping[str, tuple[SyncState, dict[Any, Row]]]) -> None:
        """Everything as it was, under new epochs; users that came since are empty."""
        for name, user in self._users.items():
            state, rows = backup.get(name, (SyncState(""), {}))
            user.rows = dict(rows)
            user.state = SyncState(new_epoch(), state.counter, state.digest)


@dataclass
class _Account:
    user: dict[str, Any]
    password: str


class FakeServer:
    """The API in memory: the sync, reading the lists, accounts and sessions.

    ``collections`` are the app's own. With ``anyone`` requests without a token are let in; a
    token must fit in any case.
    """

    def __init__(
        self,
        *,
        collections: Iterable[Collection] = (),
        now_ms: Callable[[], int] = system_clock,
        anyone: bool = True,
    ) -> None:
        self.collections = Registry([*BUILT_IN, *collections])
        self.rows = RestorableRows()
        self.now_ms = now_ms
        self.anyone = anyone
        self.poll_after: float | None = None
        """When it tells clients to ask again, in seconds."""
        self.exchanges: list[Exchange] = []
        """Every sync carried out, oldest first."""
        self.requests: list[Request] = []
        """Every request that left a device, whatever became of it."""
        self.documents: dict[str, Any] = {}
        """What GET answers for further paths, as JSON."""
        self.next_fault: Callable[[Request], Fault] = self._scripted
        """Decides about each request; by default what ``fail_next`` was told."""
        self._faults: deque[Fault] = deque()
        self._accounts: dict[str, _Account] = {}
        self._tokens: dict[str, str] = {}
        self._account_routes: dict[tuple[str, ...], Callable[[Request], Response]] = {
            ("POST", "users"): self._register,
            ("POST", "sessions"): self._log_in,
            ("DELETE", "sessions", "current"): self._log_out,
        }

    def fail_next(self, *faults: Fault) -> None:
        """The next requests meet these, one each."""
        self._faults.extend(faults)

    def revoke_tokens(self) -> None:
        """End every session."""
        self._tokens.clear()

    async def rows_of(self, user_id: str, collection: str) -> list[dict[str, Any]]:
        """A user's live rows as the REST routes give them, newest first."""
        declared = self.collections[collection]
        rows = await self.rows.list(user_id, collection, 1_000_000)
        return [declared.row(user_id, row.key, row.state) for row in rows]

    async def answer(self, request: Request) -> Response:
        """What the real server would say."""
        parts = urlsplit(request.url)
        path = [unquote(part) for part in parts.path.split("/") if part]
        if parts.path in self.documents and request.method == "GET":
            return _json(200, self.documents[parts.path])
        match path:
            case ["api", "users", user_id, *rest]:
                return await self._answer_user(request, user_id, rest, parts.query)
            case ["api", *rest] if (request.method, *rest) in self._account_routes:
                return self._account_routes[request.method, *rest](request)
        return _problem(404, "not_found")

    async def _answer_user(
        self, request: Request, user_id: str, rest: list[str], query: str
    ) -> Response:
        if not self._is_allowed(request, user_id):
            known = self._asker(request) is not None
            return _problem(403, "forbidden") if known else _problem(401, "not_signed_in")
        match request.method, rest:
            case "POST", ["sync"]:
                return await self._sync(user_id, request)
            case "GET", []:
                return self._user(user_id)
            case "GET", [slug] if _name(slug) in self.collections:
                declared = self.collections[_name(slug)]
                limit = int(parse_qs(query).get("limit", ["1000"])[0])
                rows = (await self.rows_of(user_id, declared.name))[:limit]
                return _json(200, {declared.rows_name: rows})
        return _problem(404, "not_found")

    def _scripted(self, _: Request) -> Fault:
        return self._faults.popleft() if self._faults else Fault()

    async def _sync(self, user_id: str, request: Request) -> Response:
        body = request.body or b""
        if len(body) > MAX_BATCH_BYTES + _ENVELOPE_BYTES:
            return _problem(413, "too_large")
        try:
            asked = SyncRequest.model_validate_json(body)
        except ValidationError:
            return _problem(422, "invalid")
        if asked.protocol != PROTOCOL:
            return _problem(426, "unsupported_protocol")
        if len(asked.operations) > MAX_BATCH_OPERATIONS:
            return _problem(413, "too_large")
        before, _ = await self.rows.poll(user_id, 0, 1)
        reply = await synchronise(self.rows, self.collections, user_id, asked, self.now_ms())
        reply = reply.model_copy(update={"poll_after": self.poll_after})
        self.exchanges.append(Exchange(user_id, asked, reply, before.counter))
        return _reply(200, reply.to_json())

    # -- accounts --------------------------------------------------------------------------

    def _register(self, request: Request) -> Response:
        body = json.loads(request.body or b"{}")
        if body["email"] in self._accounts:
            return _problem(409, "email_taken")
        user = {"id": f"user-{len(self._accounts) + 1}", "email": body["email"]}
        account = _Account({**user, "name": body["name"], "role": "user"}, body["password"])
        self._accounts[body["email"]] = account
        return self._session(201, account)

    def _log_in(self, request: Request) -> Response:
        body = json.loads(request.body or b"{}")
        account = self._accounts.get(body["email"])
        if account is None or account.password != body["password"]:
            return _problem(401, "wrong_credentials")
        return self._session(200, account)

    def _session(self, status: int, account: _Account) -> Response:
        token = f"token-{len(self.requests)}-{account.user['id']}"
        self._tokens[token] = account.user["id"]
        return _json(status, {"user": account.user, "token": token})

    def _log_out(self, request: Request) -> Response:
        self._tokens.pop(_token(request), None)
        return _reply(204, b"")

    def _user(self, user_id: str) -> Response:
        for account in self._accounts.values():
            if account.user["id"] == user_id:
                return _json(200, account.user)
        return _problem(404, "not_found")

    def _asker(self, request: Request) -> str | None:
        return self._tokens.get(_token(request))

    def _is_allowed(self, request: Request, user_id: str) -> bool:
        if not _token(request):
            return self.anyone
        return self._asker(request) == user_id


class FakeTransport:
    """One device's way to a ``FakeServer``."""

    keeps_cookies = False

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.reachable = True
        """Whether requests get anywhere."""

    async def request(self, request: Request) -> Response:
        """See ``Transport.request``."""
        self.server.requests.append(request)
        if not self.reachable:
            raise NetworkError("the network is switched off")
        fault = self.server.next_fault(request)
        try:
            async with asyncio.timeout(request.timeout):
                return await self._carry(request, fault)
        except TimeoutError:
            raise RequestTimeoutError("no reply in time") from None

    async def _carry(self, request: Request, fault: Fault) -> Response:
        # The server goes on with what reached it, even if nobody waits for the reply any more.
        acting = asyncio.ensure_future(self._act(request, fault))
        reply = await asyncio.shield(acting)
        if fault.lost == "timeout":
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(fault.after)
        if fault.lost or not self.reachable:
            raise NetworkError("the connection broke")
        found = fault.reply or reply
        if found is None:
            raise NetworkError("the connection broke")
        return found

    async def _act(self, request: Request, fault: Fault) -> Response | None:
        await asyncio.sleep(fault.before)
        reply = None
        for _ in range(fault.acts):
            reply = await self.server.answer(request)
        return reply

    async def close(self) -> None:
        """See ``Transport.close``."""


@dataclass
class FakeDevice:
    """One browser profile: storage its tabs share, a clock, and a switch for the network."""

    server: FakeServer
    now_ms: Callable[[], int] = system_clock
    origin: MemoryOrigin = field(default_factory=MemoryOrigin)
    random: random.Random = field(default_factory=random.Random)
    environments: list[MemoryEnvironment] = field(default_factory=list)
    transports: list[FakeTransport] = field(default_factory=list)
    online: bool = True
    reachable: bool = True

    def backend(self, storage: MemoryStorage | None = None) -> Backend:
        """Open a tab: hand the result to ``connect(backend=…)``."""
        kept = storage or MemoryStorage(self.origin)
        environment = MemoryEnvironment(self.origin)
        environment.set_online(self.online)
        transport = FakeTransport(self.server)
        transport.reachable = self.reachable
        self.environments.append(environment)
        self.transports.append(transport)
        return Backend(
            storage=kept,
            transport=transport,
            environment=environment,
            now_ms=self.now_ms,
            random=self.random.random,
            random_hex=lambda digits: f"{self.random.getrandbits(4 * digits):0{digits}x}",
            close=kept.close,
        )

    def set_online(self, online: bool) -> None:
        """Plug the network in or out, and tell every tab, as a browser does."""
        self.online = online
        self.break_network(broken=not online)
        for environment in self.environments:
            environment.set_online(online)

    def break_network(self, *, broken: bool = True) -> None:
        """Requests fail, and no tab is told: the router lost its line."""
        self.reachable = not broken
        for transport in self.transports:
            transport.reachable = not broken


def _name(slug: str) -> str:
    return slug.replace("-", "_")


def _token(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def _reply(status: int, body: bytes, kind: str = "application/json") -> Response:
    return Response(status, {"content-type": kind, HEADER: str(PROTOCOL)}, body)


def _json(status: int, value: object) -> Response:
    return _reply(status, json.dumps(value).encode())


def _problem(status: int, code: str) -> Response:
    body = {"type": f"urn:atiha:problem:{code}", "status": status, "code": code, "detail": code}
    return _reply(status, json.dumps(body).encode(), "application/problem+json")
