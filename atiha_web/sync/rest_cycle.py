"""One synchronisation with a REST server that does not know us: replay, then read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from atiha_web.backends.base import Request, Response
from atiha_web.collections import Collection, Registry
from atiha_web.errors import InvalidDataError, StorageFullError
from atiha_web.sync.base_cycle import REQUEST_TIMEOUT, Cycle, CycleFailedError, Link, Tally
from atiha_web.sync.calls import RestCall, UpdateMethod, call_of, is_call, path_of, rest_call
from atiha_web.sync.merge import PerField, State
from atiha_web.sync.operation import Operation, RecordKey
from atiha_web.sync.outcomes import FAST_TRIES, Kind, Outcome
from atiha_web.sync.replica import Quarantined, Row, policy_of
from atiha_web.sync.resolution import REPLAYED
from atiha_web.sync.rest_outcomes import classify_rest, read_json
from atiha_web.sync.rest_rows import ReadRow, raw_rows, read_all

EPOCH = "rest"
"""The epoch of a base that was read over REST: our own server, asked later, starts anew."""

LOADS = 3
"""How often a load is asked again because something was acknowledged meanwhile."""


class Asked(NamedTuple):
    """What was known as a list was asked for: how much was settled, and the newest row's number."""

    settled: int
    newest: int


