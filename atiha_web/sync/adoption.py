"""Taking over what the seed's own app left on this origin, before any of its keys is rewritten.

Its queue becomes operations in the journals of the users they belong to, whoever is signed in; its
lists become the base of the user who opens them. What cannot be taken over is kept aside under a
key of its own, and tried again at every start. Ids are made of the items, so doing it all again
after a crash, or in two tabs at once, changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from atiha_web.backends.base import Storage
from atiha_web.collections import Collection, Registry
from atiha_web.errors import InvalidDataError, StorageFullError
from atiha_web.sync import hlc
from atiha_web.sync.calls import check_endpoint, collection_at, stated_data, user_of
from atiha_web.sync.journal import encode_operation
from atiha_web.sync.local_store import LocalStore
from atiha_web.sync.names import ASIDE, QUEUE_KEY, Names, cache_key, is_user_id
from atiha_web.sync.operation import (
    Call,
    Operation,
    OperationType,
    RecordKey,
    is_operation_id,
    record_id,
)
from atiha_web.sync.replica import Replica, Row
from atiha_web.sync.resolution import Resolution
from atiha_web.sync.rest_rows import moment_ms, raw_rows, read_all
from atiha_web.sync.statements import check_deletable, state_call, state_record

_TRIES = ("retries", "retryCount", "attempts")
"""Members the seed's app changes while an item waits; they do not tell items apart."""


@dataclass(frozen=True, slots=True)
class SeedItem:
    """One change as the seed's app queued it, checked. ``ms`` is when, since 1970."""

    operation_id: str
    user_id: str
    type: OperationType
    endpoint: str
    data: dict[str, Any]
    ms: int

    @property
    def writer(self) -> str:
        """Who stated it: nobody else has this name."""
        return self.operation_id.partition("-")[0]


@dataclass
class Adopted:
    """What became of the queue. ``whole``: all of it is now kept elsewhere."""

    problems: list[str] = field(default_factory=list)
    whole: bool = True


class QueueAdoption:
    """Moves the items of the seed's queue to where they belong."""

    def __init__(
        self,
        storage: Storage,
        registry: Registry,
        resolution: Resolution,
        now_ms: Callable[[], int],
    ) -> None:
        self._storage = storage
        self._registry = registry
        self._resolution = resolution
        self._now_ms = now_ms
        self._heirs: dict[str, Replica] = {}
        self._adopted = Adopted()

    async def run(self) -> Adopted:
        """Journal what can be taken over, keep the rest aside. Idempotent."""
        [text] = await self._storage.read([QUEUE_KEY])
        waiting = foreign_items(text)
        await self._retry_aside(waiting)
        try:
            for number, item in enumerate(waiting):
                await self._move(item, waiting[number:])
        except StorageFullError:
            self._adopted.whole = False
            self._adopted.problems.append(
                "local storage has no room to take over what an earlier version of this app left; "
                "it is tried again at the next start"
            )
        return self._adopted

    async def _retry_aside(self, waiting: list[object]) -> None:
        keys = await self._storage.keys(ASIDE)
        for key, text in zip(keys, await self._storage.read(keys), strict=True):
            try:
                item = read_item(_loaded(text or ""), self._now_ms())
                await self._journal(item, waiting)
            except (InvalidDataError, StorageFullError) as error:
                self._note(key, error)
            else:
                await self._storage.write({key: None})

    async def _move(self, item: object, waiting: list[object]) -> None:
        try:
            await self._journal(read_item(item, self._now_ms()), waiting)
        except InvalidDataError as error:
            text = item if isinstance(item, str) else json.dumps(item)
            key = ASIDE + _digest(text)[:16]
            await self._write(key, text, waiting)
            self._note(key, error)

    async def _journal(self, item: SeedItem, waiting: list[object]) -> None:
        heir = await self._heir(item.user_id)
        if item.operation_id in heir.pending or item.operation_id in heir.quarantine:
            return
        operation = state_item(item, heir)
        key = Names(item.user_id).journal + operation.id
        await self._write(key, encode_operation(operation), waiting)
        heir.add(operation)

    async def _heir(self, user_id: str) -> Replica:
        """The replica of an item's user, as far as storage tells."""
        if user_id not in self._heirs:
            names = Names(user_id)
            opened = await LocalStore(
                self._storage, names, "0" * hlc.WRITER_DIGITS, self._registry.schemas
            ).open()
            if not opened.base.rows:
                lists = await read_lists(self._storage, self._registry, user_id)
                opened.base.rows.update(lists.rows)
            heir = Replica(self._registry, self._resolution)
            heir.quarantine = opened.quarantine
            heir.load(opened.base, opened.pending)
            self._heirs[user_id] = heir
        return self._heirs[user_id]

    async def _write(self, key: str, text: str, waiting: list[object]) -> None:
        """Write; where there is no room, shorten the queue, then give up cached lists for it."""
        try:
            return await self._storage.write({key: text})
        except StorageFullError:
            await self._storage.write({QUEUE_KEY: json.dumps(waiting)})
        try:
            return await self._storage.write({key: text})
        except StorageFullError:
            for name in self._registry:
                lists = await self._storage.keys(cache_key(f"{name}_"))
                await self._storage.write(dict.fromkeys(lists))
        return await self._storage.write({key: text})

    def _note(self, key: str, error: Exception) -> None:
        self._adopted.problems.append(
            f"a change by an earlier version of this app is kept as {key}: {error}"
        )


