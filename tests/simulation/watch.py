"""Watching what goes over the network: every request and reply is checked against a model."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from atiha_web.backends.base import Request
from atiha_web.server.rows import Row
from atiha_web.sync.names import GUEST
from atiha_web.sync.operation import RecordKey
from atiha_web.sync.protocol import MAX_AHEAD_MS, Result
from atiha_web.testing.fake_server import Exchange
from tests.simulation.collections import REFUSED
from tests.simulation.reference import Fact, digest, joined, known, says, stated
from tests.simulation.violations import ViolationError, require

if TYPE_CHECKING:
    from tests.simulation.browser import Page
    from tests.simulation.promises import Promise
    from tests.simulation.world import World

Taken = dict[RecordKey, dict[tuple[str, str], Fact]]
"""What the server took in of one user, by record, and by operation and timestamp."""


@dataclass
class Account:
    """The model of one user's data on the server."""

    taken: Taken = field(default_factory=dict)
    rows: dict[RecordKey, Row] = field(default_factory=dict)

    def copy(self) -> Account:
        """As it is now."""
        return Account({record: dict(told) for record, told in self.taken.items()}, dict(self.rows))

    def held(self, record: RecordKey) -> Fact | None:
        """What all operations about a record amount to."""
        return joined(record.collection, self.taken.get(record, {}).values())

    @property
    def ids(self) -> set[str]:
        """Every operation taken in."""
        return {name for told in self.taken.values() for name, _ in told}


