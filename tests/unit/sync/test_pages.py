"""Base in pages: what was written comes back, and what does not check out is pulled again."""

import asyncio

import pytest

from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.sync.local_store import LocalStore, Opened
from atiha_web.sync.merge import State
from atiha_web.sync.names import Names
from atiha_web.sync.operation import RecordKey
from atiha_web.sync.pages import (
    PAGE_UNITS,
    Manifest,
    PageTable,
    decode_manifest,
    decode_page,
    paginate,
)
from atiha_web.sync.replica import Base, Row
from tests.unit.sync.samples import stamp

SCHEMAS = {"ratings": 1}
NAMES = Names("ann")


@pytest.fixture
def origin() -> MemoryOrigin:
    return MemoryOrigin()


def store(origin: MemoryOrigin, schemas: dict[str, int] | None = None) -> LocalStore:
    return LocalStore(MemoryStorage(origin), NAMES, "0123456789ab", schemas or SCHEMAS)


def filled(number: int, size: int = 10) -> Base:
    base = Base("e", number)
    for version in range(1, number + 1):
        record = RecordKey("ratings", f"m{version:05}")
        base.put(record, Row(version, State(stamp(version), {"review": "x" * size})))
    return base


async def saved(origin: MemoryOrigin, base: Base) -> LocalStore:
    kept = store(origin)
    await kept.open()
    await kept.base.save(base, base.rows)
    return kept


async def opened(origin: MemoryOrigin, schemas: dict[str, int] | None = None) -> Opened:
    return await store(origin, schemas).open()


def pages(origin: MemoryOrigin) -> list[str]:
    return [key for key in origin.items if key.startswith(NAMES.pages)]


async def test_base_comes_back_whole(origin: MemoryOrigin) -> None:
    base = filled(3_000, size=50)
    await saved(origin, base)
    found = (await opened(origin)).base
    assert (found.rows, found.epoch, found.cursor) == (base.rows, "e", 3_000)
    assert found.digest == base.digest


async def test_pages_hold_at_most_64_ki_units(origin: MemoryOrigin) -> None:
    await saved(origin, filled(3_000, size=50))
    assert len(pages(origin)) > 1
    assert max(len(origin.items[key]) for key in pages(origin)) <= PAGE_UNITS


async def test_a_change_rewrites_its_page_only(origin: MemoryOrigin) -> None:
    base = filled(3_000, size=50)
    kept = await saved(origin, base)
    before = set(pages(origin))
    changed = RecordKey("ratings", "m00007")
    base.put(changed, Row(3_001, State(stamp(9_000), None)))
    await kept.base.save(base, [changed])
    assert len(before - set(pages(origin))) == 1
    assert (await opened(origin)).base.rows[changed].version == 3_001


@pytest.mark.parametrize("damage", ["missing", "changed", "empty"])
async def test_a_damaged_page_keeps_the_others_and_pulls_again(
    origin: MemoryOrigin, damage: str
) -> None:
    base = filled(3_000, size=50)
    await saved(origin, base)
    page = pages(origin)[0]
    texts = {"missing": None, "changed": origin.items[page][:-1] + " ", "empty": ""}
    origin.set(page, texts[damage])
    found = await opened(origin)
    assert (found.base.epoch, found.base.cursor) == (None, 0)
    assert 0 < len(found.base.rows) < 3_000
    assert found.problems == ["a cached page is damaged; pulling again"]


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"format":2}', '{"format":1}', "{"])
def test_an_unreadable_manifest_is_none(text: str) -> None:
    assert decode_manifest(text) is None


async def test_an_unreadable_manifest_is_named_and_pulled_again(origin: MemoryOrigin) -> None:
    await saved(origin, filled(3))
    origin.set(NAMES.manifest, "garbage")
    found = await opened(origin)
    assert (found.base.cursor, found.base.rows) == (0, {})
    assert found.problems == ["the list of cached pages is unreadable; pulling again"]


async def test_other_schema_numbers_pull_again_and_keep_the_rows_meanwhile(
    origin: MemoryOrigin,
) -> None:
    base = filled(3)
    await saved(origin, base)
    found = await opened(origin, {"ratings": 2})
    assert (found.base.cursor, found.base.rows, found.problems) == (0, base.rows, [])


async def test_a_cleared_base_is_stored_whole_by_the_next_change(origin: MemoryOrigin) -> None:
    base = filled(3)
    kept = await saved(origin, base)
    origin.clear()
    await kept.base.save(base, [])
    assert (await opened(origin)).base.rows == base.rows


async def test_strays_of_a_crash_are_swept_the_second_time(origin: MemoryOrigin) -> None:
    kept = await saved(origin, filled(3))
    origin.set(NAMES.pages + "stray", "{}")
    await kept.base.sweep()
    assert NAMES.pages + "stray" in origin.items
    await kept.base.sweep()
    assert NAMES.pages + "stray" not in origin.items
    assert (await opened(origin)).problems == []


