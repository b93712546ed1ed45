"""What must hold where a server that is none of ours replays operations one by one.

It promises less than ours: what arrives last stands. So each operation must arrive, once, in the
order in which it was made, and unchanged; and a page shows the last word, whosever it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from atiha_web.backends.base import Request
from atiha_web.sync.calls import user_of
from atiha_web.sync.merge import State
from atiha_web.sync.names import GUEST
from atiha_web.sync.operation import Operation, RecordKey
from tests.simulation.collections import CLIENT
from tests.simulation.foreign import plain
from tests.simulation.promises import is_later
from tests.simulation.reference import NESTED, PER_FIELD, Fact
from tests.simulation.violations import ViolationError, require
from tests.simulation.watch import Watch

if TYPE_CHECKING:
    from tests.simulation.browser import Page
    from tests.simulation.promises import Promise
    from tests.simulation.world import World

MAY_PASS = frozenset({401, 407, 408, 425, 429})
"""4xx that say nothing about the request itself."""
CHANGES_SHAPE = "memos"
"""Pages of the next release bring what waits into another shape."""


class ReplayWatch(Watch):
    """A second opinion on each request that takes effect."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.refused: set[str] = set()
        """Operations that were told to be wrong, by the server or by something on the way."""
        self.gone: set[str] = set()
        """Deletions of what was told not to be there."""
        self._last: dict[tuple[str, str, str], int] = {}
        """By user, path and writer, the number of what took effect last."""
        self._members: set[tuple[RecordKey, str, str]] = set()
        """Of the object within a record, each member the server was ever told, with its value."""

    def _check_sent(self, page: Page, request: Request) -> None:
        name = request.headers.get("idempotency-key")
        if name is None:
            return
        self.carried.add(name)
        text = request.url.encode() + (request.body or b"")
        named = user_of(request.url)
        for other in self._world.users if named is not None else ():
            strange = other != named and f"{other}/".encode() in text
            require(not strange, 7, "%s sends data of %s as %s", page.name, other, named)

    def answered(self, request: Request, status: int) -> None:
        """A reply reached a page."""
        name = request.headers.get("idempotency-key")
        if name is None:
            return
        if request.method == "DELETE" and status in (404, 410):
            # Whoever said so: what is not there need not be deleted.
            self.ever_taken.add(name)
            self.gone.add(name)
        elif 400 <= status < 500 and status not in MAY_PASS:
            self.refused.add(name)

    def takes_effect(self, user_id: str, record: RecordKey, name: str, request: Request) -> None:
        """The server carries out an operation, for the first time as far as it knows."""
        self.ever_taken.add(name)
        self.accounts[user_id].taken.setdefault(record, {})[name, ""] = Fact("", None)
        try:
            self._check_effect(user_id, name, request)
            self._check_nested(user_id, record, name, request)
        except ViolationError as error:
            self._world.broken(error)
        nested = json.loads(request.body or b"{}").get(NESTED) or {}
        self._members |= {(record, *member) for member in nested.items()}

    def _check_effect(self, user_id: str, name: str, request: Request) -> None:
        heir = self.heirs.setdefault(name, user_id)
        require(heir == user_id, 7, "%s gave %s to the server, and so did %s", heir, name, user_id)
        for promise in self._world.promises_by_id.get(name, ()):
            promise.settled = True
            taken_back = promise.user_id == GUEST and promise.operation.data is None
            require(not taken_back, 7, "a guest's deletion reached %s: %s", user_id, name)
            require(not promise.given_up, 1, "%s was discarded, and came back", name)
            self._check_bytes(promise, request)
        writer, _, number = name.partition("-")
        place = user_id, urlsplit(request.url).path, writer
        overtaken = self._last.get(place, 0) > int(number)
        # A try that was under way for long may arrive after a later one was refused, for instance
        # by a proxy, and after what was sent since.
        excused = self._world.was_restored or name in self.refused
        require(
            not overtaken or excused,
            1,
            "%s comes after later ones: %s",
            name,
            place,
        )
        self._last[place] = max(int(number), self._last.get(place, 0))

    def _check_bytes(self, promise: Promise, request: Request) -> None:
        """What arrives is what was written."""
        operation = promise.operation
        declared = CLIENT.get(operation.collection)
        if declared is None or operation.collection == CHANGES_SHAPE:
            return
        method = {"DELETE": None}.get(request.method, request.method)
        require((operation.data is None) == (method is None), 1, "%s for %s", method, operation)
        if operation.data is None:
            key = dict(parse_qsl(urlsplit(request.url).query)).get(declared.key_alias)
            require(key == operation.key, 1, "%s is deleted for %s", key, operation)
        elif operation.call is None:
            due = plain(declared, operation.data)
            told = plain(declared, json.loads(request.body or b"{}"))
            if NESTED in due and NESTED in told:
                told[NESTED] = {
                    name: value
                    for name, value in told[NESTED].items()
                    if name in due[NESTED] or not self._comes_along(promise, name, value)
                }
            require(told == due, 1, "%s arrives for %s", told, operation)

    def _comes_along(self, promise: Promise, name: str, value: str) -> bool:
        """Whether a member comes with what was stated because the server would forget it.

        With a guest's that is what the heir had said; with what was stated of a profile that was
        not read before, it is what the server had been told by then.
        """
        record = promise.operation.record
        had = CLIENT[record.collection].single and (record, name, value) in self._members
        return had or promise.user_id == GUEST

    def _check_nested(self, user_id: str, record: RecordKey, name: str, request: Request) -> None:
        """Who states a field that is an object states all of it that they wrote before."""
        told = json.loads(request.body or b"{}").get(NESTED)
        given = self._world.promises_by_id.get(name)
        assert self._world.foreign is not None
        if told is None or record.collection not in PER_FIELD or not given:
            return
        device = given[0].device
        if device.blurred or device.was_crowded or self._world.was_restored:
            return
        for earlier in reversed(self._world.foreign.changed_by(user_id, record)):
            promised = self._world.promises_by_id.get(earlier, [])
            data = promised[0].operation.data if promised else None
            if data is None or promised[0].device is not device:
                return
            stated = data.get(NESTED) or {}
            require(stated.keys() <= told.keys(), 1, "%s leaves out some of %s", name, stated)

    def check_saved(self, promise: Promise) -> None:
        """See ``Watch``."""
        known = promise.operation.id in self.ever_taken
        require(known, 1, "saved('server') returned before %s", promise.operation)