class Watch:
    """A second opinion on every exchange."""

    def __init__(self, world: World) -> None:
        self.accounts: defaultdict[str, Account] = defaultdict(Account)
        self.carried: set[str] = set()
        """Operations that left a device at least once."""
        self.ever_taken: set[str] = set()
        """Operations the server took in at some time; a restore may have undone that."""
        self.heirs: dict[str, str] = {}
        """Who gave an operation to the server."""
        self.forgotten: set[str] = set()
        """Operations of which a device forgot that somebody had taken them over from a guest."""
        self.muddled: set[str] = set()
        """Users whose data was restored unannounced: positions mean nothing for a while."""
        self._world = world

    # -- what leaves a page ----------------------------------------------------------------

    def sent(self, page: Page, request: Request) -> None:
        """A page sends something."""
        try:
            self._check_sent(page, request)
        except ViolationError as error:
            self._world.broken(error)

    def flushed(self, page: Page, ids: set[str]) -> None:
        """A page that is hidden sends these once more, in case it is gone the next moment."""
        again = ids & (page.carrying | page.flushed)
        if again:
            words = f"{page.name} is hidden and sends {again} again, which are under way"
            self._world.broken(ViolationError(2, words))
        page.flushed |= ids

    def _check_sent(self, page: Page, request: Request) -> None:
        if not request.url.endswith("/sync") or request.body is None:
            return
        user_id = request.url.split("/")[-2]
        for other in self._world.users:
            strange = other != user_id and f"{other}/".encode() in request.body
            require(not strange, 7, "%s sends data of %s as %s", page.name, other, user_id)
        asked = json.loads(request.body)
        self.carried.update(raw["id"] for raw in asked.get("operations", ()))
        self._check_position(page, user_id, asked)

    def _check_position(self, page: Page, user_id: str, asked: Mapping[str, Any]) -> None:
        """Who asks for changes since a cursor holds all that went before."""
        synchronizer = page.client._session.current if page._client else None
        if synchronizer is None or synchronizer.user_id != user_id or user_id in self.muddled:
            return
        state, rows = self._world.server.rows.now(user_id)
        if asked.get("epoch") != state.epoch:
            return
        held = synchronizer.engine.local.target.rows
        for row in rows.values():
            if row.version <= asked["cursor"]:
                mine = held.get(row.record)
                missed = mine is None or mine.version < row.version
                require(
                    not missed, 4, "%s asks from %s and lacks %s", page.name, asked["cursor"], row
                )

    def forget_heir(self, name: str) -> None:
        """Whoever signs in next may take over an operation once more."""
        self.heirs.pop(name, None)
        self.forgotten.add(name)

    def answered(self, request: Request, status: int) -> None:
        """A reply of a server that is none of ours reached a page."""

    def takes_effect(self, user_id: str, record: RecordKey, name: str, request: Request) -> None:
        """A server that is none of ours carries out an operation."""

    def wrote(self, user_id: str) -> None:
        """The server itself wrote rows, by its other routes."""
        account = self.accounts[user_id]
        _, rows = self._world.server.rows.now(user_id)
        for record, row in rows.items():
            before = account.rows.get(record)
            if before is None or before.version != row.version:
                told = account.taken.setdefault(record, {})
                told["rest", row.timestamp] = _fact(row)
        account.rows = dict(rows)

    # -- what the server makes of it -------------------------------------------------------

    def exchanged(self, exchange: Exchange) -> None:
        """The server answered: is it what should have come of it?"""
        user_id, request, reply = exchange.user_id, exchange.request, exchange.reply
        account = self.accounts[user_id]
        state, rows = self._world.server.rows.now(user_id)
        touched: set[RecordKey] = set()
        effective: set[str] = set()
        require(len(request.operations) == len(reply.results), 6, "results are missing")
        for raw, result in zip(request.operations, reply.results, strict=True):
            self._check_verdict(user_id, raw, result, account)
            if result.status in ("applied", "superseded"):
                record = RecordKey(raw["collection"], raw["key"])
                before = account.held(record)
                touched.add(self._take(user_id, raw, account))
                if not _same(before, account.held(record)):
                    effective.add(result.id)
        for raw, result in zip(request.operations, reply.results, strict=True):
            if result.status in ("applied", "superseded"):
                self._check_result(raw, result, rows)
                stands = stated(raw["collection"], raw["timestamp"], raw.get("data"))
                own = _same(stands, account.held(RecordKey(raw["collection"], raw["key"])))
                due = "applied" if own or result.id in effective else "superseded"
                require(result.status == due, 5, "%s was %s, told %s", raw, due, result.status)
        self._check_rows(account, rows, touched, exchange.counter)
        self._check_changes(exchange, rows, account)
        account.rows = dict(rows)
        live = ((*row.record, row.version) for row in rows.values() if row.data is not None)
        told = reply.digest
        require(told is None or told == digest(live), 4, "the server's digest is wrong")
        require(
            state.counter == max([r.version for r in rows.values()], default=state.counter)
            or self._world.muddy,
            4,
            "the counter is not the newest version",
        )
        self._check_own(user_id, reply.to_json())

    def _check_own(self, user_id: str, body: bytes) -> None:
        for other in self._world.users:
            strange = other != user_id and f"{other}/".encode() in body
            require(not strange, 7, "%s is told data of %s", user_id, other)

    def _check_verdict(
        self, user_id: str, raw: Mapping[str, Any], result: Result, account: Account
    ) -> None:
        require(raw["id"] == result.id, 6, "results are out of order")
        told = result.code if result.status == "rejected" else result.status
        due = self._verdict(user_id, raw, account)
        known_verdict = told == due or (due == "taken" and told in ("applied", "superseded"))
        require(known_verdict, 6, "%s was answered with %s, not %s", raw, told, due)

    def _verdict(self, user_id: str, raw: Mapping[str, Any], account: Account) -> str:
        record = RecordKey(raw["collection"], raw["key"])
        if int(raw["timestamp"][:12], 16) > self._world.now_ms() + MAX_AHEAD_MS:
            return "clock"
        declared = self._world.server.collections.find(record.collection)
        if declared is None:
            return "unknown_collection"
        row = account.rows.get(record)
        if (
            max(
                raw.get("schema", 1) if raw.get("data") is not None else 1, row.schema if row else 1
            )
            > declared.schema
        ):
            return "newer_schema"
        refused = (raw.get("data") or {}).get("text") == REFUSED and record.collection == "notes"
        return "invalid" if refused else "taken"

    def _take(self, user_id: str, raw: Mapping[str, Any], account: Account) -> RecordKey:
        record = RecordKey(raw["collection"], raw["key"])
        fact = stated(record.collection, raw["timestamp"], raw.get("data"))
        account.taken.setdefault(record, {})[raw["id"], raw["timestamp"]] = fact
        self.ever_taken.add(raw["id"])
        heir = self.heirs.setdefault(raw["id"], user_id)
        require(heir == user_id, 7, "%s gave %s to the server, and so did %s", heir, raw, user_id)
        for promise in self._world.promises_by_id.get(raw["id"], ()):
            promise.settled = True
            taken_back = promise.user_id == GUEST and raw.get("data") is None
            require(not taken_back, 7, "a guest's deletion reached %s: %s", user_id, raw)
            require(not promise.given_up, 1, "%s was discarded, and came back", raw)
        return record

    def _check_result(
        self, raw: Mapping[str, Any], result: Result, rows: Mapping[RecordKey, Row]
    ) -> None:
        """What the client will hold from this result is what the server holds."""
        record = RecordKey(raw["collection"], raw["key"])
        row = rows.get(record)
        require(row is not None, 4, "the server has no row for %s", raw)
        assert row is not None
        require(result.version == row.version, 3, "%s is told a version not of %s", raw, row)
        if result.record is None:
            told = stated(record.collection, raw["timestamp"], raw.get("data"))
        else:
            state = result.record.to_state()
            told = known(record.collection, state.timestamp, state.data)
        holds = _fact(row)
        require(_same(told, holds), 3, "the sender of %s takes %s for %s", raw, told, holds)

    def _check_rows(
        self,
        account: Account,
        rows: Mapping[RecordKey, Row],
        touched: set[RecordKey],
        counter: int,
    ) -> None:
        for record in touched:
            row, due = rows.get(record), account.held(record)
            held = None if row is None else _fact(row)
            require(_same(held, due), 1, "of %s the server holds %s, not %s", record, held, due)
        for record, row in rows.items():
            before = account.rows.get(record)
            if before is None or before.state != row.state:
                fresh = row.version > counter and record in touched
                require(fresh, 4, "%s changed under its version", row)
            else:
                require(before.version == row.version, 2, "%s took effect twice", row)
        require(account.rows.keys() <= rows.keys(), 4, "rows vanished")
        versions = {row.version for row in rows.values()}
        require(len(versions) == len(rows), 4, "two rows share a version")

    def _check_changes(
        self, exchange: Exchange, rows: Mapping[RecordKey, Row], account: Account
    ) -> None:
        request, reply = exchange.request, exchange.reply
        state, _ = self._world.server.rows.now(exchange.user_id)
        other = request.epoch != state.epoch if request.epoch is not None else request.cursor > 0
        reset = other or request.cursor > exchange.counter
        require(reply.reset == reset, 4, "reset is %s", reply.reset)
        require(reply.epoch == state.epoch, 4, "another epoch is told")
        if reset:
            require(reply.cursor == 0 and not reply.changes, 4, "changes with a reset")
            return
        window = range(request.cursor + 1, exchange.counter + 1)
        due = sorted((r for r in rows.values() if r.version in window), key=lambda r: r.version)
        told = [(c.collection, c.key, c.version, c.to_state()) for c in reply.changes]
        page = due[: request.limit]
        expected = [(r.collection, r.key, r.version, r.state) for r in page]
        require(told == expected, 4, "told %s, not %s", told, expected)
        more = len(due) > request.limit
        cursor = page[-1].version if more else state.counter
        require((reply.more, reply.cursor) == (more, cursor), 4, "a wrong cursor: %s", reply.cursor)

    def check_saved(self, promise: Promise) -> None:
        """Somebody was told that the server has it: does it?"""
        if self._world.muddy or promise.operation.collection in ("memos", "drafts"):
            return
        record = promise.operation.record
        if self._world.skewed:
            return
        held = [
            account.held(record)
            for user, account in self.accounts.items()
            if user == promise.user_id
        ]
        if promise.refused or promise.excused not in ("", _DISCARDED):
            return
        if promise.excused and self._world.was_restored:
            # It may have been there before.
            return
        known_there = any(says(record.collection, fact, promise.fact) for fact in held)
        require(
            known_there, 1, "saved('server') returned before the server had %s", promise.operation
        )


_DISCARDED = "it was discarded"


def _fact(row: Row) -> Fact:
    return known(row.collection, row.timestamp, row.data)


def _same(a: Fact | None, b: Fact | None) -> bool:
    return a == b
