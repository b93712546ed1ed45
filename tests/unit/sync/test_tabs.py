"""Several pages of one user on one storage: each stays in step with what the others do."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import pytest

from atiha_web.backends.base import StorageChange
from atiha_web.backends.memory import MemoryEnvironment
from atiha_web.errors import ClosedError, OperationRejectedError
from atiha_web.sync.journal import encode_operation
from atiha_web.sync.pages import erased
from atiha_web.sync.reconciler import Reconciler
from atiha_web.sync.replica import Base
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import (
    FakeDevice,
    FakeServer,
    ManualClock,
    answer,
    lost_request,
    slow,
)
from tests.unit.sync.samples import OpenTab, queue_of, rating, turns


def break_locks(tab: Synchronizer) -> None:
    """This tab never gets a lock in time."""
    environment = tab.engine.local.backend.environment
    assert isinstance(environment, MemoryEnvironment)

    def lock(name: str, timeout: float) -> AbstractAsyncContextManager[bool]:
        del name, timeout
        return nullcontext(enter_result=False)

    environment.lock = lock  # type: ignore[method-assign]  # the fault under test


async def two_without_locks(open_tab: OpenTab) -> tuple[Synchronizer, Synchronizer]:
    """Two tabs that agree with the server, and from then on never get a lock in time."""
    tabs = await open_tab(), await open_tab()
    for tab in tabs:
        await tab.sync()
    await turns()
    for tab in tabs:
        break_locks(tab)
    return tabs


def sent_ids(server: FakeServer) -> list[str]:
    return [raw["id"] for exchange in server.exchanges for raw in exchange.request.operations]


def stored_queue(device: FakeDevice) -> list[object]:
    found = json.loads(device.origin.items.get("atiha_sync_queue", "[]"))
    assert isinstance(found, list)
    return found


async def test_a_write_in_one_tab_is_shown_in_the_other(open_tab: OpenTab) -> None:
    a, b = await open_tab(), await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await turns()
    assert (rating(b, "m1"), queue_of(b)) == (4, 1)


async def test_writes_in_both_tabs_are_sent_once_each(
    server: FakeServer, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await b.write("ratings", "m2", {"rating": 2})
    await asyncio.gather(a.sync(), b.sync())
    assert sorted(sent_ids(server)) == sorted(set(sent_ids(server)))
    assert len(sent_ids(server)) == 2
    assert [queue_of(a), queue_of(b)] == [0, 0]


async def test_the_later_write_of_another_tab_replaces_the_earlier_one(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await turns()
    await b.write("ratings", "m1", {"rating": 2})
    await turns()
    assert (queue_of(a), queue_of(b), rating(a, "m1")) == (1, 1, 2)
    assert len(stored_queue(device)) == 1


async def test_saved_waits_for_the_write_of_another_tab_that_replaced_it(
    open_tab: OpenTab,
) -> None:
    a, b = await open_tab(), await open_tab()
    write = await a.write("ratings", "m1", {"rating": 4})
    saved = asyncio.ensure_future(write.saved("server"))
    await turns()
    await b.write("ratings", "m1", {"rating": 2})
    await turns()
    assert not saved.done()
    await b.sync()
    await turns()
    assert saved.done()


async def test_saved_waits_for_a_replacement_that_was_only_found_by_a_cycle(
    server: FakeServer, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    write = await a.write("ratings", "m1", {"rating": 4})
    saved = asyncio.ensure_future(write.saved("server"))
    await turns()
    a.engine.local.backend.storage.subscribe(lambda _: None)
    assert a.engine._tabs is not None
    await a.engine._tabs.stop()
    await b.write("ratings", "m1", {"rating": 2})
    server.fail_next(*[answer(503)] * 3)
    await a.sync()
    await turns()
    assert not saved.done()
    saved.cancel()


async def test_saved_tells_of_a_refusal_that_was_only_found_by_a_cycle(
    server: FakeServer, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await b.sync()
    write = await a.write("ratings", "m1", {"rating": 4})
    await turns()
    assert a.engine._tabs is not None
    await a.engine._tabs.stop()
    server.fail_next(answer(400))
    await b.sync()
    await a.sync()
    with pytest.raises(OperationRejectedError):
        await write.saved("server")


async def test_an_acknowledgement_in_one_tab_empties_the_queue_of_the_other(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await turns()
    await a.sync()
    await turns()
    assert (queue_of(b), rating(b, "m1"), stored_queue(device)) == (0, 4, [])


async def test_a_removal_in_one_tab_disappears_in_the_other(open_tab: OpenTab) -> None:
    a, b = await open_tab(), await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await a.sync()
    await turns()
    await b.write("ratings", "m1", None)
    await turns()
    assert rating(a, "m1") is None


async def test_what_is_pending_survives_a_clear_of_the_storage(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await turns()
    device.origin.clear()
    await turns()
    assert [queue_of(a), queue_of(b), len(stored_queue(device))] == [1, 1, 1]
    await b.sync()
    assert [row["rating"] for row in await server.rows_of("ann", "ratings")] == [4]


async def test_a_reply_after_a_clear_that_nobody_heard_of_leaves_what_is_pending(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab
) -> None:
    a = await open_tab()
    server.fail_next(slow(after=5), *3 * [answer(500)])
    asking = asyncio.ensure_future(a.sync())
    await turns()
    await a.write("ratings", "m1", {"rating": 4})
    # As a page does it by itself: no browser tells it of that.
    device.origin.items.clear()
    await asking
    await a.sync()
    assert [row["rating"] for row in await server.rows_of("ann", "ratings")] == [4]


async def test_what_was_refused_survives_a_clear_that_nobody_heard_of(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab
) -> None:
    a = await open_tab()
    await a.sync()
    write = await a.write("ratings", "m1", {"rating": 4})
    assert write.operation is not None
    server.fail_next(answer(413))
    await a.sync()
    refused = f"atiha:ann:q:{write.operation.id}"
    assert refused in device.origin.items
    device.origin.items.clear()
    await a.sync()
    assert refused in device.origin.items


@pytest.mark.parametrize("before", [0, 1], ids=["once", "twice in a row"])
async def test_what_another_tab_discards_is_not_told_to_be_saved(
    open_tab: OpenTab, before: int
) -> None:
    for _ in range(before):
        earlier = await open_tab()
        await earlier.stop()
        await earlier.engine.local.erase()
    a, b = await open_tab(), await open_tab()
    write = await a.write("ratings", "m1", {"rating": 4})
    saving = asyncio.ensure_future(write.saved("server"))
    await turns()
    await b.engine.local.erase()
    with pytest.raises(ClosedError, match="discarded"):
        await saving


async def test_a_tab_that_slept_is_not_told_that_what_was_discarded_is_saved(
    open_tab: OpenTab,
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.sync()
    write = await a.write("ratings", "m1", {"rating": 4})
    assert a.engine._tabs is not None
    await a.engine._tabs.stop()
    await b.stop()
    await b.engine.local.erase()
    again = await open_tab()
    await again.write("ratings", "m2", {"rating": 1})
    await again.sync()
    saving = asyncio.ensure_future(write.saved("server"))
    await a.sync()
    with pytest.raises(ClosedError, match="discarded"):
        await saving
    assert (rating(a, "m1"), rating(a, "m2")) == (None, 1)


async def test_a_tab_that_slept_does_not_bring_back_what_was_cleared_and_then_discarded(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    await open_tab()
    b = await open_tab()
    await b.sync()
    await turns()
    asleep = device.origin.documents.pop(0)
    write = await b.write("ratings", "m1", {"rating": 4})
    assert write.operation is not None
    device.origin.clear()
    await turns()
    await b.stop()
    await b.engine.local.erase()
    again = await open_tab()
    await again.write("ratings", "m2", {"rating": 1})
    await again.sync()
    device.origin.documents.append(asleep)
    key = f"atiha:ann:j:{write.operation.id}"
    for change in (
        StorageChange("atiha:ann:m", device.origin.items["atiha:ann:m"]),
        StorageChange(key, encode_operation(write.operation)),
        StorageChange(None, None),
    ):
        asleep.deliver(change)
    await turns()
    assert key not in device.origin.items


async def test_a_tab_that_slept_hears_of_a_discard_that_a_base_stored_since_hides(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a = await open_tab()
    await a.sync()
    write = await a.write("ratings", "m1", {"rating": 4})
    assert write.operation is not None
    [asleep] = device.origin.documents
    stored = device.origin.items["atiha:ann:m"]
    device.origin.items.clear()
    # As a tab of another process writes it that had not heard of the discard.
    device.origin.items["atiha:ann:m"] = stored
    for change in (StorageChange(None, None), StorageChange("atiha:ann:m", erased("b"))):
        asleep.deliver(change)
    await turns()
    assert f"atiha:ann:j:{write.operation.id}" not in device.origin.items


async def test_a_clear_does_not_make_tabs_forget_what_the_server_has(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a = await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await a.sync()
    never_synced = await open_tab()
    never_synced.engine.local.memory.swap_base(Base())
    device.origin.clear()
    await turns()
    assert rating(a, "m1") == 4
    assert rating(await open_tab(), "m1") == 4


async def test_a_clear_heard_late_does_not_overwrite_what_another_tab_stored_since(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.sync()
    await turns()
    asleep = device.origin.documents.pop(0)
    device.origin.clear()
    await turns()
    await b.write("ratings", "m1", {"rating": 4})
    await b.sync()
    await b.stop()
    device.origin.documents.append(asleep)
    asleep.deliver(StorageChange(None, None))
    await turns()
    assert [rating(tab, "m1") for tab in (a, await open_tab())] == [4, 4]


async def test_two_cycles_at_once_show_every_acknowledged_write_all_the_time(
    server: FakeServer, open_tab: OpenTab
) -> None:
    a, b = await two_without_locks(open_tab)
    # B asks before A's write is there; its reply is the later one.
    server.fail_next(slow(after=5), slow())
    asking = asyncio.ensure_future(b.sync())
    await turns()
    await a.write("ratings", "m1", {"rating": 4})
    await a.sync()
    await asking
    await turns()
    assert [rating(tab, "m1") for tab in (a, b)] == [4, 4]
    assert rating(await open_tab(), "m1") == 4


async def test_a_newer_base_that_another_tab_stored_unheard_is_not_overwritten(
    server: FakeServer, open_tab: OpenTab
) -> None:
    a, deaf = await two_without_locks(open_tab)
    assert deaf.engine._tabs is not None
    await deaf.engine._tabs.stop()
    await server.rows.renew_epochs()
    server.fail_next(slow(after=5), slow(), slow(), *3 * [lost_request()])
    asking = asyncio.ensure_future(deaf.sync())
    await turns()
    await a.write("ratings", "m1", {"rating": 4})
    await a.sync()
    await asking
    assert [rating(tab, "m1") for tab in (a, deaf, await open_tab())] == [4, 4, 4]


async def test_after_a_restore_a_late_reply_hides_nothing_that_another_tab_has_acknowledged(
    server: FakeServer, wall: ManualClock, open_tab: OpenTab
) -> None:
    a, b = await two_without_locks(open_tab)
    backup = server.rows.backup()
    elsewhere = await open_tab(FakeDevice(server, now_ms=wall))
    for rating_lost in (2, 3):
        await elsewhere.write("ratings", "m1", {"rating": rating_lost})
        await elsewhere.sync()
    wall.advance(1)
    server.fail_next(slow(after=5), slow(), *9 * [lost_request()])
    asking = asyncio.ensure_future(a.sync())
    await asyncio.sleep(1)
    server.rows.restore(backup)
    await b.write("ratings", "m1", {"rating": 4})
    # It is told of its write, and gets no further.
    await b.sync()
    await asking
    assert [rating(tab, "m1") for tab in (a, b, await open_tab())] == [4, 4, 4]


async def test_a_reply_of_before_a_restore_replaces_nothing_that_another_tab_learned_since(
    server: FakeServer, open_tab: OpenTab
) -> None:
    a, b = await two_without_locks(open_tab)
    await a.write("ratings", "m1", {"rating": 2})
    server.fail_next(slow(after=5))
    asking = asyncio.ensure_future(a.sync())
    await asyncio.sleep(1)
    await server.rows.renew_epochs()
    await b.write("ratings", "m1", {"rating": 4})
    await b.sync()
    server.fail_next(*3 * [lost_request()])
    await asking
    assert [rating(tab, "m1") for tab in (a, b, await open_tab())] == [4, 4, 4]


async def test_what_a_reply_of_before_a_restore_acknowledged_is_sent_again(
    server: FakeServer, wall: ManualClock, open_tab: OpenTab
) -> None:
    a, b = await two_without_locks(open_tab)
    backup = server.rows.backup()
    write = await a.write("ratings", "m1", {"rating": 2})
    server.fail_next(slow(after=5))
    asking = asyncio.ensure_future(a.sync())
    await asyncio.sleep(1)
    server.rows.restore(backup)
    elsewhere = await open_tab(FakeDevice(server, now_ms=wall))
    await elsewhere.sync()
    # It learns of the restore, and does not get to send what is pending.
    async with b.engine.local.mutex:
        await b.engine.local.swap_in(Base(elsewhere.engine.local.memory.base.epoch))
    await asking
    assert queue_of(a) == 1
    await a.sync()
    await write.saved("server")
    assert [rating(tab, "m1") for tab in (a, b)] == [2, 2]


async def test_pages_of_base_that_tabs_removed_from_each_other_are_written_again(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a = await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await a.sync()
    [page] = [key for key in device.origin.items if key.startswith("atiha:ann:b:")]
    # As another tab does it that wrote a base at the same time, and lost.
    device.origin.set(page, None)
    await a.sync()
    device.reachable = False
    again = await open_tab()
    assert (rating(again, "m1"), again.status().problems) == (4, ())


async def test_who_slept_over_a_reply_does_not_overwrite_what_another_tab_stored_since(
    server: FakeServer, open_tab: OpenTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await two_without_locks(open_tab)
    await server.rows.renew_epochs()
    take_changes = Reconciler._take_changes

    async def sleeps(reconciler: Reconciler, *args: Any) -> Any:
        taken = await take_changes(reconciler, *args)
        monkeypatch.undo()
        await b.write("ratings", "m1", {"rating": 4})
        assert (await b.sync()).ok
        server.fail_next(*3 * [lost_request()])
        return taken

    assert a.engine._tabs is not None
    await a.engine._tabs.stop()
    monkeypatch.setattr(Reconciler, "_take_changes", sleeps)
    await a.sync()
    assert [rating(tab, "m1") for tab in (a, b, await open_tab())] == [4, 4, 4]


async def test_who_slept_over_a_reply_and_a_restore_replaces_nothing_that_came_after_both(
    server: FakeServer, open_tab: OpenTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await two_without_locks(open_tab)
    take_changes = Reconciler._take_changes

    async def sleeps(reconciler: Reconciler, *args: Any) -> Any:
        taken = await take_changes(reconciler, *args)
        monkeypatch.undo()
        await server.rows.renew_epochs()
        await b.write("ratings", "m1", {"rating": 4})
        assert (await b.sync()).ok
        server.fail_next(*3 * [lost_request()])
        return taken

    await a.write("ratings", "m1", {"rating": 2})
    assert a.engine._tabs is not None
    await a.engine._tabs.stop()
    monkeypatch.setattr(Reconciler, "_take_changes", sleeps)
    await a.sync()
    assert [rating(tab, "m1") for tab in (a, b, await open_tab())] == [4, 4, 4]


async def test_rows_another_tab_knows_better_are_kept_when_its_base_is_further(
    open_tab: OpenTab,
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await a.sync()
    await turns()
    base = a.engine.local.memory.base
    # Of what was acknowledged a page may know more than up to where its base is complete.
    [(record, row)] = base.rows.items()
    base.put(record, row._replace(version=base.cursor + 9))
    further = Base(base.epoch, base.cursor + 5)
    async with b.engine.local.mutex:
        await b.engine.local.store.base.replace(further)
    await turns()
    assert rating(a, "m1") == 4
    assert rating(await open_tab(), "m1") == 4


async def test_a_page_that_never_heard_of_another_ones_pages_stores_its_base_whole(
    server: FakeServer, open_tab: OpenTab
) -> None:
    a = await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await a.sync()
    deaf = await open_tab()
    assert deaf.engine._tabs is not None
    await deaf.engine._tabs.stop()
    await a.write("ratings", "m2", {"rating": 3})
    await a.sync()
    local = deaf.engine.local
    async with local.mutex:
        await local.store.base.save(local.memory.base, [])
    opened = await open_tab()
    assert opened.status().problems == ()
    assert rating(opened, "m1") == 4


async def test_a_page_with_other_collections_does_not_make_us_pull_again(
    server: FakeServer, device: FakeDevice, open_tab: OpenTab
) -> None:
    a = await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await a.sync()
    manifest = json.loads(device.origin.items["atiha:ann:m"])
    manifest["schemas"]["more"] = 1
    other = device.backend()
    await other.storage.write({"atiha:ann:m": json.dumps(manifest)})
    await turns()
    assert a.engine.local.memory.base.epoch is not None
    assert rating(a, "m1") == 4


async def test_what_was_discarded_in_one_tab_stays_discarded_in_the_other(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await turns()
    assert b.engine._tabs is not None
    await b.engine._tabs.stop()
    await a.stop()
    await a.engine.local.erase()
    await b.engine.reconciler.catch_up()
    assert [key for key in device.origin.items if key.startswith("atiha:ann:j:")] == []
    assert queue_of(b) == 0


async def test_a_discarded_user_can_begin_anew(device: FakeDevice, open_tab: OpenTab) -> None:
    a = await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await a.stop()
    await a.engine.local.erase()
    again = await open_tab()
    assert (rating(again, "m1"), again.status().problems) == (None, ())
    await again.write("ratings", "m2", {"rating": 1})
    await again.sync()
    assert rating(await open_tab(), "m2") == 1


async def test_a_tab_closed_in_the_middle_of_a_cycle_leaves_its_write_to_the_other(
    server: FakeServer, open_tab: OpenTab
) -> None:
    a, b = await open_tab(background=True), await open_tab()
    await asyncio.sleep(1)
    server.fail_next(slow(before=5))
    await a.write("ratings", "m1", {"rating": 4})
    await asyncio.sleep(1)
    await a.stop()
    assert (await b.sync()).ok
    assert [row["rating"] for row in await server.rows_of("ann", "ratings")] == [4]


async def test_a_stored_operation_nobody_can_read_is_named_once_and_stays(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    device.origin.items["atiha:ann:j:0123456789ab-1"] = "no operation"
    tab = await open_tab()
    await tab.sync()
    await tab.sync()
    assert len(tab.status().problems) == 1
    assert device.origin.items["atiha:ann:j:0123456789ab-1"] == "no operation"


async def test_a_refused_operation_nobody_can_read_is_named_once(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    other = device.backend()
    for number in (1, 2):
        await other.storage.write({"atiha:ann:q:0123456789ab-1": f"nothing {number}"})
        await other.storage.write({"atiha:ann:q:0123456789ab-1": "nothing"})
    await turns()
    assert len(tab.status().problems) == len(set(tab.status().problems))