class RestCycle(Cycle):
    """Sends each operation as a request of its own, in order for each resource, then reads all."""

    def __init__(self, link: Link, update_method: UpdateMethod = "PATCH") -> None:
        super().__init__(link)
        self._update_method = update_method
        self._troubled: set[str] = set()
        """Resources that failed last time."""
        self._failures: dict[str, Outcome] = {}
        """Resources that failed in this cycle."""

    def parting_request(self) -> Request | None:
        """See ``Cycle``: the oldest operation alone, as each is a request of its own."""
        for resource, queue in self._queues().items():
            first = queue[0]
            spared = resource in self._troubled or self.waits.left([resource])
            if spared or first.id in self._carried | self._parted:
                continue
            self._parted.add(first.id)
            return self._request(self._call(first), first.id)
        return None

    # -- sending ---------------------------------------------------------------------------

    async def _exchange_all(self, tally: Tally) -> None:
        self._failures = self._still_asked_to_wait()
        try:
            for collection in self._unread():
                await self._pull(collection, tally)
                await self._complete(collection)
            while queues := self._ready():
                for resource, queue in queues.items():
                    await self._drain(resource, queue, tally)
            for collection in self._local.registry.values():
                await self._pull(collection, tally)
        finally:
            self._troubled = set(self._failures)
        self._raise_failures()

    def _unread(self) -> list[Collection]:
        """Whose record was never read, with something pending of an object within it.

        The server takes such an object as a whole: what it has there is to be known before.
        """
        memory = self._local.memory
        stated = {
            operation.collection: operation.record
            for operation in memory.pending.values()
            if set(_nested(self._local.registry, operation.collection)) & set(operation.data or {})
        }
        unread = [name for name, record in stated.items() if record not in memory.base.rows]
        return [self._local.registry[name] for name in unread]

    async def _complete(self, collection: Collection) -> None:
        """State with what is pending what the server has beside it, as is known by now."""
        local = self._local
        record = RecordKey(collection.name, local.user_id)
        async with local.mutex:
            local.check_open()
            row = local.memory.base.rows.get(record)
            state = None if row is None else row.state
            for operation in local.memory.pending_for(record):
                completed = operation
                if operation.data is not None and operation.id not in self._parted:
                    data = REPLAYED.complete(collection.policy, operation.data, state)
                    completed = replace(operation, data=data)
                if completed != operation:
                    try:
                        await local.restate(completed)
                    except StorageFullError:
                        # Sent like this; the next start completes it again.
                        local.memory.add(completed)
                state = REPLAYED.apply(collection.policy, state, completed)

    def _queues(self) -> dict[str, list[Operation]]:
        """What is pending, oldest first, by resource; without what nobody can send."""
        local = self._local
        queues: dict[str, list[Operation]] = {}
        for operation in sorted(
            local.memory.pending.values(), key=lambda item: (item.timestamp, item.id)
        ):
            if operation.id in local.unstored:
                continue
            if operation.collection in local.registry or is_call(operation):
                call = call_of(operation, local.registry, local.user_id)
                queues.setdefault(path_of(call.endpoint), []).append(operation)
            else:
                local.note_problem(f"{operation.collection} is not declared: its changes wait")
        return queues

    def _ready(self) -> dict[str, list[Operation]]:
        return {name: queue for name, queue in self._queues().items() if name not in self._failures}

    async def _drain(self, resource: str, queue: list[Operation], tally: Tally) -> None:
        """Send a resource's operations until one fails for now."""
        for operation in queue:
            await self._forget_discarded()
            if operation.id not in self._local.memory.pending:
                continue
            try:
                await self._replay(operation, tally)
            except CycleFailedError as error:
                if error.outcome.kind is Kind.NEEDS_AUTH:
                    raise
                self._fail(resource, error.outcome)
                return

    async def _replay(self, operation: Operation, tally: Tally) -> None:
        """Send one operation and carry out what the server makes of it."""
        try:
            call = self._call(operation)
        except InvalidDataError as error:
            return await self._refuse(
                operation, Outcome(Kind.REFUSED, str(error), "invalid"), tally
            )
        try:
            self._carried = {operation.id}
            self._local.changes.notify()
            await self._send_rest(self._request(call, operation.id), call.resource, tally)
        except CycleFailedError as error:
            if error.outcome.kind is not Kind.REFUSED:
                raise
            return await self._refuse(operation, error.outcome, tally)
        finally:
            self._carried = set()
        await self._acknowledge(operation)
        tally.sent += 1
        self.progress += 1
        return None

    async def _refuse(self, operation: Operation, outcome: Outcome, tally: Tally) -> None:
        await self._reconciler.refuse(Quarantined(operation, outcome.code, outcome.message))
        tally.rejected += 1

    async def _acknowledge(self, operation: Operation) -> None:
        """Base with the result is stored before the journal shrinks."""
        local = self._local
        record = operation.record
        async with local.mutex:
            local.check_open()
            # Numbers go on from what other tabs gave, heard of or not.
            await local.reload_base()
            if operation.id not in local.memory.pending:
                # Another tab was told before: base has it, and maybe what came after it.
                return
            base = local.memory.base
            changed = []
            if operation.collection in local.registry:
                row = base.rows.get(record)
                policy = policy_of(local.registry, operation.collection)
                state = REPLAYED.apply(policy, row.state if row else None, operation)
                base.put(record, Row(base.newest + 1, state))
                changed = [record]
            await local.store_base(changed)
            await local.settle([operation.id], [])
            local.memory.refresh(changed)
            await local.render([operation.collection])

    def _call(self, operation: Operation) -> RestCall:
        local = self._local
        return rest_call(operation, local.registry, local.user_id, self._update_method)

    def _request(self, call: RestCall, operation_id: str) -> Request:
        headers = {"accept": "application/json", "idempotency-key": operation_id}
        if call.body is not None:
            headers["content-type"] = "application/json"
        url = self._base_url + call.endpoint
        return Request(call.method, url, {**headers, **self._headers()}, call.body, REQUEST_TIMEOUT)

    async def _send_rest(self, request: Request, resource: str, tally: Tally) -> Response:
        if left := self.waits.left([resource]):
            raise CycleFailedError(_busy(resource, left[resource]))
        # Where something fails already, one try each is enough to learn whether all does.
        calm = not self._failures and resource not in self._troubled
        answer = await self._send(
            request, lambda response, now: _judge(request, response, now), tally,
            FAST_TRIES if calm else 1,
        )  # fmt: skip
        return answer.response

    # -- reading ---------------------------------------------------------------------------

    async def _pull(self, collection: Collection, tally: Tally) -> None:
        """Read a collection anew; one that the server does not have or give stays as it is."""
        endpoint = collection.endpoint(self._local.user_id)
        headers = {"accept": "application/json", **self._headers()}
        request = Request("GET", self._base_url + endpoint, headers, None, REQUEST_TIMEOUT)
        for _ in range(LOADS):
            asked = self._asked(collection.name)
            try:
                response = await self._send_rest(request, endpoint, tally)
            except CycleFailedError as error:
                if error.outcome.kind is Kind.NEEDS_AUTH:
                    raise
                if error.outcome.kind is Kind.REFUSED:
                    self._local.note_problem(f"{endpoint} is not read: {error.outcome.message}")
                else:
                    self._fail(endpoint, error.outcome)
                return
            rows = await self._read(collection, response)
            if rows is None or await self._take(collection, rows, asked, tally):
                return

    async def _read(self, collection: Collection, response: Response) -> list[ReadRow] | None:
        """The rows of a reply; what cannot be read is named and left out."""
        local = self._local
        raw = raw_rows(collection, read_json(response))
        if raw is None:
            local.note_problem(f"{response.url or collection.name} holds no {collection.name}")
            return None
        return await read_all(collection, local.user_id, raw, local.note_problem)

    async def _take(
        self, collection: Collection, rows: list[ReadRow], asked: Asked, tally: Tally
    ) -> bool:
        """Make these rows the collection's base; what is gone becomes a tombstone.

        Does nothing, and tells so, where something of the collection was acknowledged, to whichever
        tab, since the rows were ``asked`` for: they may be older.
        """
        local = self._local
        async with local.mutex:
            local.check_open()
            await local.reload_base()
            if self._learned_since(collection.name, asked):
                return False
            base = local.memory.base
            changed = _differing(base.rows, collection.name, rows)
            version = base.newest + 1
            for record, state in changed.items():
                base.put(record, Row(version, state))
            if changed or base.epoch != EPOCH:
                base.epoch, base.cursor = EPOCH, max(base.newest, 1)
                local.incoming = None
                await local.store_base(changed)
                local.memory.refresh(changed)
                await local.render([collection.name])
        tally.received += len(changed)
        self.progress += 1
        return True

    def _asked(self, name: str) -> Asked:
        memory = self._local.memory
        return Asked(memory.settled[name], memory.base.newest)

    def _learned_since(self, name: str, asked: Asked) -> bool:
        """Whether anything of a collection was acknowledged, here or, by the numbers, anywhere."""
        memory = self._local.memory
        if memory.settled[name] != asked.settled:
            return True
        return memory.base.newest > asked.newest and any(
            row.version > asked.newest
            for record, row in memory.base.rows.items()
            if record.collection == name
        )

    # -- failures --------------------------------------------------------------------------

    def _fail(self, resource: str, outcome: Outcome) -> None:
        self._failures.setdefault(resource, outcome)
        self.waits.note(resource, outcome.retry_after)

    def _still_asked_to_wait(self) -> dict[str, Outcome]:
        left = self.waits.left(self._queues().keys() | self._endpoints())
        return {resource: _busy(resource, seconds) for resource, seconds in left.items()}

    def _raise_failures(self) -> None:
        """One resource that fails holds up no other one: it is told when all had their turn."""
        if not self._failures:
            return
        outcomes = list(self._failures.values())
        waits = [outcome.retry_after for outcome in outcomes]
        known = [wait for wait in waits if wait is not None]
        first = outcomes[0]
        wait = min(known) if known and len(known) == len(waits) else None
        partly = len(self._failures) < len(self._queues().keys() | self._endpoints())
        raise CycleFailedError(Outcome(first.kind, first.message, first.code, wait), partly=partly)

    def _endpoints(self) -> set[str]:
        local = self._local
        return {each.endpoint(local.user_id) for each in local.registry.values()}


def _nested(registry: Registry, name: str) -> tuple[str, ...]:
    """The fields of a single record that are objects whose members count alone."""
    collection = registry.find(name)
    if collection is None or not collection.single:
        return ()
    return collection.policy.nested if isinstance(collection.policy, PerField) else ()


def _judge(request: Request, response: Response, now: datetime) -> Outcome:
    return classify_rest(request, response, now)


def _busy(resource: str, seconds: float) -> Outcome:
    return Outcome(Kind.BUSY, f"{resource}: the server asked to wait", "", seconds)


def _differing(
    known: dict[RecordKey, Row], name: str, rows: list[ReadRow]
) -> dict[RecordKey, State]:
    """What of ``rows`` is new, and of what is ``known`` is gone (a tombstone each)."""
    newest: dict[RecordKey, State] = {}
    for key, state in rows:
        record = RecordKey(name, key)
        if record not in newest or newest[record].timestamp < state.timestamp:
            newest[record] = state
    differing = {
        record: state
        for record, state in newest.items()
        if record not in known or known[record].state != state
    }
    for record, row in known.items():
        if record.collection == name and record not in newest and not row.state.deleted:
            differing[record] = State(row.state.timestamp, None)
    return differing
