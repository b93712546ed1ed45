"""A local write costs the same however much there is: calls of storage and units written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from atiha_web.backends.memory import MemoryOrigin, MemoryStorage, units
from atiha_web.collections import BUILT_IN, Registry
from atiha_web.sync.engine import Engine
from atiha_web.sync.merge import State
from atiha_web.sync.operation import RecordKey
from atiha_web.sync.replica import Base, Row
from atiha_web.testing.fake_server import FakeDevice
from tests.unit.sync.samples import operation, stamp


@dataclass
class Costs:
    """What was asked of storage."""

    reads: int = 0
    writes: int = 0
    units: int = 0
    listings: int = 0


class CountingStorage(MemoryStorage):
    """Adds up what is asked of it."""

    def __init__(self, origin: MemoryOrigin) -> None:
        super().__init__(origin)
        self.costs = Costs()

    async def read(self, keys: Sequence[str]) -> list[str | None]:
        self.costs.reads += len(keys)
        return await super().read(keys)

    async def write(self, changes: Mapping[str, str | None]) -> None:
        self.costs.writes += len(changes)
        self.costs.units += sum(units(key) + units(text or "") for key, text in changes.items())
        await super().write(changes)

    async def keys(self, prefix: str) -> list[str]:
        self.costs.listings += 1
        return await super().keys(prefix)


async def cost_of_writes(device: FakeDevice, *, records: int, pending: int) -> Costs:
    """What ten writes cost on top of so many records and pending operations."""
    storage = CountingStorage(MemoryOrigin())
    engine = Engine(replace(device.backend(), storage=storage), Registry(BUILT_IN), "ann")
    await engine.open()
    base = Base("e", records)
    data = {"contentType": "movie", "title": "A film", "rating": 3}
    for number in range(records):
        record = RecordKey("ratings", f"r{number:05}")
        base.put(record, Row(number + 1, State(stamp(number - 100_000), data)))
    waiting = [operation(n, f"p{n:05}", data, ms=n - 50_000) for n in range(pending)]
    async with engine.local.mutex:
        await engine.local.store.base.replace(base)
    engine.local.memory.load(base, waiting)
    await engine.local.render(engine.local.registry)
    storage.costs = Costs()
    for number in range(10):
        await engine.write("ratings", f"w{number:05}", {"title": "A film", "rating": 5})
    await engine.close()
    return storage.costs


@pytest.mark.parametrize(
    ("records", "pending"), [(10_000, 100), (100, 10_000)], ids=["many records", "many pending"]
)
async def test_a_write_costs_the_same_as_among_few(
    device: FakeDevice, records: int, pending: int
) -> None:
    few = await cost_of_writes(device, records=100, pending=100)
    many = await cost_of_writes(device, records=records, pending=pending)
    assert (many.reads, many.writes, many.listings) == (few.reads, few.writes, few.listings)
    assert many.units <= few.units * 1.05


async def test_a_write_is_three_keys_and_reads_nothing(device: FakeDevice) -> None:
    costs = await cost_of_writes(device, records=100, pending=10)
    assert (costs.reads, costs.listings, costs.writes) == (0, 0, 30)


async def test_views_stay_small_whatever_is_in_them(device: FakeDevice) -> None:
    origin = MemoryOrigin()
    engine = Engine(
        replace(device.backend(), storage=MemoryStorage(origin)), Registry(BUILT_IN), "ann"
    )
    await engine.open()
    for number in range(60):
        await engine.write("ratings", f"m{number}", {"rating": 3, "review": "é" * 600})
    await engine.close()
    assert units(origin.items["atiha_ratings_ann"]) <= 16 * 1024
    assert units(origin.items["atiha_sync_queue"]) <= 16 * 1024
