"""Operations: immutable, full statements of one record, and the names they go by."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from hashlib import sha1
from math import isfinite
from typing import Any, Literal, NamedTuple

from atiha_web.errors import InvalidDataError, OperationTooLargeError
from atiha_web.sync import hlc

MAX_OPERATION_BYTES = 32 * 1024
MAX_KEY_LENGTH = 256
MAX_DEPTH = 32

_OPERATION_ID = re.compile(r"[0-9a-f]{12}-[0-9]{1,16}")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_NAMESPACE = bytes.fromhex("6f2d6c7e0b7e5b539d436f3b1f0c8a11")


class RecordKey(NamedTuple):
    """Where a record lives within one user's data."""

    collection: str
    key: str


_RECORD = partial(tuple.__new__, RecordKey)

OperationType = Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Call:
    """How a REST server is told of an operation, where its collection alone does not say.

    ``endpoint`` is empty where it is the collection's own. ``fields`` names what an update
    changes; ``None`` for all that the operation states.
    """

    type: OperationType
    endpoint: str = ""
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """A full statement of one record, or its deletion (``data`` is ``None``).

    ``id`` is ``<writer>-<n>``, ``timestamp`` 28 hex digits (see ``hlc``), ``data`` the record as
    JSON without its key, ``schema`` the number of the collection's schema it was written under.

    For an endpoint of which no collection is declared, ``call`` holds the endpoint, ``collection``
    is its path and ``data`` whatever was stated, for a deletion what it names.

    ``earlier`` are pending statements of the record that this one took the place of. They stay on
    this device, and come back if the server refuses this one.
    """

    id: str
    collection: str
    key: str
    data: Mapping[str, Any] | None
    timestamp: str
    schema: int = 1
    call: Call | None = None
    earlier: tuple[Operation, ...] = field(default=(), compare=False, repr=False)

    @property
    def record(self) -> RecordKey:
        """The record it states."""
        return _RECORD((self.collection, self.key))

    @property
    def type(self) -> str:
        """``put`` or ``delete``."""
        return "delete" if self.data is None else "put"


def in_place_of(operation: Operation, covered: Iterable[Operation]) -> Operation:
    """``operation`` with the statements it covers: of many, the first and the latest.

    What follows a bad statement often repeats what is bad in it: then the first one is good.
    """
    known = {each.id: each for older in covered for each in (older, *older.earlier)}
    if not known:
        return operation
    in_order = sorted(known.values(), key=lambda each: (each.timestamp, each.id))
    ends = in_order if len(in_order) == 1 else [in_order[0], in_order[-1]]
    return replace(operation, earlier=tuple(replace(each, earlier=()) for each in ends))


def is_operation_id(text: object) -> bool:
    """Whether ``text`` has the form ``<writer>-<n>``."""
    return isinstance(text, str) and _OPERATION_ID.fullmatch(text) is not None


@lru_cache(maxsize=256)
def record_id(user_id: str, collection: str, key: str) -> str:
    """The id of a record: a UUID (version 5) of user, collection and key.

    Every client and the server compute the same one, so a record keeps its id across its sync.
    """
    name = f"{user_id}/{collection}/{key}".encode()
    digits = sha1(_NAMESPACE + name, usedforsecurity=False).hexdigest()
    # As `uuid.uuid5` writes it, without an object of its own for each row that is shown.
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def dump_json(value: object) -> str:
    """Compact JSON text; raises ``ValueError`` on non-finite numbers."""
    return _ENCODER.encode(value)


def check_text(text: str, what: str) -> None:
    """Refuse what PostgreSQL or UTF-8 cannot hold.

    Raises:
        InvalidDataError: a NUL or a lone surrogate is in ``text``.
    """
    if "\x00" in text:
        raise InvalidDataError(f"{what} contains a NUL character; remove it")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidDataError(f"{what} contains half of a surrogate pair; remove it")


def check_json(value: object, what: str, depth: int = 0) -> None:
    """Refuse anything that is not JSON, cannot be stored, or is nested too deeply.

    Raises:
        InvalidDataError: naming the offending place.
    """
    if value is None or isinstance(value, (bool, int)):
        return
    if isinstance(value, str):
        check_text(value, what)
    elif isinstance(value, float):
        check_finite(value, what)
    elif isinstance(value, (Mapping, list, tuple)):
        _check_nested(value, what, depth + 1)
    else:
        raise InvalidDataError(f"{what} is a {type(value).__name__}, which JSON cannot hold")


def _check_nested(value: Mapping[Any, Any] | Sequence[Any], what: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidDataError(f"{what} is nested more than {MAX_DEPTH} levels deep")
    if not isinstance(value, Mapping):
        for index, item in enumerate(value):
            check_json(item, f"{what}[{index}]", depth)
        return
    for name, item in value.items():
        if not isinstance(name, str):
            raise InvalidDataError(f"{what} has the key {name!r}; JSON keys are text")
        check_text(name, f"a key of {what}")
        check_json(item, f"{what}.{name}", depth)


def check_data(data: Mapping[str, Any], what: str) -> None:
    """Refuse data that cannot be stored, is nested too deeply, or is above 32 KiB.

    Its text tells whether all is well, many times faster than a walk through it, which then says
    what is wrong and where. Keys are text already, as a JSON parser or pydantic gives them.

    Raises:
        InvalidDataError: naming the offending place.
        OperationTooLargeError: above 32 KiB of JSON (in UTF-8).
    """
    try:
        text = dump_json(data).encode()
    except (ValueError, TypeError, RecursionError):
        check_json(data, what)
        raise
    if b"\\u0000" in text or text.count(b"{") + text.count(b"[") > MAX_DEPTH:
        check_json(data, what)
    _check_bytes(len(text))


def check_finite(value: object, what: str) -> None:
    """Refuse a number that is none, at any depth; pydantic would write ``null`` for it.

    Raises:
        InvalidDataError: naming the offending place.
    """
    if isinstance(value, float):
        if not isfinite(value):
            raise InvalidDataError(f"{what} is {value}; only finite numbers can be stored")
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(item, str):
                check_finite(item, f"{what}.{name}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            check_finite(item, f"{what}[{index}]")


def check_key(key: object) -> str:
    """A record's key: 1 to 256 characters of storable text.

    Raises:
        InvalidDataError: it is not.
    """
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH:
        raise InvalidDataError(
            f"a key is text of 1 to {MAX_KEY_LENGTH} characters, not {key!r:.80}"
        )
    check_text(key, "the key")
    return key


def check_operation(operation: Operation) -> None:
    """Check what every operation must satisfy, whatever its collection.

    Raises:
        InvalidDataError: malformed id, key, timestamp or data.
        OperationTooLargeError: above 32 KiB of JSON.
    """
    check_names(operation)
    if operation.data is not None:
        check_data(operation.data, operation.collection)


def check_names(operation: Operation) -> None:
    """Check an operation but for its data, which its collection validates.

    Raises:
        InvalidDataError: malformed id, key or timestamp.
    """
    if not is_operation_id(operation.id):
        raise InvalidDataError(
            f"{operation.id!r:.80} is not an operation id: <writer>-<n> is expected"
        )
    hlc.parse(operation.timestamp)
    check_key(operation.key)


def _check_bytes(size: int) -> None:
    if size > MAX_OPERATION_BYTES:
        raise OperationTooLargeError(
            f"{size:,} bytes in one record; at most {MAX_OPERATION_BYTES:,} can be synced"
        )
