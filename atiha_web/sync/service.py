"""The seed's ``SyncService``: cached values, operations and periodic syncs by cache key."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError, field_validator

from atiha_web.backends.base import Backend, Request, Response
from atiha_web.collections import Registry, describe, iso
from atiha_web.errors import (
    AtihaError,
    InvalidDataError,
    NetworkError,
    NotSignedInError,
    ProblemError,
    StorageError,
    TransportError,
)
from atiha_web.models import AtihaModel
from atiha_web.sync import hlc
from atiha_web.sync.calls import (
    check_endpoint,
    check_user,
    collection_at,
    path_of,
    stated_data,
    user_of,
)
from atiha_web.sync.engine import Write
from atiha_web.sync.last_sync import LastSync
from atiha_web.sync.names import cache_key
from atiha_web.sync.operation import Call, OperationType, dump_json
from atiha_web.sync.outcomes import problem, wait_asked
from atiha_web.sync.rest_cycle import LOADS
from atiha_web.sync.rest_outcomes import is_elsewhere, read_json
from atiha_web.sync.rest_rows import unwrap
from atiha_web.sync.statements import check_deletable
from atiha_web.sync.status import SyncReport
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.sync.view_store import write_views
from atiha_web.sync.waits import Waits

logger = logging.getLogger("atiha_web")


class SyncConfig(AtihaModel):
    """What to keep in step: a cache key, its endpoint, and how often.

    ``sync_interval`` is in seconds; under its alias ``syncInterval`` it is in milliseconds, as in
    the seed.
    """

    cache_key: str = Field(min_length=1, max_length=256)
    api_endpoint: str = Field(min_length=1, max_length=2_000)
    sync_interval: float = Field(default=30.0, gt=0, alias="sync_interval")

    def __init__(self, **data: Any) -> None:
        """Take both spellings.

        Raises:
            InvalidDataError: a key, endpoint or interval that cannot be used.
        """
        milliseconds = data.pop("syncInterval", None)
        if milliseconds is not None:
            if isinstance(milliseconds, bool) or not isinstance(milliseconds, (int, float)):
                raise InvalidDataError("syncInterval is a number of milliseconds")
            data["sync_interval"] = milliseconds / 1000
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise InvalidDataError(f"SyncConfig: {describe(error)}") from error

    @field_validator("api_endpoint")
    @classmethod
    def _of_this_server(cls, value: str) -> str:
        return check_endpoint(value)


@dataclass(frozen=True, slots=True)
class SyncOperation:
    """A change in the seed's shape: ``create``, ``update`` or ``delete`` on an endpoint."""

    type: OperationType
    endpoint: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Periodic:
    config: SyncConfig
    task: asyncio.Task[None]


