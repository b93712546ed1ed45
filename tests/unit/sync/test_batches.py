"""What goes into one request."""

import pytest

from atiha_web.sync.batches import Batch, BatchLimit, next_batch
from atiha_web.sync.protocol import MAX_BATCH_BYTES, SyncRequest, from_wire
from tests.unit.sync.samples import operation


def test_the_oldest_go_first() -> None:
    pending = [operation(n) for n in range(5)]
    assert next_batch(pending, 2).operations == pending[:2]


def test_held_ones_stay_behind() -> None:
    pending = [operation(n) for n in range(3)]
    assert next_batch(pending, 500, {pending[0].id}).operations == pending[1:]


def test_a_batch_fits_into_256_kib() -> None:
    pending = [operation(n, data={"review": "é" * 5_000}) for n in range(100)]
    batch = next_batch(pending, 500)
    assert 20 < len(batch.operations) < 30
    envelope = SyncRequest(protocol=1, cursor=2**53, epoch="e" * 16)
    assert len(batch.body(envelope)) <= MAX_BATCH_BYTES


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_request_holds_the_operations_of_its_batch(count: int) -> None:
    pending = [operation(n, data={"review": f'"{n}é'}) for n in range(count)]
    envelope = SyncRequest(protocol=1, cursor=5, epoch="e", limit=1)
    request = SyncRequest.model_validate_json(next_batch(pending, 500).body(envelope))
    assert [from_wire(raw) for raw in request.operations] == pending
    assert request.model_copy(update={"operations": []}) == envelope


def test_one_goes_whatever_its_size() -> None:
    pending = [operation(1, data={"review": "x" * 300_000}), operation(2)]
    assert next_batch(pending, 500).operations == pending[:1]


def test_nothing_pending_is_an_empty_batch() -> None:
    assert next_batch([], 500) == Batch()


def test_a_refused_batch_is_halved_down_to_one_and_grows_back() -> None:
    limit = BatchLimit()
    limit.refused(5)
    assert limit.operations == 2
    limit.refused(1)
    assert limit.operations == 1
    for _ in range(10):
        limit.taken()
    assert limit.operations == 500