# -- while things happen -------------------------------------------------------------------


def check_page(page: Page) -> None:
    """What a page shows is what is pending, one after the other, on what it read last."""
    synchronizer = page.synchronizer
    assert synchronizer is not None
    memory = synchronizer.engine.local.memory
    if synchronizer.engine.local.mutex.locked():
        # It is on its way from what it stored to what it shows.
        return
    for record in {operation.record for operation in memory.pending.values()}:
        if record.collection not in CLIENT:
            continue
        base = memory.base.rows.get(record)
        operations = [each for each in memory.pending.values() if each.record == record]
        due = _replayed(None if base is None else base.state, operations)
        state = synchronizer.engine.view(record.collection).get(record.key)
        shows = _plainly(record, None if state is None else state.data)
        require(shows == _plainly(record, due), 5, "%s shows %s, not %s", page.name, shows, due)
    for promise in page.written:
        adopted = synchronizer.user_id == GUEST and promise.stored_in != GUEST
        if promise.user_id == synchronizer.user_id and not promise.excused and not adopted:
            check_shown(page, promise)


def _replayed(state: State | None, operations: list[Operation]) -> Mapping[str, Any] | None:
    data = None if state is None else state.data
    for operation in sorted(operations, key=lambda each: (each.timestamp, each.id)):
        told = operation.data
        if told is not None and operation.collection in PER_FIELD:
            before = data or {}
            inner = {**(before.get(NESTED) or {}), **(told.get(NESTED) or {})}
            data = {**before, **told, **({NESTED: inner} if inner else {})}
        else:
            data = told
    return data


