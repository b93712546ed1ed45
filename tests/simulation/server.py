"""The shipped server decisions over rows in memory, checked at every exchange."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from atiha_web.backends.base import Request, Response
from atiha_web.server.rows import Row, SyncState
from atiha_web.sync.operation import RecordKey
from atiha_web.testing.fake_server import Exchange, FakeServer, RestorableRows, answer
from tests.simulation.collections import SERVER, WHOLE_BATCH
from tests.simulation.violations import ViolationError

if TYPE_CHECKING:
    from tests.simulation.world import World

PASSWORD = "correct horse"


@dataclass(frozen=True)
class Synced:
    """A sync, and the release of the server that carried it out."""

    exchange: Exchange
    release: int

    @property
    def wrote(self) -> bool:
        """Whether it changed anything."""
        return any(result.status == "applied" for result in self.exchange.reply.results)


@dataclass(frozen=True)
class Put:
    """A rating stated by the server itself, and the row that came of it."""

    user_id: str
    data: Mapping[str, Any]
    writer: str
    now_ms: int
    release: int
    row: Row


@dataclass(frozen=True)
class Deleted:
    """A rating deleted by the server itself."""

    user_id: str
    key: str
    writer: str
    now_ms: int
    release: int


@dataclass(frozen=True)
class Renewed:
    """Every user has another epoch."""


ServerCall = Synced | Put | Deleted | Renewed


class OpenRows(RestorableRows):
    """Rows that can be looked at without asking."""

    def now(self, user_id: str) -> tuple[SyncState, Mapping[RecordKey, Row]]:
        """A user's state and rows, tombstones included."""
        user = self._users[user_id]
        return user.state, user.rows

    def keep_epoch(self, user_id: str, epoch: str) -> None:
        """Nobody was told of a restore."""
        user = self._users[user_id]
        user.state = replace(user.state, epoch=epoch)


class SimulatedServer(FakeServer):
    """The API in memory, whose accounts are there from the beginning."""

    rows: OpenRows

    def __init__(self, world: World, users: int) -> None:
        super().__init__(now_ms=world.now_ms, anyone=False)
        self.rows = OpenRows()
        self._world = world
        self._checked = 0
        self.calls: list[ServerCall] = []
        """All that was asked of the rows, to be asked of others."""
        self.release(world.plan.server_release)
        self.poll_after = world.plan.poll_after
        self.users = [self._sign_up(number) for number in range(users)]

    def release(self, number: int) -> None:
        """Another release of the server starts."""
        self.collections = SERVER[number]
        self.number = number

    def _sign_up(self, number: int) -> str:
        body = {"email": f"user-{number + 1}@example.org", "password": PASSWORD, "name": "X"}
        reply = self._register(Request("POST", "/api/users", body=json.dumps(body).encode()))
        return str(json.loads(reply.body)["user"]["id"])

    @property
    def sessions(self) -> set[str]:
        """The tokens of those that go on."""
        return set(self._tokens)

    def token_in(self, reply: Response) -> str | None:
        """The session that a log-in began; what something odd answered began none."""
        with suppress(ValueError):
            told = json.loads(reply.body)
            return told.get("token") if isinstance(told, dict) else None
        return None

    def backup(self) -> Any:
        """All users' data as it is now."""
        return self.rows.backup()

    def put_back(self, backup: Any, *, silently: bool) -> None:
        """All users' data as it was; ``silently``: under the epochs that clients know."""
        before = {name: self.rows.now(name)[0].epoch for name in self.users}
        self.rows.restore(backup)
        for name, epoch in before.items() if silently else ():
            self.rows.keep_epoch(name, epoch)

    def text_of_everything(self) -> str:
        """All that is kept of anybody, to be searched for what must not be."""
        return repr([self.rows.now(user)[1] for user in self.users])

    async def _sync(self, user_id: str, request: Request) -> Response:
        # Behind the question who asks: what is refused here would have been carried out.
        for text, status in WHOLE_BATCH.items():
            if text.encode() in (request.body or b""):
                refused = answer(status).reply
                assert refused is not None
                return refused
        limit = self._world.plan.page_limit
        if limit < 500 and b'"limit"' not in (request.body or b""):
            # As if there were five hundred rows for each.
            body = (request.body or b"").replace(b"{", b'{"limit":%d,' % limit, 1)
            request = replace(request, body=body)
        return await super()._sync(user_id, request)

    async def answer(self, request: Request) -> Response:
        """What the real server would say; a turn of the loop later, as nothing is at once."""
        self.requests.append(request)
        await asyncio.sleep(0)
        reply = await super().answer(request)
        while self._checked < len(self.exchanges):
            exchange = self.exchanges[self._checked]
            self._checked += 1
            self.calls.append(Synced(exchange, self.number))
            try:
                self._world.watch.exchanged(exchange)
            except ViolationError as error:
                self._world.broken(error)
        return reply