@dataclass
class Lists:
    """The rows of the seed's lists of one user; ``problems`` names what could not be read."""

    rows: dict[RecordKey, Row] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


async def read_lists(storage: Storage, registry: Registry, user_id: str) -> Lists:
    """What the list keys of a user hold, as rows of a base that is yet to be pulled."""
    lists, names = Lists(), Names(user_id)
    texts = await storage.read([names.view(name) for name in registry])
    for collection, text in zip(registry.values(), texts, strict=True):
        rows = None if text is None else raw_rows(collection, _loaded(text))
        if text is not None and rows is None:
            lists.problems.append(f"{names.view(collection.name)} held no {collection.name}")
        theirs = [row for row in rows or [] if not _is_our_row(collection, user_id, row)]
        for key, state in await read_all(collection, user_id, theirs, lists.problems.append):
            _put_newest(lists.rows, RecordKey(collection.name, key), Row(0, state))
    return lists


async def remove_our_items(storage: Storage) -> None:
    """Leave in the queue only what is not ours: nobody is signed in whose changes it could show."""
    [text] = await storage.read([QUEUE_KEY])
    items, foreign = _loaded(text or ""), foreign_items(text)
    if isinstance(items, list) and len(foreign) < len(items):
        await storage.write({QUEUE_KEY: json.dumps(foreign) if foreign else None})


def foreign_items(text: str | None) -> list[object]:
    """The items of a queue that are not ours, in their order.

    A text that holds no list is one item: what it was meant to be, nobody can tell.
    """
    if not text:
        return []
    items = _loaded(text)
    if not isinstance(items, list):
        return [text]
    return [item for item in items if not _is_ours(item)]


def read_item(raw: object, now_ms: int) -> SeedItem:
    """Check one item of the seed's queue; one without a time was made ``now_ms``.

    Raises:
        InvalidDataError: it is none, or says not whose it is.
    """
    if not isinstance(raw, dict):
        raise InvalidDataError("it is no object")
    kind, endpoint, data = raw.get("type"), raw.get("endpoint"), raw.get("data")
    if kind not in ("create", "update", "delete") or not isinstance(endpoint, str):
        raise InvalidDataError("it has no type or no endpoint")
    user_id = user_of(check_endpoint(endpoint))
    if user_id is None:
        raise InvalidDataError(f"{endpoint!r:.80} does not tell whose it is")
    if not isinstance(data, dict | None):
        raise InvalidDataError("its data is no object")
    ms = moment_ms(raw.get("timestamp"))
    told = {name: value for name, value in raw.items() if name not in _TRIES}
    return SeedItem(
        operation_id=_item_id(told),
        user_id=user_id,
        type=kind,
        endpoint=endpoint,
        data=data or {},
        ms=now_ms if ms is None else ms,
    )


def state_item(item: SeedItem, heir: Replica) -> Operation:
    """The operation that an item amounts to, later than its user's earlier items.

    Raises:
        InvalidDataError: its data is bad, or the server has no such endpoint.
    """
    collection = collection_at(heir.registry, item.user_id, item.endpoint)
    data = stated_data(item.type, item.endpoint, item.data)
    if collection is None:
        if not heir.resolution.in_order:
            raise InvalidDataError(f"no collection is declared for {item.endpoint!r:.80}")
        call = Call(item.type, item.endpoint)
        return state_call(heir, item.operation_id, call, item.data, tick=_tick(item, heir, None))
    named = data.get(collection.key_alias)
    if isinstance(named, int):
        data[collection.key_alias] = str(named)
    if item.type == "delete":
        check_deletable(collection)
    key = item.user_id if collection.single else collection.key_of(data)
    return state_record(
        collection,
        heir,
        item.operation_id,
        key,
        None if item.type == "delete" else data,
        tick=_tick(item, heir, RecordKey(collection.name, key)),
        kind=item.type,
    )


def _tick(item: SeedItem, heir: Replica, record: RecordKey | None) -> Callable[[str | None], str]:
    """The time an item was queued: a cached row that is newer does not make it later."""
    earlier = heir.pending_for(record) if record is not None else []
    floor = max((operation.timestamp for operation in earlier), default=None)
    if heir.resolution.in_order:
        floor = heir.latest or None
    return lambda _: hlc.tick(item.ms, item.writer, floor)


def _is_ours(item: object) -> bool:
    return (
        isinstance(item, dict)
        and is_operation_id(item.get("id"))
        and is_user_id(item.get("userId"))
    )


def _is_our_row(collection: Collection, user_id: str, row: object) -> bool:
    """Whether a row of a list is of a view that we rendered: its id follows from its key."""
    if not isinstance(row, dict):
        return False
    key = row.get(collection.key_alias)
    return isinstance(key, str) and row.get("id") == record_id(user_id, collection.name, key)


def _item_id(item: dict[str, Any]) -> str:
    digest = _digest(json.dumps(item, sort_keys=True))
    return f"{digest[:12]}-{int(digest[12:24], 16)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _put_newest(rows: dict[RecordKey, Row], record: RecordKey, row: Row) -> None:
    old = rows.get(record)
    if old is None or old.state.timestamp < row.state.timestamp:
        rows[record] = row