class SyncService:
    """Loads, saves and keeps in step, by cache key. One for each client."""

    def __init__(
        self,
        backend: Backend,
        registry: Registry,
        base_url: str,
        *,
        headers: Callable[[], dict[str, str]],
        current: Callable[[], Synchronizer | None],
    ) -> None:
        self._backend = backend
        self._registry = registry
        self._base_url = base_url
        self._headers = headers
        self._current = current
        self._times = LastSync(backend.storage)
        self._waits = Waits()
        """While nobody is signed in."""
        self._periodic: dict[str, _Periodic] = {}

    def create_operation(
        self,
        type: OperationType,  # noqa: A002 - the seed's name
        endpoint: str,
        data: dict[str, Any],
    ) -> SyncOperation:
        """State a change.

        Raises:
            InvalidDataError: unknown type, no endpoint of this server, or data that is no object.
        """
        if type not in ("create", "update", "delete"):
            raise InvalidDataError(f"{type!r} is no operation: use 'create', 'update' or 'delete'")
        if not isinstance(data, Mapping):
            raise InvalidDataError(f"an operation states an object, not {data!r:.80}")
        return SyncOperation(type, check_endpoint(endpoint), dict(data))

    async def add_to_queue(self, operation: SyncOperation) -> Write:
        """Put a change into the journal; it is sent in the background, as soon as possible.

        The endpoint is that of a declared collection; over REST any one will do.

        Raises:
            InvalidDataError: bad data, or an endpoint this server does not have.
            WrongUserError, NotSignedInError: the endpoint is not the signed-in user's.
            StorageFullError: no room; nothing was changed.
        """
        synchronizer = self._signed_in()
        kind, endpoint = operation.type, check_endpoint(operation.endpoint)
        check_user(endpoint, synchronizer.user_id)
        collection = collection_at(self._registry, synchronizer.user_id, endpoint)
        data = stated_data(kind, endpoint, operation.data)
        if collection is None:
            return await self._queue_call(synchronizer, Call(kind, endpoint), operation.data)
        key = synchronizer.user_id if collection.single else collection.key_of(data)
        if kind != "delete":
            return await synchronizer.write(collection.name, key, data, kind)
        check_deletable(collection)
        return await synchronizer.write(collection.name, key, None)

    async def save(
        self, config: SyncConfig, data: Any, operation: SyncOperation | None = None
    ) -> Write | None:
        """Keep ``data`` under its cache key at once; send ``operation`` in the background.

        For a declared collection the stored value is the view that results from the operation;
        for any other cache key it is ``data``.

        Raises:
            InvalidDataError: bad data; nothing was changed.
            StorageFullError: no room; nothing was changed.
        """
        if self._is_view(config.cache_key):
            return None if operation is None else await self.add_to_queue(operation)
        key, text = cache_key(config.cache_key), _json_text(data)
        [before] = await self._backend.storage.read([key])
        await self._backend.storage.write({key: text})
        if operation is None:
            return None
        try:
            return await self.add_to_queue(operation)
        except AtihaError:
            await write_views(self._backend.storage, {key: before})
            raise

    async def load(self, config: SyncConfig) -> Any:
        """The newest data: from the server, else from the cache; ``None`` where neither has any.

        An object that holds exactly one list is unwrapped to that list. A server that asked to be
        left alone (``Retry-After``) is not asked before.
        """
        collection = self._view_collection(config.cache_key)
        if collection is not None:
            return await self._load_view(collection)
        try:
            value = await self._fetch(config.api_endpoint)
        except TransportError as error:
            logger.warning("%s: %s; the cached value is used", config.api_endpoint, error)
            return await self._cached(config.cache_key)
        if self._is_anothers_view(config):
            # Its user has signed out here, whatever the server knows of that: nothing stays.
            return value
        await write_views(self._backend.storage, {cache_key(config.cache_key): dump_json(value)})
        await self._times.record([config.cache_key], iso(hlc.tick(self._backend.now_ms(), "")))
        return value

    async def process_sync_queue(self) -> SyncReport:
        """Send everything pending now; returns what happened.

        Raises:
            NotSignedInError: nobody is signed in.
        """
        return await self._signed_in().sync()

    def start_periodic_sync(self, config: SyncConfig) -> None:
        """Load at once and then every ``sync_interval`` seconds, until stopped.

        Idempotent; another configuration of the same cache key takes the place of the old one.
        """
        running = self._periodic.get(config.cache_key)
        if running is not None and running.config == config:
            return
        self.stop_periodic_sync(config)
        task = asyncio.create_task(self._repeat(config))
        self._periodic[config.cache_key] = _Periodic(config, task)

    def stop_periodic_sync(self, config: SyncConfig) -> None:
        """Stop what ``start_periodic_sync`` began. Idempotent."""
        running = self._periodic.pop(config.cache_key, None)
        if running is not None:
            running.task.cancel()

    async def close(self) -> None:
        """Stop every periodic sync."""
        tasks = [running.task for running in self._periodic.values()]
        self._periodic.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _repeat(self, config: SyncConfig) -> None:
        while True:
            try:
                await self.load(config)
            except AtihaError as error:
                logger.warning("periodic sync of %s: %s", config.cache_key, error)
            except Exception:
                # As the cycle, it outlives any mistake of ours.
                logger.exception("periodic sync of %s failed unexpectedly", config.cache_key)
            await asyncio.sleep(config.sync_interval)

    async def _load_view(self, name: str) -> list[dict[str, Any]]:
        synchronizer = self._signed_in()
        try:
            if not synchronizer.scheduler.is_to_wait:
                await synchronizer.sync()
        except StorageError as error:
            logger.warning("%s: %s; the local data is used", name, error)
        collection = self._registry[name]
        view = synchronizer.engine.view(name)
        return [collection.row(synchronizer.user_id, key, view[key]) for key in view]

    async def _queue_call(
        self, synchronizer: Synchronizer, call: Call, data: dict[str, Any]
    ) -> Write:
        if synchronizer.protocol.name == "sync":
            raise InvalidDataError(
                f"{call.endpoint!r:.80} is not a declared collection's endpoint: declare one, "
                "or connect with protocol='rest', which sends any"
            )
        return await synchronizer.queue(call, data)

    async def _fetch(self, endpoint: str) -> Any:
        """What the server says of an endpoint, asked after all it acknowledged there."""
        headers = {"accept": "application/json", **self._headers()}
        request = Request("GET", self._base_url + endpoint, headers)
        for _ in range(LOADS):
            asked = self._position(endpoint)
            value = unwrap(_json_body(request, await self._answer(request, path_of(endpoint))))
            if self._position(endpoint) == asked:
                return value
        raise NetworkError("it changed at every try while it was read")

    async def _answer(self, request: Request, path: str) -> Response:
        current = self._current()
        waits = self._waits if current is None else current.waits
        if left := waits.left([path]):
            raise NetworkError(f"the server asked to wait for {left[path]:.0f} s more")
        response = await self._backend.transport.request(request)
        if response.status in (429, 503):
            now = hlc.from_milliseconds(self._backend.now_ms())
            waits.note(path, wait_asked(response, now))
        return response

    def _position(self, endpoint: str) -> tuple[Synchronizer | None, int]:
        """Who asks, and how many operations of an endpoint were acknowledged."""
        current = self._current()
        if current is None:
            return None, 0
        collection = collection_at(self._registry, current.user_id, endpoint)
        name = path_of(endpoint) if collection is None else collection.name
        return current, current.engine.local.memory.settled[name]

    async def _cached(self, key: str) -> Any:
        [text] = await self._backend.storage.read([cache_key(key)])
        try:
            return None if text is None else json.loads(text)
        except ValueError:
            return None

    def _signed_in(self) -> Synchronizer:
        current = self._current()
        if current is None:
            raise NotSignedInError("nobody is signed in: call client.users.login first")
        return current

    def _view_collection(self, key: str) -> str | None:
        current = self._current()
        if current is None:
            return None
        return next((name for name in self._registry if key == f"{name}_{current.user_id}"), None)

    def _is_view(self, key: str) -> bool:
        return self._view_collection(key) is not None

    def _is_anothers_view(self, config: SyncConfig) -> bool:
        """Whether a cache key is that of a view of a user who is not signed in here."""
        current, named = self._current(), user_of(config.api_endpoint)
        if named is None or (current is not None and current.user_id == named):
            return False
        return config.cache_key in {f"{name}_{named}" for name in self._registry}


def _json_text(data: Any) -> str:
    try:
        return dump_json(data)
    except (TypeError, ValueError) as error:
        raise InvalidDataError(f"only JSON can be cached: {error}") from error


def _json_body(request: Request, response: Response) -> Any:
    if is_elsewhere(request, response):
        raise NetworkError("another server answered")
    if not 200 <= response.status < 300:
        code, detail = problem(response)
        raise ProblemError(detail or f"status {response.status}", response.status, code)
    return read_json(response)
