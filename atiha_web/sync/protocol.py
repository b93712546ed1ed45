"""The wire format of ``POST /api/users/{id}/sync``, version 1, as both ends use it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from atiha_web.errors import InvalidDataError
from atiha_web.sync.merge import State
from atiha_web.sync.operation import Operation, check_names, dump_json

PROTOCOL = 1

MAX_BATCH_OPERATIONS = 500
MAX_BATCH_BYTES = 256 * 1024
MAX_AHEAD_MS = 60_000
"""How far ahead of the server's clock a timestamp may be."""

Status = Literal["applied", "superseded", "rejected", "clock"]


class WireModel(BaseModel):
    """camelCase on the wire, snake_case in Python; unknown members are ignored.

    Members that may be left out have a default, of which pydantic gives each instance its own copy:
    to learn how a factory like ``list`` is called takes it longer than to build the instance.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, defer_build=True
    )

    def to_json(self) -> bytes:
        """Compact UTF-8 JSON; members left at their default are omitted."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True).encode()


class FlatModel(WireModel):
    """What clients write: members that are JSON as they are, no models among them."""

    def to_json(self) -> bytes:
        """The same, without the serializer that a browser takes 40 ms to get ready."""
        fields = type(self).model_fields.items()
        members = {
            field.alias: value
            for name, field in fields
            if (value := getattr(self, name)) != field.default
        }
        return dump_json(members).encode()


class WireOperation(FlatModel):
    """One operation on the wire."""

    id: str
    collection: str
    key: str
    type: Literal["put", "delete"]
    timestamp: str
    data: dict[str, Any] | None = None
    schema_number: int = Field(default=1, alias="schema", ge=1)


class SyncRequest(FlatModel):
    """What a client sends; ``operations`` are read one by one, so one bad one blocks no other."""

    protocol: int
    epoch: str | None = None
    cursor: int = Field(ge=0)
    operations: list[Any] = []
    limit: int = Field(default=500, ge=1, le=1000)


class RecordState(WireModel):
    """The state of one record as the server keeps it, under the schema it was written in."""

    timestamp: str
    deleted: bool = False
    data: dict[str, Any] | None = None
    schema_number: int = Field(default=1, alias="schema")

    def to_state(self) -> State:
        """As the merge functions take it."""
        return State(self.timestamp, None if self.deleted else (self.data or {}))


class Result(WireModel):
    """What became of one operation; ``record`` only where it differs from what was sent."""

    id: str
    status: Status
    version: int | None = None
    record: RecordState | None = None
    code: str | None = None
    message: str | None = None


class Change(RecordState):
    """One changed row, deletions included."""

    collection: str
    key: str
    version: int


class SyncReply(WireModel):
    """What the server answers: what became of the operations, and what changed since the cursor.

    ``server_time`` is in ms since 1970, ``poll_after`` in seconds, ``digest`` 16 hex digits.
    """

    protocol: int
    epoch: str
    cursor: int = Field(ge=0)
    server_time: int
    more: bool = False
    reset: bool = False
    digest: str | None = None
    poll_after: float | None = None
    results: list[Result] = []
    changes: list[Change] = []


class UnreadReply(SyncReply):
    """A reply whose changes are still what JSON says they are, to be read a few at a time."""

    changes: list[Any] = []


WIRE_MODELS = (WireOperation, SyncRequest, RecordState, Result, Change, UnreadReply)
"""Whoever may hold up nobody builds one after the other before the first use."""


def to_wire(operation: Operation) -> WireOperation:
    """An operation as it travels."""
    return WireOperation(
        id=operation.id,
        collection=operation.collection,
        key=operation.key,
        type="delete" if operation.data is None else "put",
        timestamp=operation.timestamp,
        data=None if operation.data is None else dict(operation.data),
        schema_number=operation.schema,
    )


def from_wire(raw: object) -> Operation:
    """Read one element of ``operations``; whoever has its collection must validate its data.

    Raises:
        InvalidDataError: it is not an operation.
    """
    try:
        wire = WireOperation.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "operation"
        raise InvalidDataError(f"{place}: {first['msg']}") from error
    if (wire.type == "delete") != (wire.data is None):
        raise InvalidDataError("a put carries data and a delete carries none")
    operation = Operation(
        wire.id, wire.collection, wire.key, wire.data, wire.timestamp, wire.schema_number
    )
    check_names(operation)
    return operation
