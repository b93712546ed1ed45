"""The wire format: golden files that both ends read, so that neither changes it unseen."""

import json
from pathlib import Path
from typing import Any

import pytest

from atiha_web.backends.base import Request
from atiha_web.collections import BUILT_IN, Registry
from atiha_web.errors import InvalidDataError
from atiha_web.server.rows import SyncState
from atiha_web.sync.operation import Operation
from atiha_web.sync.protocol import SyncReply, SyncRequest, from_wire, to_wire
from atiha_web.sync.results import read_results
from atiha_web.testing.fake_server import FakeServer
from tests.unit.sync.samples import NOW, operation, stamp

GOLDEN = Path(__file__).parents[1] / "golden"
REGISTRY = Registry(BUILT_IN)


def golden(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text("utf-8"))


def sent() -> list[Operation]:
    return [
        operation(1, "m1", {"contentType": "movie", "title": "Nosferatu", "rating": 5}),
        Operation("0123456789ab-2", "favorites", "m2", None, stamp(2)),
        operation(3, "m3", {"rating": 9}),
        operation(4, "m4", {"rating": 4}, ms=3_600_000),
    ]


def test_the_client_writes_the_golden_request() -> None:
    operations = [to_wire(each).model_dump(by_alias=True, exclude_defaults=True) for each in sent()]
    request = SyncRequest(protocol=1, epoch="0123456789abcdef", cursor=0, operations=operations)
    assert json.loads(request.to_json()) == golden("sync_request.json")


def test_the_server_reads_the_golden_request() -> None:
    request = SyncRequest.model_validate(golden("sync_request.json"))
    assert [from_wire(raw) for raw in request.operations] == sent()


async def test_the_server_writes_the_golden_reply() -> None:
    server = FakeServer(now_ms=lambda: NOW)
    server.rows._users["ann"].state = SyncState("0123456789abcdef")
    body = (GOLDEN / "sync_request.json").read_bytes()
    reply = await server.answer(Request("POST", "/api/users/ann/sync", {}, body))
    assert json.loads(reply.body) == golden("sync_reply.json")


def test_the_client_reads_the_golden_reply() -> None:
    reply = SyncReply.model_validate(golden("sync_reply.json"))
    verdicts = read_results(REGISTRY, sent(), reply)
    assert list(verdicts.acknowledged) == ["0123456789ab-1", "0123456789ab-2"]
    assert [entry.operation.id for entry in verdicts.rejected] == ["0123456789ab-3"]
    assert [each.id for each in verdicts.ahead] == ["0123456789ab-4"]


@pytest.mark.parametrize(
    "raw",
    [
        None,
        5,
        {},
        {"id": "x"},
        {**golden("sync_request.json")["operations"][0], "type": "delete"},
        {**golden("sync_request.json")["operations"][1], "type": "put"},
        {**golden("sync_request.json")["operations"][0], "schema": 0},
        {**golden("sync_request.json")["operations"][0], "timestamp": "now"},
    ],
    ids=repr,
)
def test_what_is_no_operation_is_refused_alone(raw: object) -> None:
    with pytest.raises(InvalidDataError):
        from_wire(raw)


def test_members_nobody_knows_are_ignored() -> None:
    raw = {**golden("sync_reply.json"), "later": 1}
    assert SyncReply.model_validate(raw) == SyncReply.model_validate(golden("sync_reply.json"))
