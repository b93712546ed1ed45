"""A tab that stood still hears of everything later, one by one, when it is long over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from atiha_web.backends.base import StorageChange
from atiha_web.errors import ClosedError
from atiha_web.sync.names import QUEUE_KEY, SESSION_KEY
from atiha_web.sync.pages import erased
from atiha_web.sync.reconciler import Reconciler
from atiha_web.sync.replica import Quarantined
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import FakeDevice, FakeServer, lost_request
from tests.unit.sync.samples import OpenTab, queue_of, rating, turns


@asynccontextmanager
async def asleep(tab: Synchronizer) -> AsyncIterator[None]:
    """Within the block it takes in nothing of what it hears."""
    async with tab.engine.local.mutex:
        yield
        await turns()
    await turns()


async def fall_deaf(tab: Synchronizer) -> None:
    """From now on it hears nothing of what others do."""
    assert tab.engine._tabs is not None
    await tab.engine._tabs.stop()


async def being_saved(tab: Synchronizer) -> asyncio.Task[None]:
    """Rate a film, of which every tab hears; the task ends once the server has it."""
    write = await tab.write("ratings", "m1", {"rating": 4})
    saving = asyncio.ensure_future(write.saved("server"))
    await turns()
    return saving


async def test_what_replaced_a_replacement_is_waited_for(open_tab: OpenTab) -> None:
    a, b = await open_tab(), await open_tab()
    await b.sync()
    saving = await being_saved(a)
    async with asleep(a):
        await b.write("ratings", "m1", {"rating": 2})
        await b.write("ratings", "m1", {"rating": 3})
    assert (saving.done(), rating(a, "m1"), queue_of(a)) == (False, 3, 1)
    await b.sync()
    await turns()
    assert saving.done()


async def test_what_replaced_a_write_and_was_discarded_is_not_told_to_be_saved(
    open_tab: OpenTab,
) -> None:
    a, b = await open_tab(), await open_tab()
    saving = await being_saved(a)
    async with asleep(a):
        await b.write("ratings", "m1", {"rating": 2})
        await b.stop()
        await b.engine.local.erase()
    with pytest.raises(ClosedError, match="discarded"):
        await saving


async def test_what_was_replaced_awake_and_discarded_then_is_not_told_to_be_saved(
    open_tab: OpenTab,
) -> None:
    a, b = await open_tab(), await open_tab()
    saving = await being_saved(a)
    await b.write("ratings", "m1", {"rating": 2})
    await turns()
    await b.engine.local.erase()
    with pytest.raises(ClosedError, match="discarded"):
        await saving


async def test_what_the_server_refuses_is_not_kept_once_it_was_discarded(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    operation = (await a.write("ratings", "m1", {"rating": 4})).operation
    assert operation is not None
    async with asleep(a):
        refused = Quarantined(operation, "invalid", "refused")
        refusing = asyncio.ensure_future(a.engine.reconciler.refuse(refused))
        await turns()
        await b.engine.local.erase()
    await refusing
    assert [key for key in device.origin.items if operation.id in key] == []


async def test_what_was_discarded_between_two_requests_is_not_sent(
    server: FakeServer, open_tab: OpenTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await fall_deaf(a)
    apply = Reconciler.apply

    async def sleeps(reconciler: Reconciler, *args: Any) -> Any:
        applied = await apply(reconciler, *args)
        monkeypatch.undo()
        await b.engine.local.erase()
        return applied

    monkeypatch.setattr(Reconciler, "apply", sleeps)
    assert (await a.sync()).ok
    assert [each.request.operations for each in server.exchanges] == [[]]


async def test_what_was_discarded_as_its_request_failed_is_not_sent_again(
    server: FakeServer, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.sync()
    await a.write("ratings", "m1", {"rating": 4})
    await fall_deaf(a)
    server.fail_next(lost_request())
    syncing = asyncio.ensure_future(a.sync())
    await turns()
    assert a.status().in_flight == 1
    await b.engine.local.erase()
    assert "discarded" in (await syncing).message
    assert [each.request.operations for each in server.exchanges] == [[]]


async def test_what_was_refused_before_any_base_was_stored_waits_no_more(
    open_tab: OpenTab,
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.write("ratings", "m1", {"rating": 4})
    await turns()
    [operation] = b.engine.local.memory.pending.values()
    await b.engine.reconciler.refuse(Quarantined(operation, "invalid", "no"))
    await turns()
    assert (queue_of(a), list(a.engine.local.memory.quarantine)) == (0, [operation.id])


async def test_what_was_replaced_and_cleared_then_is_not_told_to_be_saved(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await b.sync()
    saving = await being_saved(a)
    async with asleep(a):
        await b.write("ratings", "m1", {"rating": 2})
        await b.stop()
        device.origin.clear()
    assert (saving.done(), queue_of(a), rating(a, "m1")) == (False, 2, 2)
    await a.sync()
    await turns()
    assert saving.done()


@pytest.mark.parametrize("heard_at_once", [True, False])
async def test_what_another_tab_wrote_and_a_clear_took_is_written_again(
    device: FakeDevice, open_tab: OpenTab, *, heard_at_once: bool
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.sync()
    async with asleep(a):
        operation = (await b.write("ratings", "m1", {"rating": 4})).operation
        assert operation is not None
        await b.stop()
        if heard_at_once:
            device.origin.clear()
        else:
            device.origin.items.clear()
    if not heard_at_once:
        device.origin.clear()
        await turns()
    assert (rating(a, "m1"), queue_of(a)) == (4, 1)
    assert f"atiha:ann:j:{operation.id}" in device.origin.items


@pytest.mark.parametrize("has_rows", [True, False])
async def test_what_a_clear_took_is_written_again_by_who_stores_base_before_it_hears_of_both(
    device: FakeDevice, open_tab: OpenTab, *, has_rows: bool
) -> None:
    a, b = await open_tab(), await open_tab()
    if has_rows:
        await a.write("ratings", "m2", {"rating": 2})
    await a.sync()
    async with asleep(a):
        await b.write("ratings", "m1", {"rating": 4})
        await b.stop()
        device.origin.clear()
        local = a.engine.local
        await local.store.base.save(local.memory.base, [])
    assert (rating(a, "m1"), queue_of(a)) == (4, 1)


async def test_what_another_tab_had_acknowledged_before_a_clear_is_not_written_again(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.sync()
    async with asleep(a):
        await b.write("ratings", "m1", {"rating": 4})
        assert (await b.sync()).ok
        await b.stop()
        device.origin.clear()
    assert queue_of(a) == 0


async def test_what_the_server_refused_before_a_clear_is_written_again(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.sync()
    refused = [
        Quarantined(write.operation, "invalid", "no")
        for key in ("m1", "m2", "m3")
        if (write := await b.write("ratings", key, {"rating": 4})).operation is not None
    ]
    await b.engine.reconciler.refuse(refused[0])
    await b.engine.reconciler.refuse(refused[1])
    await turns()
    async with asleep(a):
        await b.engine.reconciler.refuse(refused[2])
        await b.engine.drop_quarantined([refused[0].operation.id])
        await b.stop()
        device.origin.clear()
    kept = [each.operation.id for each in refused[1:]]
    assert sorted(a.engine.local.memory.quarantine) == kept
    assert all(f"atiha:ann:q:{name}" in device.origin.items for name in kept)
    assert queue_of(a) == 0


async def test_what_another_tab_was_discarding_as_storage_was_cleared_is_not_written_again(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await a.sync()
    async with asleep(a):
        await b.write("ratings", "m1", {"rating": 4})
        await b.stop()
        device.origin.documents[0].deliver(StorageChange("atiha:ann:m", erased("b")))
        device.origin.clear()
    assert queue_of(a) == 0


async def test_what_came_back_as_its_replacement_was_refused_is_waited_for(
    open_tab: OpenTab,
) -> None:
    a, b = await open_tab(), await open_tab()
    await b.sync()
    saving = await being_saved(a)
    async with asleep(a):
        await b.write("ratings", "m1", {"rating": 2})
        [replacement] = b.engine.local.memory.pending.values()
        await b.engine.reconciler.refuse(Quarantined(replacement, "invalid", "no"))
    assert (saving.done(), queue_of(a)) == (False, 1)
    await b.sync()
    await turns()
    assert saving.done()


async def test_who_signed_out_after_a_clear_stays_signed_out(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    await b.sync()
    await turns()
    for tab in (a, b):
        tab.engine.local.session = '{"userId":"ann"}'
    async with asleep(a):
        device.origin.clear()
        await turns()
        assert device.origin.items[SESSION_KEY] == '{"userId":"ann"}'
        device.origin.set(SESSION_KEY, None)
    assert SESSION_KEY not in device.origin.items


async def test_who_signed_out_before_a_clear_stays_signed_out(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    await tab.sync()
    tab.engine.local.session = '{"userId":"ann"}'
    async with asleep(tab):
        device.origin.documents[0].deliver(StorageChange(SESSION_KEY, None))
        device.origin.clear()
    assert SESSION_KEY not in device.origin.items


async def hear_of_a_discard_and_a_clear(
    device: FakeDevice, asleep_tab: Synchronizer, other: Synchronizer
) -> None:
    """One tab, whose user has acknowledged data, sleeps while the other one discards them."""
    asleep_tab.engine.local.session = '{"userId":"ann"}'
    await asleep_tab.write("ratings", "m1", {"rating": 4})
    await asleep_tab.sync()
    async with asleep(asleep_tab):
        device.origin.documents[0].deliver(StorageChange(SESSION_KEY, None))
        await other.stop()
        await other.engine.local.erase()
        device.origin.clear()


async def test_what_was_discarded_before_a_clear_is_not_stored_again(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    await hear_of_a_discard_and_a_clear(device, await open_tab(), await open_tab())
    assert [key for key in device.origin.items if key.startswith("atiha:ann:")] == []


async def test_what_was_discarded_before_a_clear_is_not_stored_with_a_reply(
    device: FakeDevice, server: FakeServer, open_tab: OpenTab
) -> None:
    tab, elsewhere = await open_tab(), await open_tab(FakeDevice(server, now_ms=server.now_ms))
    await hear_of_a_discard_and_a_clear(device, tab, await open_tab())
    await elsewhere.write("ratings", "m2", {"rating": 2})
    await elsewhere.sync()
    assert (await tab.sync()).received == 1
    assert [key for key in device.origin.items if key.startswith("atiha:ann:")] == []


def hear_next(device: FakeDevice, *changes: StorageChange) -> None:
    """The first tab goes on before it hears of changes, and of a clear, that it slept through."""
    device.origin.items.clear()
    for change in (*changes, StorageChange(None, None)):
        asyncio.get_running_loop().call_soon(device.origin.documents[0].deliver, change)


@pytest.mark.parametrize("pending", [True, False])
async def test_what_was_discarded_before_a_clear_is_not_stored_again_before_that_is_heard(
    device: FakeDevice, open_tab: OpenTab, *, pending: bool
) -> None:
    tab = await open_tab()
    local = tab.engine.local
    local.session = '{"userId":"ann"}'
    await tab.write("ratings", "m1", {"rating": 4})
    if not pending:
        await tab.sync()
    async with asleep(tab):
        signs_out = StorageChange(SESSION_KEY, None)
        hear_next(device, signs_out, StorageChange("atiha:ann:m", erased("b")))
        await local.reload_base()
        await local.store_base(local.memory.base.rows)
    assert [key for key in device.origin.items if key.startswith("atiha:ann:")] == []


async def test_who_signed_out_before_a_clear_is_not_signed_in_again_before_that_is_heard(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    local = tab.engine.local
    local.session = '{"userId":"ann"}'
    operation = (await tab.write("ratings", "m1", {"rating": 4})).operation
    assert operation is not None
    async with asleep(tab):
        hear_next(device, StorageChange(SESSION_KEY, None))
        await local.reload_base()
        await local.heal()
    assert SESSION_KEY not in device.origin.items
    assert f"atiha:ann:j:{operation.id}" in device.origin.items


async def test_who_goes_on_after_a_discard_keeps_through_a_clear_what_they_wrote_since(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    device.origin.documents[0].deliver(StorageChange("atiha:ann:m", erased("b")))
    await turns()
    operation = (await tab.write("ratings", "m1", {"rating": 4})).operation
    assert operation is not None
    device.origin.clear()
    await turns()
    assert f"atiha:ann:j:{operation.id}" in device.origin.items


async def test_who_hears_late_of_a_sign_out_shows_nothing_of_that_user_again(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    a, b = await open_tab(), await open_tab()
    a.engine.local.session = '{"userId":"ann"}'
    async with asleep(a):
        await b.write("ratings", "m1", {"rating": 4})
        await b.stop()
        await b.engine.local.remove_views()
        device.origin.documents[0].deliver(StorageChange(SESSION_KEY, None))
    assert rating(a, "m1") == 4
    assert [key for key in device.origin.items if key.endswith("_ann")] == []


async def test_who_writes_after_a_sign_out_in_another_tab_shows_nothing_of_that_user_again(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    tab.engine.local.session = '{"userId":"ann"}'
    await tab.engine.local.remove_views()
    device.origin.documents[0].deliver(StorageChange(SESSION_KEY, None))
    await tab.write("ratings", "m1", {"rating": 4})
    assert queue_of(tab) == 1
    shown = [key for key in device.origin.items if key.endswith("_ann") or key == QUEUE_KEY]
    assert shown == []


async def test_who_hears_that_the_same_user_is_back_shows_them_again(
    device: FakeDevice, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    tab.engine.local.session = '{"userId":"ann"}'
    for session in (None, tab.engine.local.session):
        device.origin.documents[0].deliver(StorageChange(SESSION_KEY, session))
        await turns()
    await tab.engine.local.remove_views()
    await tab.sync()
    assert device.origin.items["atiha_ratings_ann"] == "[]"
