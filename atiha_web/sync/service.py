"""The seed's ``SyncService``: cached values, operations and periodic syncs by cache key."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import Field, field_validator

from atiha_web.backends.base import Backend, Request, Response
from atiha_web.collections import Registry, iso
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
from atiha_web.sync.engine import Write
from atiha_web.sync.journal import cache_key
from atiha_web.sync.last_sync import LastSync
from atiha_web.sync.local_store import write_views
from atiha_web.sync.operation import dump_json
from atiha_web.sync.outcomes import problem
from atiha_web.sync.status import SyncReport
from atiha_web.sync.synchronizer import Synchronizer

logger = logging.getLogger("atiha_web")

OperationType = Literal["create", "update", "delete"]
_ENDPOINT = re.compile(r"/api/users/([^/?#]+)/([a-z0-9-]+)/?(?:[?#].*)?")


class SyncConfig(AtihaModel):
    """What to keep in step: a cache key, its endpoint, and how often.

    ``sync_interval`` is in seconds; under its alias ``syncInterval`` it is in milliseconds, as in
    the seed.
    """

    cache_key: str = Field(min_length=1, max_length=256)
    api_endpoint: str = Field(min_length=1, max_length=2_000)
    sync_interval: float = Field(default=30.0, gt=0, alias="sync_interval")

    def __init__(self, **data: Any) -> None:
        if "syncInterval" in data:
            data["sync_interval"] = data.pop("syncInterval") / 1000
        super().__init__(**data)

    @field_validator("api_endpoint")
    @classmethod
    def _same_origin(cls, value: str) -> str:
        if not value.startswith("/") or value.startswith("//"):
            raise ValueError("an endpoint is a path of this server, such as /api/users/1/ratings")
        return value


@dataclass(frozen=True, slots=True)
class SyncOperation:
    """A change in the seed's shape: ``create``, ``update`` or ``delete`` on an endpoint."""

    type: OperationType
    endpoint: str
    data: dict[str, Any]


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
        self._periodic: dict[str, asyncio.Task[None]] = {}

    def create_operation(
        self,
        type: OperationType,  # noqa: A002 - the seed's name
        endpoint: str,
        data: dict[str, Any],
    ) -> SyncOperation:
        """State a change.

        Raises:
            InvalidDataError: unknown type.
        """
        if type not in ("create", "update", "delete"):
            raise InvalidDataError(f"{type!r} is no operation: use 'create', 'update' or 'delete'")
        return SyncOperation(type, endpoint, dict(data))

    async def add_to_queue(self, operation: SyncOperation) -> Write:
        """Put a change into the journal; it is sent in the background, as soon as possible.

        Raises:
            InvalidDataError: bad data, or an endpoint that is no declared collection's.
            WrongUserError, NotSignedInError: the endpoint is not the signed-in user's.
        """
        found = _ENDPOINT.fullmatch(operation.endpoint)
        synchronizer = self._signed_in()
        if found is None or unquote(found[1]) != synchronizer.user_id:
            raise InvalidDataError(
                f"{operation.endpoint!r} is not an endpoint of the signed-in user: "
                f"/api/users/{synchronizer.user_id}/<collection> is expected"
            )
        collection = self._by_slug(found[2])
        key = collection.key_of(operation.data)
        data = None if operation.type == "delete" else operation.data
        return await synchronizer.write(collection.name, key, data)

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
        write = None if operation is None else await self.add_to_queue(operation)
        if not self._is_view(config.cache_key):
            await self._backend.storage.write({cache_key(config.cache_key): _json_text(data)})
        return write

    async def load(self, config: SyncConfig) -> Any:
        """The newest data: from the server, else from the cache; ``None`` where neither has any.

        An object that holds exactly one list is unwrapped to that list.
        """
        collection = self._view_collection(config.cache_key)
        if collection is not None:
            return await self._load_view(collection)
        try:
            value = await self._fetch(config.api_endpoint)
        except TransportError as error:
            logger.warning("%s: %s; the cached value is used", config.api_endpoint, error)
            return await self._cached(config.cache_key)
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
        """Load at once and then every ``sync_interval`` seconds, until stopped. Idempotent."""
        if config.cache_key not in self._periodic:
            self._periodic[config.cache_key] = asyncio.create_task(self._repeat(config))

    def stop_periodic_sync(self, config: SyncConfig) -> None:
        """Stop what ``start_periodic_sync`` began. Idempotent."""
        task = self._periodic.pop(config.cache_key, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Stop every periodic sync."""
        tasks = list(self._periodic.values())
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
            await asyncio.sleep(config.sync_interval)

    async def _load_view(self, name: str) -> list[dict[str, Any]]:
        synchronizer = self._signed_in()
        try:
            await synchronizer.sync()
        except StorageError as error:
            logger.warning("%s: %s; the local data is used", name, error)
        collection = self._registry[name]
        view = synchronizer.engine.view(name)
        return [collection.row(synchronizer.user_id, key, view[key]) for key in view]

    async def _fetch(self, endpoint: str) -> Any:
        headers = {"accept": "application/json", **self._headers()}
        request = Request("GET", self._base_url + endpoint, headers)
        return unwrap(_json_body(await self._backend.transport.request(request)))

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

    def _by_slug(self, slug: str) -> Any:
        return self._registry[slug.replace("-", "_")]


def unwrap(value: Any) -> Any:
    """The list of an object that holds exactly one list; anything else as it is."""
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        if len(lists) == 1:
            return lists[0]
    return value


def _json_text(data: Any) -> str:
    try:
        return dump_json(data)
    except (TypeError, ValueError) as error:
        raise InvalidDataError(f"only JSON can be cached: {error}") from error


def _json_body(response: Response) -> Any:
    if response.status != 200:
        code, detail = problem(response)
        raise ProblemError(detail or f"status {response.status}", response.status, code)
    try:
        return json.loads(response.body)
    except ValueError as error:
        raise NetworkError("something else than the server answered: no JSON") from error
