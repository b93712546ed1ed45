"""Collections: declared once, from which client view, routes and server storage follow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from atiha_web import models
from atiha_web.errors import InvalidDataError, UnknownCollectionError
from atiha_web.sync import hlc
from atiha_web.sync.merge import (
    FIELDS,
    LastWriteWins,
    MergePolicy,
    PerField,
    State,
    ViewingSessions,
)
from atiha_web.sync.operation import Operation, check_data, check_finite, check_key, record_id

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
FILLED_IN = frozenset({"id", "userId", "createdAt", "updatedAt", FIELDS})
"""The members of a row that are filled in on reading and ignored on writing."""

_CREATED_AT = "createdAt"


@dataclass(frozen=True)
class Collection:
    """One kind of record.

    Attributes:
        name: lower-case letters, digits and ``_``, at most 32.
        model: the pydantic model of one record, its key field included.
        key: the model's field (in Python spelling) whose text identifies a record of one user;
            with ``user_id`` each user has one record.
        policy: how concurrent writes merge; last write wins unless told otherwise.
        schema: number of the model's current shape, raised when it changes incompatibly.
        upgrade: ``upgrade(data, from_schema)`` turns older data into the current shape.
        list_name: the member that holds the rows in REST replies; the name unless told otherwise.
        path: where it is below ``/api/users/<user id>`` in REST; the slug unless told otherwise,
            empty for the user's own resource.
    """

    name: str
    model: type[BaseModel]
    key: str = "content_id"
    policy: MergePolicy = field(default_factory=LastWriteWins)
    schema: int = 1
    upgrade: Callable[[dict[str, Any], int], dict[str, Any]] | None = None
    list_name: str = ""
    path: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidDataError(
                f"{self.name!r} cannot name a collection: use lower-case letters, digits and _"
            )
        if self.key not in self.model.model_fields:
            raise InvalidDataError(f"{self.model.__name__} has no field {self.key!r} to be the key")

    @property
    def slug(self) -> str:
        """Its name in URLs: ``watch-history`` for ``watch_history``."""
        return self.name.replace("_", "-")

    def endpoint(self, user_id: str) -> str:
        """The path of a user's records in REST."""
        path = self.slug if self.path is None else self.path
        return f"/api/users/{user_id}/{path}".rstrip("/")

    @property
    def single(self) -> bool:
        """Whether a user has one record, not a list of them."""
        return self.key == "user_id"

    @property
    def is_partial(self) -> bool:
        """Whether an operation states some fields of a record, not all of it."""
        return isinstance(self.policy, PerField)

    @property
    def rows_name(self) -> str:
        """The member that holds its rows in REST replies."""
        return self.list_name or self.name

    @cached_property
    def key_alias(self) -> str:
        """The key field's name in JSON."""
        return self.model.model_fields[self.key].alias or self.key

    def key_of(self, data: Mapping[str, Any]) -> str:
        """The key within a record's JSON or keyword data.

        Raises:
            InvalidDataError: there is none, or it cannot be a key.
        """
        key = data.get(self.key_alias, data.get(self.key))
        if key is None:
            raise InvalidDataError(f"{self.name}: {self.key_alias} is missing")
        return check_key(key)

    def build(
        self, key: str, data: Mapping[str, Any], current: State | None, timestamp: str
    ) -> dict[str, Any]:
        """The JSON data of a new write at ``timestamp``, completed from the ``current`` view.

        Raises:
            InvalidDataError: naming each field that is wrong.
            OperationTooLargeError: above 32 KiB.
        """
        whole = self._read(key, data)
        if self.is_partial:
            return self._checked(whole)
        names = set(self.json_names(data))
        given = {name: value for name, value in whole.items() if name in names}
        built = {**whole, **self.policy.prepare(given, current, timestamp)}
        if _CREATED_AT not in built and current is not None and current.data is not None:
            built[_CREATED_AT] = current.data.get(_CREATED_AT) or iso(current.timestamp)
        return self._checked(built)

    def json_names(self, data: Mapping[str, Any]) -> list[str]:
        """How the members of ``data``, in either spelling, are called in JSON."""
        fields = self.model.model_fields
        return [(fields[name].alias or name) if name in fields else name for name in data]

    def validate(self, key: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON data of one operation on ``key``, without the key and what is filled in.

        Raises:
            InvalidDataError: naming each field that is wrong.
            OperationTooLargeError: above 32 KiB.
        """
        return self._checked(self._read(key, data))

    def _checked(self, payload: dict[str, Any]) -> dict[str, Any]:
        check_data(payload, self.name)
        if isinstance(self.policy, PerField):
            self.policy.check(payload, self.name)
        return payload

    def _read(self, key: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """What the model makes of the data; whether it can be stored is not checked yet."""
        check_key(key)
        given = {name: value for name, value in data.items() if name != self.key}
        check_finite(given, self.name)
        try:
            entry = self.model.model_validate({**given, self.key_alias: key})
            # A per-field statement holds what was set, nulls too; a whole one needs no nulls.
            payload = entry.model_dump(
                mode="json",
                by_alias=True,
                exclude_unset=self.is_partial,
                exclude_none=not self.is_partial,
            )
        except ValidationError as error:
            raise InvalidDataError(f"{self.name}: {describe(error)}") from error
        except (PydanticSerializationError, UnicodeError) as error:
            raise InvalidDataError(f"{self.name}: {error}") from error
        payload = {
            name: value
            for name, value in payload.items()
            if name not in FILLED_IN and name != self.key_alias
        }
        created_at = given.get(_CREATED_AT, given.get("created_at"))
        if created_at is not None:
            payload[_CREATED_AT] = _normal_time(created_at, self.name)
        return payload

    def upgraded(self, data: Mapping[str, Any], schema: int) -> dict[str, Any]:
        """Data written under the number ``schema``, in the current shape.

        Data of a higher number is left as it is.

        Raises:
            InvalidDataError: ``upgrade`` cannot read it.
        """
        if schema >= self.schema or self.upgrade is None:
            return dict(data)
        try:
            return self.upgrade(dict(data), schema)
        except Exception as error:
            # It is the app's function and may raise anything; one record must stop no other.
            raise InvalidDataError(
                f"{self.name}: data of schema {schema} cannot be upgraded: {error!r}"
            ) from error

    def current(self, state: State, schema: int) -> State:
        """A state stored under the number ``schema``, in the current shape where it can be read."""
        if state.data is None or schema >= self.schema or self.upgrade is None:
            return state
        try:
            values = {name: value for name, value in state.data.items() if name != FIELDS}
            data = self.upgraded(values, schema)
            if isinstance(self.policy, PerField):
                return self.policy.restamp(data, state)
        except InvalidDataError:
            return state
        return State(state.timestamp, data)

    def row(self, user_id: str, key: str, state: State) -> dict[str, Any]:
        """A live record as JSON: its data with id, user, key and times (ISO 8601, UTC)."""
        data = {name: value for name, value in (state.data or {}).items() if name != FIELDS}
        updated_at = iso(state.timestamp)
        return {
            "id": record_id(user_id, self.name, key),
            "userId": user_id,
            self.key_alias: key,
            **data,
            _CREATED_AT: data.get(_CREATED_AT) or updated_at,
            "updatedAt": updated_at,
        }

    def entry(self, user_id: str, key: str, state: State) -> BaseModel:
        """A live record as an instance of the model.

        Raises:
            InvalidDataError: what is stored does not fit the model.
        """
        row = self.row(user_id, key, state)
        if not issubclass(self.model, models.Record):
            row = {name: value for name, value in row.items() if name not in FILLED_IN}
        try:
            return self.model.model_validate(row)
        except ValidationError as error:
            raise InvalidDataError(f"{self.name} {key!r}: {describe(error)}") from error


class Registry(Mapping[str, Collection]):
    """The declared collections, by name.

    Raises:
        InvalidDataError: two share a name.
    """

    def __init__(self, collections: Iterable[Collection]) -> None:
        self._collections: dict[str, Collection] = {}
        for collection in collections:
            if collection.name in self._collections:
                raise InvalidDataError(f"the collection {collection.name!r} is declared twice")
            self._collections[collection.name] = collection

    def __getitem__(self, name: str) -> Collection:
        try:
            return self._collections[name]
        except KeyError:
            known = ", ".join(self._collections)
            raise UnknownCollectionError(f"no collection {name!r}; declared are: {known}") from None

    def find(self, name: str) -> Collection | None:
        """The collection of this name, ``None`` where nobody declared it."""
        return self._collections.get(name)

    def get(self, name: str, default: Any = None, /) -> Collection | Any:
        """The collection of this name, ``default`` where nobody declared it."""
        # The inherited one waits for a KeyError.
        return self._collections.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._collections

    def __iter__(self) -> Iterator[str]:
        return iter(self._collections)

    def __len__(self) -> int:
        return len(self._collections)

    def operation(self, operation: Operation) -> Operation:
        """An operation in its collection's current shape, where it was written under an older one.

        One that cannot be upgraded stays as it is: the server refuses it with the reason.
        """
        collection = self._collections.get(operation.collection)
        if collection is None or operation.schema >= collection.schema:
            return operation
        try:
            data = operation.data
            upgraded = None if data is None else collection.upgraded(data, operation.schema)
        except InvalidDataError:
            return operation
        return replace(operation, data=upgraded, schema=collection.schema)

    def state(self, name: str, state: State, schema: int) -> State:
        """A state of the collection ``name``, in its current shape where it can be read."""
        collection = self._collections.get(name)
        return state if collection is None else collection.current(state, schema)

    @cached_property
    def schemas(self) -> dict[str, int]:
        """The schema number of each collection."""
        return {name: collection.schema for name, collection in self._collections.items()}


@lru_cache(maxsize=256)
def iso(timestamp: str) -> str:
    """The wall-clock part of a timestamp as Prisma writes dates: ``2025-01-06T12:00:00.000Z``."""
    return _iso(hlc.to_datetime(timestamp))


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _normal_time(value: object, what: str) -> str:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return _iso(moment.astimezone(UTC))
    except (ValueError, OverflowError) as error:
        raise InvalidDataError(f"{what}.createdAt: {value!r:.80} is no ISO 8601 date") from error


_CLEARER = {"string_unicode": "Text contains half of a surrogate pair; remove it"}
"""By pydantic's name of an error: words that say what to do, where its own do not."""


def describe(error: ValidationError) -> str:
    """One line for people: each wrong field and what is wrong with it."""
    parts = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        place = ".".join(map(str, item["loc"]))
        words = _CLEARER.get(item["type"], item["msg"])
        parts.append(f"{place}: {words}" if place else words)
    return "; ".join(parts)


BUILT_IN = (
    Collection(
        "watch_history",
        models.WatchHistoryEntry,
        policy=ViewingSessions(),
        list_name="history",
    ),
    Collection("watchlist", models.WatchlistEntry),
    Collection("favorites", models.Favorite),
    Collection("ratings", models.Rating),
    Collection(
        "profile",
        models.UserProfile,
        key="user_id",
        policy=PerField(nested=("preferences",)),
        path="",
    ),
)
"""The collections every client and server knows. An app adds its own beside them."""