async def test_without_room_base_stays_in_memory_and_comes_back_later(
    origin: MemoryOrigin,
) -> None:
    base = filled(3)
    kept = await saved(origin, base)
    stored = dict(origin.items)
    origin.quota = origin.used
    record = RecordKey("ratings", "new")
    base.put(record, Row(4, State(stamp(4), {"review": "x" * 500})))
    base.cursor = 4
    await kept.base.save(base, [record])
    assert (kept.base.partial, origin.items) == (True, stored)
    assert (await opened(origin)).base.cursor == 3
    origin.quota = None
    assert await kept.base.write_back(base)
    assert kept.base.partial is False
    assert (await opened(origin)).base.rows == base.rows


def test_a_manifest_reads_back() -> None:
    manifest = Manifest("e", 5, 2**64 - 1, SCHEMAS, {"p": 7})
    assert decode_manifest(manifest.encode()) == manifest


def test_a_manifest_without_its_oldest_pages_claims_nothing_and_is_shorter() -> None:
    manifest = Manifest("e", 5, 2**64 - 1, SCHEMAS, {"p": 7, "a": 8, "q": 9})
    partial = manifest.without_oldest(1)
    assert decode_manifest(partial.encode()) == partial
    assert (partial.epoch, partial.cursor, list(partial.pages)) == (None, 0, ["a", "q"])
    assert len(partial.encode()) < len(manifest.encode())


def test_a_page_reads_back() -> None:
    base = Base("e", 3)
    states = [State(stamp(), None), State(stamp(1), {"title": 'é"漢'}), State(stamp(2), {"a": [1]})]
    records = [RecordKey("favorites", "m"), RecordKey("ratings", "é"), RecordKey("ratings", "m")]
    for version, (record, state) in enumerate(zip(records, states, strict=True), 1):
        base.put(record, Row(version, state))
    [(found, text)] = paginate(records, base)
    assert found == records
    assert decode_page(text) == (list(base.rows), list(base.rows.values()))


@pytest.mark.parametrize("text", ["null", "[]", '{"ratings":[[1]]}', '{"ratings":5}', "{"])
def test_anything_else_is_no_page(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_page(text)


def test_a_table_writes_nothing_where_nothing_changed() -> None:
    table, base = PageTable(), filled(3)
    table.touch(base.rows)
    assert table.take_apart() == ([], sorted(base.rows))
    table.placed("p", 1, sorted(base.rows))
    assert (table.take_apart(), table.checksums, table.clean) == (([], []), {"p": 1}, True)


def test_a_table_keeps_in_mind_what_was_not_placed() -> None:
    table, base = PageTable(), filled(3)
    table.touch(base.rows)
    _, (first, *others) = table.take_apart()
    table.placed("p", 1, [first])
    assert table.clean is False
    assert table.take_apart() == (["p"], [first, *others])


@pytest.mark.parametrize("sizes", [[10] * 2_000, [10] * 500 + [20_000] * 9 + [10] * 500, [90_000]])
def test_pages_hold_every_row_once_whatever_their_sizes(sizes: list[int]) -> None:
    base = Base("e", 1)
    for version, size in enumerate(sizes, 1):
        state = State(stamp(version), {"review": "x" * size})
        base.put(RecordKey("ratings", f"m{version:05}"), Row(version, state))
    pages = list(paginate(sorted(base.rows), base))
    assert [record for records, _ in pages for record in records] == sorted(base.rows)
    assert all(len(text) <= PAGE_UNITS or len(records) == 1 for records, text in pages)
    assert all(
        decode_page(text) == (records, [base.rows[each] for each in records])
        for records, text in pages
    )
    units = sum(len(text) for _, text in pages)
    assert len(pages) <= 2 + units / (PAGE_UNITS - 20_000)


async def test_what_another_tab_stored_meanwhile_is_not_overwritten_unseen(
    origin: MemoryOrigin,
) -> None:
    base = filled(3_000, size=50)
    kept, other = await saved(origin, base), store(origin)
    theirs = (await other.open()).base

    async def change(tab: LocalStore, own: Base, names: list[str]) -> None:
        changed = [RecordKey("ratings", name) for name in names]
        for record in changed:
            own.put(record, Row(own.newest + 1, State(stamp(9_000), {"review": "new"})))
        await tab.base.save(own, changed)

    # Pages that ours keeps are replaced, and removed, by the other's.
    ours = asyncio.ensure_future(change(kept, base, ["m00001", "m01500"]))
    await asyncio.sleep(0)
    await change(other, theirs, ["m02900"])
    await ours
    found = await opened(origin)
    assert (found.problems, found.base.rows) == ([], base.rows)