def _plainly(record: RecordKey, data: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return None if data is None else plain(CLIENT[record.collection], data)


def check_shown(page: Page, promise: Promise) -> None:
    """A page shows an acknowledged write, if it was the last word about a record."""
    world, operation = page.device.world, promise.operation
    assert world.foreign is not None
    assert page.synchronizer is not None
    device, record = page.device, operation.record
    user_id = page.synchronizer.user_id
    waits = page.synchronizer.engine.local.memory.pending_for(record)
    last = world.foreign.changed_by(user_id, record)[-1:] == [operation.id]
    calm = last and not waits and promise.stored_in is None and not deleted_since(promise)
    # Pages that hear of each other late may read what is older, until they read again.
    late = device.was_crowded and (device.spec.latency is not None or device.slept)
    unsure = late or device.blurred or device.was_full or world.was_restored
    if not calm or unsure or record.collection not in CLIENT or record.collection == CHANGES_SHAPE:
        return
    state = page.synchronizer.engine.view(record.collection).get(record.key)
    shows, due = (_plainly(record, None if state is None else state.data), operation.data)
    if due is not None and operation.call is not None and operation.call.fields is not None:
        # These alone are sent: of all else the server says what it says.
        due = {name: due[name] for name in operation.call.fields if name in due}
        due = _plainly(record, due) or {}
        shows = None if shows is None else {name: shows.get(name) for name in due}
        holds = shows == due
    elif due is not None and record.collection in PER_FIELD:
        due = {name: value for name, value in due.items() if name != NESTED}
        shows = None if shows is None else {name: shows.get(name) for name in due}
        holds = shows == due
    else:
        holds = shows == _plainly(record, due)
    require(holds, 5, "%s hides %s: it shows %s", page.name, operation, shows)


def deleted_since(promise: Promise) -> bool:
    """Whether a later deletion was told that there is nothing to delete, if only by a proxy."""
    watch, record = promise.device.world.watch, promise.operation.record
    assert isinstance(watch, ReplayWatch)
    return any(
        later.operation.id in watch.gone and later.operation.record == record
        for later in promise.device.world.ledger.of(promise.device)
        if is_later(later, promise)
    )


# -- at the end ----------------------------------------------------------------------------


def differs(page: Page, allowed: AbstractSet[str]) -> str:
    """See ``oracle.differs``."""
    synchronizer, world = page.synchronizer, page.device.world
    if synchronizer is None or synchronizer.user_id == GUEST:
        return ""
    status, waiting = synchronizer.status(), synchronizer.engine.local.memory.pending
    if not waiting.keys() <= allowed:
        left = list(waiting.values())[:3]
        return f"{page.name} is {status.state} ({status.message}) with {left} pending"
    assert world.foreign is not None
    held = world.foreign.held(synchronizer.user_id)
    mine = {
        RecordKey(name, key): plain(collection, state.data or {})
        for name, collection in CLIENT.items()
        for key, state in synchronizer.engine.view(name).items()
    }
    strange = [record for record in held | mine if held.get(record) != mine.get(record)]
    if not strange:
        return ""
    record = min(strange)
    return (
        f"{page.name} ({status.state} {status.message}) shows {mine.get(record)} for {record}, "
        f"the server has {held.get(record)}"
    )


def check_refused(page: Page) -> None:
    """Only what was told to be wrong is in quarantine."""
    watch = page.device.world.watch
    assert isinstance(watch, ReplayWatch)
    for entry in page.client.quarantined if page.client.user_id is not None else ():
        due = entry.operation.id in watch.refused
        require(due, 6, "%s: %s was refused without reason", page.name, entry)


def check_kept(world: World, promise: Promise, *, taken_back: bool) -> None:
    """Each write that nothing excuses arrived, or is in quarantine, told to be wrong."""
    watch, name = world.watch, promise.operation.id
    assert isinstance(watch, ReplayWatch)
    if taken_back:
        return
    if promise.user_id == GUEST and promise.operation.data is None:
        return
    arrived = name in world.taken_ids | watch.gone and not promise.refused
    kept = name in watch.refused and promise.stored_in is not None
    require(arrived or kept, 1, "lost: %s of %s", promise.operation, promise.device.name)
