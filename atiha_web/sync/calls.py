"""Operations as calls of a REST server: method, path and body, the same at every try."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from atiha_web.collections import FILLED_IN, Collection, Registry
from atiha_web.errors import InvalidDataError, WrongUserError
from atiha_web.sync.merge import SESSION, ViewingSessions
from atiha_web.sync.names import is_user_id
from atiha_web.sync.operation import (
    MAX_KEY_LENGTH,
    Call,
    Operation,
    OperationType,
    dump_json,
)

UpdateMethod = Literal["PATCH", "PUT"]

MAX_ENDPOINT = 2_000

_ENDPOINT = re.compile(r"/(?![/\\])[^\s\\#\x00-\x20\x7f]*")
_KEY_NAMES = ("contentId", "id", "key")


@dataclass(frozen=True, slots=True)
class RestCall:
    """One request of a REST server. ``resource`` is the path whose operations keep their order."""

    method: str
    endpoint: str
    body: bytes | None

    @property
    def resource(self) -> str:
        """The path alone."""
        return path_of(self.endpoint)


def check_endpoint(text: str) -> str:
    """A path of this server, maybe with a query.

    Raises:
        InvalidDataError: it is not, or leads elsewhere.
    """
    if not _ENDPOINT.fullmatch(text) or len(text) > MAX_ENDPOINT:
        raise InvalidDataError(
            f"{text!r:.80} is no endpoint: a path of this server such as /api/users/1/ratings "
            "is expected"
        )
    if {".", ".."} & set(unquote(path_of(text)).split("/")):
        raise InvalidDataError(f"{text!r:.80} is no endpoint: name the path without . and ..")
    return text


def path_of(endpoint: str) -> str:
    """An endpoint without its query and without a slash at its end."""
    return urlsplit(endpoint).path.rstrip("/") or "/"


def user_of(endpoint: str) -> str | None:
    """Whose data an endpoint names; ``None`` where it names no user."""
    parts = path_of(endpoint).split("/")
    if parts[:3] != ["", "api", "users"] or len(parts) < 4:
        return None
    user_id = unquote(parts[3])
    return user_id if is_user_id(user_id) else None


def check_user(endpoint: str, user_id: str) -> None:
    """Refuse an endpoint that names another user.

    Raises:
        WrongUserError: it does.
    """
    owner = user_of(endpoint)
    if owner not in (None, user_id):
        raise WrongUserError(f"{endpoint!r:.80} belongs to another user than {user_id!r}")


def collection_at(registry: Registry, user_id: str, endpoint: str) -> Collection | None:
    """The declared collection whose endpoint this is."""
    path = path_of(endpoint)
    return next(
        (each for each in registry.values() if each.endpoint(user_id) == path),
        None,
    )


def stated_data(kind: OperationType, endpoint: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """What is stated: a deletion may name what it deletes in the endpoint's query."""
    named = dict(parse_qsl(urlsplit(endpoint).query)) if kind == "delete" else {}
    return {**named, **data}


def undeclared_key(data: Mapping[str, Any], otherwise: str) -> str:
    """What identifies a record of which no collection is declared, as far as that can be told."""
    for name in _KEY_NAMES:
        value = data.get(name)
        if isinstance(value, (str, int)) and 0 < len(str(value)) <= MAX_KEY_LENGTH:
            return str(value)
    return otherwise


def is_call(operation: Operation) -> bool:
    """Whether it is a call of an endpoint of which no collection is declared."""
    return operation.call is not None and operation.call.endpoint != ""


def call_of(operation: Operation, registry: Registry, user_id: str) -> Call:
    """Type and endpoint of an operation: its own, or what its collection says."""
    stated = operation.call
    if stated is not None and stated.endpoint:
        return stated
    name = operation.collection
    collection = registry.find(name)
    endpoint = collection.endpoint(user_id) if collection else f"/api/users/{user_id}/{name}"
    if stated is not None:
        return replace(stated, endpoint=endpoint)
    single = collection is not None and collection.single
    return Call("delete" if operation.data is None else "update" if single else "create", endpoint)


def seed_data(operation: Operation, registry: Registry) -> dict[str, Any]:
    """What an operation states, in the seed's shape: the key among its data."""
    data = dict(operation.data or {})
    if is_call(operation):
        return data
    collection = registry.find(operation.collection)
    return {collection.key_alias if collection else "key": operation.key, **data}


def rest_call(
    operation: Operation, registry: Registry, user_id: str, update_method: UpdateMethod
) -> RestCall:
    """The request that replays ``operation``; a pure function of what the journal holds.

    Raises:
        InvalidDataError: a deletion names what it deletes by something else than plain values.
    """
    call = call_of(operation, registry, user_id)
    if call.type == "delete":
        return RestCall("DELETE", _with_query(call.endpoint, _named(operation, registry)), None)
    body = seed_data(operation, registry)
    collection = registry.find(operation.collection)
    if collection is not None:
        whole = call.fields is None or update_method == "PUT"
        body = _members(collection, body, None if whole else call.fields)
    method = "POST" if call.type == "create" else update_method
    return RestCall(method, call.endpoint, dump_json(body).encode())


def _members(
    collection: Collection, data: Mapping[str, Any], fields: Iterable[str] | None
) -> dict[str, Any]:
    """The members of a body: the key, and of ``fields`` what the server does not fill in."""
    # How our own server's merge names a viewing means nothing to another one.
    left_out = FILLED_IN | ({SESSION} if isinstance(collection.policy, ViewingSessions) else set())
    kept = set(data if fields is None else fields) - left_out
    if not collection.single:
        kept.add(collection.key_alias)
    return {name: value for name, value in data.items() if name in kept}


def _named(operation: Operation, registry: Registry) -> dict[str, Any]:
    """What a deletion names."""
    data = seed_data(operation, registry)
    collection = registry.find(operation.collection)
    if collection is not None:
        return {} if collection.single else {collection.key_alias: operation.key}
    return {"contentId": data["contentId"]} if "contentId" in data else data


def _with_query(endpoint: str, named: Mapping[str, Any]) -> str:
    if not named:
        return endpoint
    plain = {name: _plain(value) for name, value in named.items()}
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(plain, quote_via=quote)}"


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return dump_json(value)
    raise InvalidDataError("a deletion names what it deletes by text and numbers alone")
