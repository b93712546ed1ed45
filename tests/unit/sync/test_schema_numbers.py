"""Old and new clients against old and new servers: whose schema number counts, nothing is lost."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from atiha_web.collections import BUILT_IN, Collection, Registry
from atiha_web.models import AtihaModel, Record
from atiha_web.server.decisions import validate
from atiha_web.server.push import put_record, synchronise
from atiha_web.sync.cycle import HOLD_SECONDS
from atiha_web.sync.merge import PerField
from atiha_web.sync.operation import RecordKey
from atiha_web.sync.protocol import SyncReply, SyncRequest
from atiha_web.sync.replica import Row
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import FakeDevice, FakeServer, ManualClock
from tests.unit.sync.samples import NOW, operation, stamp, turns


class OldNote(Record):
    """Schema 1: one text."""

    slug: str
    text: str


class NewNote(Record):
    """Schema 2: lines of text."""

    slug: str
    lines: list[str]


def split(data: dict[str, Any], schema: int) -> dict[str, Any]:
    assert schema == 1
    return {"lines": data.pop("text").split("\n"), **data}


OLD = Collection("notes", OldNote, key="slug")
NEW = Collection("notes", NewNote, key="slug", schema=2, upgrade=split)
Open = Callable[..., Awaitable[Synchronizer]]


@pytest.fixture
def server() -> FakeServer:
    return FakeServer(collections=[OLD], now_ms=ManualClock())


@pytest.fixture
def device(server: FakeServer) -> FakeDevice:
    return FakeDevice(server, now_ms=server.now_ms, random=random.Random(1))


@pytest.fixture
async def open_(device: FakeDevice) -> AsyncIterator[Open]:
    """Starts the app on the device, in the version that declares its notes like this."""
    opened: list[Synchronizer] = []

    async def start(declared: Collection, *, beside: bool = False) -> Synchronizer:
        while opened and not beside:
            await opened.pop().stop()
        registry = Registry([*BUILT_IN, declared])
        opened.append(
            Synchronizer(device.backend(), registry, "ann", base_url="", headers=dict, interval=30)
        )
        await opened[-1].start(background=False)
        return opened[-1]

    yield start
    for tab in opened:
        await tab.stop()


def release(server: FakeServer, declared: Collection) -> None:
    """Start another version of the server over the same rows."""
    server.collections = Registry([*BUILT_IN, declared])


def note(tab: Synchronizer, slug: str = "n1") -> dict[str, Any] | None:
    """A note as the app reads it, without what is filled in."""
    entry = tab.engine.entries("notes").get(slug)
    known = None if entry is None else entry.model_dump(by_alias=True, exclude_unset=True)
    filled_in = ("id", "userId", "createdAt", "updatedAt", "slug")
    return known and {name: value for name, value in known.items() if name not in filled_in}


# -- a server that was updated first ---------------------------------------------------------


async def test_an_old_clients_change_is_upgraded_by_the_new_server(
    server: FakeServer, open_: Open
) -> None:
    release(server, NEW)
    tab = await open_(OLD)
    await tab.write("notes", "n1", {"text": "a\nb"})
    assert (await tab.sync()).ok
    [row] = await server.rows_of("ann", "notes")
    assert row["lines"] == ["a", "b"]
    assert tab.status().pending == 0


async def test_a_row_an_old_client_cannot_read_is_kept_told_and_stops_nothing(
    server: FakeServer, open_: Open
) -> None:
    release(server, NEW)
    newer = await open_(NEW)
    await newer.write("notes", "n1", {"lines": ["a"]})
    await newer.write("favorites", "m1", {})
    await newer.sync()
    tab = await open_(OLD)
    assert (await tab.sync()).ok
    assert note(tab) is None
    assert "n1" in tab.engine.view("notes")
    assert "m1" in tab.engine.entries("favorites")
    assert any("text" in words for words in tab.status().problems)
    assert tab.engine.local.memory.base.cursor == 2


async def test_a_row_nobody_could_read_is_read_once_the_app_is_updated(
    server: FakeServer, open_: Open
) -> None:
    release(server, NEW)
    newer = await open_(NEW)
    await newer.write("notes", "n1", {"lines": ["a"]})
    await newer.sync()
    await (await open_(OLD)).sync()
    tab = await open_(NEW)
    await tab.sync()
    assert note(tab) == {"lines": ["a"]}


# -- a server that is updated later ----------------------------------------------------------


async def test_an_old_server_holds_up_new_changes_and_loses_none(
    server: FakeServer, open_: Open
) -> None:
    tab = await open_(NEW)
    await tab.write("notes", "n1", {"lines": ["a"]})
    await tab.write("favorites", "m1", {})
    assert (await tab.sync()).ok
    assert (tab.status().pending, tab.status().quarantined) == (1, 0)
    assert note(tab) == {"lines": ["a"]}
    [problem] = tab.status().problems
    assert "update the server" in problem
    assert "m1" in [row["contentId"] for row in await server.rows_of("ann", "favorites")]
    release(server, NEW)
    await asyncio.sleep(HOLD_SECONDS + 1)
    await tab.sync()
    assert tab.status().pending == 0
    [row] = await server.rows_of("ann", "notes")
    assert row["lines"] == ["a"]


async def test_a_new_client_reads_an_old_servers_rows_in_their_new_shape(
    server: FakeServer, open_: Open
) -> None:
    older = await open_(OLD)
    await older.write("notes", "n1", {"text": "a\nb"})
    await older.sync()
    tab = await open_(NEW)
    await tab.sync()
    assert note(tab) == {"lines": ["a", "b"]}


async def test_an_old_servers_answer_is_read_in_its_new_shape(
    server: FakeServer, open_: Open
) -> None:
    """A deletion means the same under every number, so it need not wait."""
    tab = await open_(NEW)
    await tab.write("notes", "n1", {"lines": ["mine"]})
    await tab.write("notes", "n1", None)
    later = server.now_ms() + 1000
    await put_record(
        server.rows, OLD, "ann", {"slug": "n1", "text": "theirs\nlater"}, "ba9876543210", later
    )
    await tab.sync()
    assert tab.status().pending == 0
    assert note(tab) == {"lines": ["theirs", "later"]}


async def test_an_old_server_leaves_a_newer_servers_rows_alone(
    server: FakeServer, open_: Open
) -> None:
    release(server, NEW)
    newer = await open_(NEW)
    await newer.write("notes", "n1", {"lines": ["a"]})
    await newer.sync()
    release(server, OLD)
    tab = await open_(OLD)
    await tab.write("notes", "n1", {"text": "mine"})
    assert (await tab.sync()).ok
    assert (tab.status().pending, tab.status().quarantined) == (1, 0)
    release(server, NEW)
    tab = await open_(NEW)
    await tab.sync()
    assert tab.status().pending == 0
    [row] = await server.rows_of("ann", "notes")
    assert row["lines"] == ["mine"]


async def test_rows_of_an_older_schema_are_merged_and_answered_in_the_new_shape(
    server: FakeServer, open_: Open
) -> None:
    older = await open_(OLD)
    await older.write("notes", "n1", {"text": "a\nb"})
    await older.sync()
    release(server, NEW)
    late = operation(1, "n1", {"lines": ["late"]}, collection="notes", ms=-1000)
    wire = {"id": late.id, "collection": "notes", "key": "n1", "type": "put", "schema": 2}
    [result] = (
        await _push(server, {**wire, "timestamp": late.timestamp, "data": late.data})
    ).results
    assert result.status == "superseded"
    assert result.record is not None
    assert result.record.data == {"lines": ["a", "b"]}
    assert result.record.schema_number == 2


async def _push(server: FakeServer, *operations: dict[str, Any]) -> SyncReply:
    asked = SyncRequest(protocol=1, cursor=0, operations=list(operations))
    return await synchronise(server.rows, server.collections, "ann", asked, server.now_ms())


# -- what the app left on the device before it was updated -----------------------------------


async def test_stored_rows_read_in_their_new_shape_before_they_are_pulled_again(
    device: FakeDevice, open_: Open
) -> None:
    older = await open_(OLD)
    await older.write("notes", "n1", {"text": "a\nb"})
    await older.sync()
    device.set_online(False)
    tab = await open_(NEW)
    assert note(tab) == {"lines": ["a", "b"]}
    assert tab.engine.local.memory.base.cursor == 0


@pytest.mark.parametrize("versions", [(OLD, NEW), (NEW, OLD)])
async def test_what_another_version_of_the_app_sent_stays_on_the_page(
    open_: Open, versions: tuple[Collection, Collection]
) -> None:
    older, newer = [await open_(declared, beside=True) for declared in versions]
    await older.sync()
    await newer.sync()
    await newer.write("ratings", "m1", {"rating": 4})
    await turns()
    await older.sync()
    await turns()
    assert newer.status().pending == 0
    assert list(newer.engine.entries("ratings")) == ["m1"]


async def test_what_another_version_learns_before_it_has_pulled_all_anew_stays_on_the_page(
    open_: Open,
) -> None:
    older = await open_(OLD)
    await older.write("ratings", "m1", {"rating": 4})
    await older.sync()
    newer = (await open_(NEW, beside=True)).engine.local
    base, record = newer.memory.base, RecordKey("ratings", "m2")
    base.put(record, Row(base.newest + 1, base.rows[record._replace(key="m1")].state))
    async with newer.mutex:
        await newer.store.base.save(base, [record])
    await turns()
    assert set(older.engine.view("ratings")) == {"m1", "m2"}


async def test_what_an_older_version_of_the_app_sent_reads_in_its_new_shape(open_: Open) -> None:
    older, newer = await open_(OLD), await open_(NEW, beside=True)
    await newer.sync()
    await older.write("notes", "n1", {"text": "a\nb"})
    await older.sync()
    await turns()
    assert note(newer) == {"lines": ["a", "b"]}


async def test_stored_changes_are_sent_in_their_new_shape(
    server: FakeServer, device: FakeDevice, open_: Open
) -> None:
    device.set_online(False)
    older = await open_(OLD)
    await older.write("notes", "n1", {"text": "a\nb"})
    device.set_online(True)
    release(server, NEW)
    tab = await open_(NEW)
    assert note(tab) == {"lines": ["a", "b"]}
    await tab.sync()
    sent = [each for exchange in server.exchanges for each in exchange.request.operations]
    assert [(each["schema"], each["data"]["lines"]) for each in sent] == [(2, ["a", "b"])]
    assert tab.status().pending == 0


async def test_stored_changes_of_a_higher_number_are_left_alone_and_sent_as_they_are(
    server: FakeServer, device: FakeDevice, open_: Open
) -> None:
    device.set_online(False)
    newer = await open_(NEW)
    await newer.write("notes", "n1", {"lines": ["a"]})
    key, text = next(item for item in device.origin.items.items() if ":j:" in item[0])
    device.set_online(True)
    tab = await open_(OLD)
    assert (note(tab), device.origin.items[key]) == (None, text)
    release(server, NEW)
    await tab.sync()
    [row] = await server.rows_of("ann", "notes")
    assert row["lines"] == ["a"]


async def test_what_cannot_be_upgraded_is_refused_with_the_reason_and_blocks_nothing(
    server: FakeServer, device: FakeDevice, open_: Open
) -> None:
    def fails(data: dict[str, Any], schema: int) -> dict[str, Any]:
        raise KeyError("lines")

    broken = Collection("notes", NewNote, key="slug", schema=2, upgrade=fails)
    device.set_online(False)
    older = await open_(OLD)
    await older.write("notes", "n1", {"text": "a"})
    await older.write("favorites", "m1", {})
    device.set_online(True)
    release(server, broken)
    tab = await open_(broken)
    await tab.sync()
    [refused] = tab.engine.quarantined
    assert refused.code == "invalid"
    assert "schema 1 cannot be upgraded" in refused.message
    assert refused.operation.data == {"text": "a"}
    assert len(await server.rows_of("ann", "favorites")) == 1
    release(server, NEW)
    tab = await open_(NEW)
    await tab.engine.retry_quarantined(refused.operation.id)
    await tab.sync()
    [row] = await server.rows_of("ann", "notes")
    assert row["lines"] == ["a"]


async def test_fields_nobody_here_knows_survive_a_round_trip(
    server: FakeServer, open_: Open
) -> None:
    tab = await open_(OLD)
    await tab.write("notes", "n1", {"text": "a", "colour": {"name": "red"}})
    await tab.sync()
    again = await open_(OLD)
    assert note(again) == {"text": "a", "colour": {"name": "red"}}
    [row] = await server.rows_of("ann", "notes")
    assert row["colour"] == {"name": "red"}


# -- field by field --------------------------------------------------------------------------


class NewSettings(AtihaModel):
    name: str
    hue: str | None = None
    size: int | None = None


def rename(data: dict[str, Any], schema: int) -> dict[str, Any]:
    return {"hue" if name == "color" else name: value for name, value in data.items()}


def test_the_times_of_fields_stay_through_an_upgrade() -> None:
    policy = PerField()
    settings = Collection(
        "settings", NewSettings, key="name", policy=policy, schema=2, upgrade=rename
    )
    first = policy.lift(stamp(1), {"color": "red", "size": 1})
    second = policy.lift(stamp(2), {"size": 2})
    state = settings.current(policy.merge(first, second), 1)
    assert state.data is not None
    assert {name: state.data[name] for name in ("hue", "size")} == {"hue": "red", "size": 2}
    assert state.data["fields"]["size"] == stamp(2)


# -- what the client is told -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"text": "a", "userId": "eve"}, {"text": "a"}),
        ({"text": "a", "createdAt": "2025-01-06T12:00:00Z"}, None),
        ({"text": "a", "extra": None}, {"text": "a"}),
    ],
)
async def test_a_client_is_told_what_was_stored_in_place_of_what_it_sent(
    server: FakeServer, sent: dict[str, Any], stored: dict[str, Any] | None
) -> None:
    wire = {"id": "0123456789ab-1", "collection": "notes", "key": "n1", "type": "put"}
    found = await _push(server, {**wire, "timestamp": stamp(), "data": sent})
    [result] = found.results
    [row] = (await server.rows.poll("ann", 0, 1))[1]
    assert result.record is not None
    assert result.record.data == row.data
    if stored is not None:
        assert row.data == stored


async def test_a_client_that_sent_what_was_stored_is_told_nothing_more(server: FakeServer) -> None:
    wire = {"id": "0123456789ab-1", "collection": "notes", "key": "n1", "type": "put"}
    data = {"extra": True, "text": "a"}
    [result] = (await _push(server, {**wire, "timestamp": stamp(), "data": data})).results
    assert (result.status, result.record) == ("applied", None)


class Flag(Record):
    slug: str
    on: bool


@pytest.mark.parametrize(("sent", "told"), [(True, False), (1, True), ("yes", True)])
def test_true_is_not_one(sent: object, told: bool) -> None:
    flags = Registry([Collection("flags", Flag, key="slug")])
    raw = {"id": "0123456789ab-1", "collection": "flags", "key": "f", "type": "put"}
    data = json.loads(json.dumps({"on": sent}))
    found = validate({**raw, "timestamp": stamp(), "data": data}, flags, "ann", NOW)
    assert (found.state is not found.sent) == told  # type: ignore[union-attr]
