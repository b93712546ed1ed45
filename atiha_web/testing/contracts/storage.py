"""The contract of ``Storage``."""

from __future__ import annotations

import asyncio
from typing import Protocol

from atiha_web.backends.base import Storage, StorageChange
from atiha_web.errors import SaveError, StorageFullError
from atiha_web.testing.contracts.expect import Checks, Heard, equal, raises


class Origin(Protocol):
    """What documents share: a browser's origin or a folder; empty when a check gets it."""

    async def open(self) -> Storage:
        """The storage of one more document."""
        ...

    async def clear(self) -> None:
        """Remove everything, as a person does who clears the site's data."""
        ...


class BoundedOrigin(Origin, Protocol):
    """An origin with a quota."""

    @property
    def quota(self) -> int:
        """A number of UTF-16 units that does not fit, however little is stored."""
        ...


STORAGE_CHECKS: Checks[Origin] = Checks()
"""Checks for every storage."""

QUOTA_CHECKS: Checks[BoundedOrigin] = Checks()
"""Checks for a storage that can be full."""


@STORAGE_CHECKS.add
async def a_missing_key_reads_as_none(origin: Origin) -> None:
    storage = await origin.open()
    equal(await storage.read(["missing"]), [None], "a missing key")


@STORAGE_CHECKS.add
async def what_was_set_is_read(origin: Origin) -> None:
    storage = await origin.open()
    await storage.write({"key": "value"})
    equal(await storage.read(["key"]), ["value"], "what was set")


@STORAGE_CHECKS.add
async def a_value_is_overwritten(origin: Origin) -> None:
    storage = await origin.open()
    await storage.write({"key": "a longer first value"})
    await storage.write({"key": "second"})
    equal(await storage.read(["key"]), ["second"], "the later value")


@STORAGE_CHECKS.add
async def a_key_is_removed(origin: Origin) -> None:
    storage = await origin.open()
    await storage.write({"key": "value"})
    await storage.write({"key": None})
    equal(await storage.read(["key"]), [None], "a removed key")
    equal(await storage.keys(""), [], "the keys after a removal")


@STORAGE_CHECKS.add
async def removing_what_is_missing_is_no_error(origin: Origin) -> None:
    storage = await origin.open()
    await storage.write({"missing": None})
    equal(await storage.read(["missing"]), [None], "a key that never was")


@STORAGE_CHECKS.add
async def values_come_in_the_order_of_the_keys(origin: Origin) -> None:
    storage = await origin.open()
    await storage.write({"a": "1", "b": "2"})
    values = await storage.read(["b", "missing", "a", "b"])
    equal(values, ["2", None, "1", "2"], "values in the order asked")


@STORAGE_CHECKS.add
async def nothing_is_a_valid_batch(origin: Origin) -> None:
    storage = await origin.open()
    await storage.write({})
    equal(await storage.read([]), [], "no values for no keys")
    equal(await storage.keys(""), [], "no keys")


@STORAGE_CHECKS.add
async def a_batch_sets_and_removes(origin: Origin) -> None:
    storage = await origin.open()
    await storage.write({"old": "1", "kept": "2"})
    await storage.write({"new": "3", "old": None})
    equal(await storage.read(["old", "kept", "new"]), [None, "2", "3"], "a mixed batch")


@STORAGE_CHECKS.add
async def a_large_batch_arrives_whole(origin: Origin) -> None:
    storage = await origin.open()
    batch = {f"key-{n:05}": str(n) for n in range(12_000)}
    await storage.write(batch)
    equal(await storage.keys("key-"), list(batch), "keys of a large batch")
    equal(await storage.read(list(batch)), list(batch.values()), "values of a large batch")
    await storage.write(dict.fromkeys(batch))
    equal(await storage.keys(""), [], "keys after all were removed in one batch")


@STORAGE_CHECKS.add
async def writing_again_changes_nothing(origin: Origin) -> None:
    storage = await origin.open()
    batch = {"a": "1", "b": None}
    await storage.write(batch)
    await storage.write(batch)
    equal(await storage.read(["a", "b"]), ["1", None], "a batch written twice")


@STORAGE_CHECKS.add
async def keys_are_found_by_prefix(origin: Origin) -> None:
    storage = await origin.open()
    await storage.write(dict.fromkeys(("op:1", "op", "OP:2", "other", "op:"), "x"))
    equal(await storage.keys("op:"), ["op:", "op:1"], "keys that begin with the prefix")
    equal(await storage.keys("none"), [], "keys of an unused prefix")


@STORAGE_CHECKS.add
async def keys_are_sorted_by_code_point(origin: Origin) -> None:
    storage = await origin.open()
    keys = ["a", "B", "\uffee", "\U0001f3ac", "é", "10", "9"]
    await storage.write(dict.fromkeys(keys, "x"))
    equal(await storage.keys(""), sorted(keys), "all keys in order")


@STORAGE_CHECKS.add
async def no_key_has_a_meaning_of_its_own(origin: Origin) -> None:
    storage = await origin.open()
    keys = [
        "__proto__",
        "clear",
        "constructor",
        "getItem",
        "key",
        "length",
        "a/b",
        "..",
        "a b",
        "%",
    ]
    for key in keys:
        await storage.write({key: f"value of {key}"})
    equal(await storage.keys(""), sorted(keys), "keys with unusual names")
    values = await storage.read(keys)
    equal(values, [f"value of {key}" for key in keys], "values of keys with unusual names")


@STORAGE_CHECKS.add
async def empty_text_is_a_value(origin: Origin) -> None:
    storage = await origin.open()
    await storage.write({"key": ""})
    equal(await storage.read(["key"]), [""], "empty text")
    equal(await storage.keys(""), ["key"], "the key of an empty text")


@STORAGE_CHECKS.add
async def text_comes_back_unchanged(origin: Origin) -> None:
    storage = await origin.open()
    texts = [
        "null",
        "undefined",
        "é e\u0301",
        "한국어",
        "🎬👩‍🚀",
        "\0 \x7f \u2028 \ufeff",
        "\r\n\t\"'\\",
    ]
    batch = {f"key-{n}": text for n, text in enumerate(texts)}
    await storage.write(batch)
    equal(await storage.read(list(batch)), texts, "texts of many kinds")


@STORAGE_CHECKS.add
async def long_text_comes_back_whole(origin: Origin) -> None:
    storage = await origin.open()
    text = "".join(f"{n}é🎬 " for n in range(50_000))
    await storage.write({"key": text})
    equal(await storage.read(["key"]), [text], "a long text")


@STORAGE_CHECKS.add
async def another_document_reads_what_it_was_told_of(origin: Origin) -> None:
    ours, other = await origin.open(), await origin.open()
    heard = [Heard(ours.subscribe), Heard(other.subscribe)]
    await ours.write({"key": "value"})
    await heard[1].take(1)
    equal(await other.read(["key"]), ["value"], "a value in another document")
    await other.write({"key": None})
    await heard[0].take(1)
    equal(await ours.read(["key"]), [None], "a key that another document removed")


@STORAGE_CHECKS.add
async def a_later_document_finds_it(origin: Origin) -> None:
    await (await origin.open()).write({"key": "value"})
    later = await origin.open()
    equal(await later.keys(""), ["key"], "the keys in a later document")
    equal(await later.read(["key"]), ["value"], "the value in a later document")


@STORAGE_CHECKS.add
async def writers_of_different_keys_lose_nothing(origin: Origin) -> None:
    documents = [await origin.open() for _ in range(3)]
    news = [Heard(storage.subscribe) for storage in documents]

    async def write(name: int, storage: Storage) -> None:
        for n in range(50):
            await storage.write({f"{name}-{n:02}": str(n)})
            await asyncio.sleep(0)

    await asyncio.gather(*(write(*document) for document in enumerate(documents)))
    expected = [f"{name}-{n:02}" for name in range(3) for n in range(50)]
    for storage, heard in zip(documents, news, strict=True):
        await heard.take(100)
        equal(await storage.keys(""), expected, "keys of three writers")


@STORAGE_CHECKS.add
async def another_document_hears_of_a_change(origin: Origin) -> None:
    ours, other = await origin.open(), await origin.open()
    heard = Heard(other.subscribe)
    await ours.write({"key": "value"})
    equal(await heard.take(1), [StorageChange("key", "value")], "news of a change")


@STORAGE_CHECKS.add
async def every_listener_hears_of_a_change(origin: Origin) -> None:
    ours, other, third = [await origin.open() for _ in range(3)]
    everyone = [Heard(storage.subscribe) for storage in (other, other, third)]
    await ours.write({"key": "value"})
    for heard in everyone:
        equal(await heard.take(1), [StorageChange("key", "value")], "news for each listener")


@STORAGE_CHECKS.add
async def changes_are_heard_in_order(origin: Origin) -> None:
    ours, other = await origin.open(), await origin.open()
    heard = Heard(other.subscribe)
    await ours.write({"b": "1", "a": "2", "c": "3"})
    await ours.write({"a": "4", "b": None})
    expected = [("b", "1"), ("a", "2"), ("c", "3"), ("a", "4"), ("b", None)]
    equal(await heard.take(5), [StorageChange(*change) for change in expected], "news in order")


@STORAGE_CHECKS.add
async def a_removal_is_heard(origin: Origin) -> None:
    ours, other = await origin.open(), await origin.open()
    await ours.write({"key": "value"})
    heard = Heard(other.subscribe)
    await ours.write({"key": None})
    await heard.until(StorageChange("key", None))


@STORAGE_CHECKS.add
async def clearing_is_heard_without_a_key(origin: Origin) -> None:
    ours, other = await origin.open(), await origin.open()
    await ours.write({"a": "1", "b": "2"})
    heard = [Heard(ours.subscribe), Heard(other.subscribe)]
    await origin.clear()
    for one in heard:
        await one.until(StorageChange(None, None))
    equal(await ours.keys(""), [], "keys after a clearing")


@STORAGE_CHECKS.add
async def a_writer_never_hears_itself(origin: Origin) -> None:
    ours, other = await origin.open(), await origin.open()
    heard = Heard(ours.subscribe)
    await ours.write({"ours": "1"})
    await ours.write({"ours": None})
    await other.write({"theirs": "2"})
    equal(await heard.take(1), [StorageChange("theirs", "2")], "the first news of a writer")


@STORAGE_CHECKS.add
async def nothing_is_heard_after_unsubscribing(origin: Origin) -> None:
    ours, other = await origin.open(), await origin.open()
    gone, stays = Heard(other.subscribe), Heard(other.subscribe)
    gone.unsubscribe()
    gone.unsubscribe()
    await ours.write({"key": "value"})
    equal(await stays.take(1), [StorageChange("key", "value")], "news for who stayed")
    gone.nothing_more("after unsubscribing")


@STORAGE_CHECKS.add
async def local_is_promised_and_server_never(origin: Origin) -> None:
    storage = await origin.open()
    await storage.write({"key": "value"})
    await storage.flush("local")
    async with raises(SaveError, "a storage that promises the server"):
        await storage.flush("server")


@QUOTA_CHECKS.add
async def what_is_too_large_is_refused(origin: BoundedOrigin) -> None:
    storage = await origin.open()
    await storage.write({"key": "old"})
    async with raises(StorageFullError, "a write above the quota"):
        await storage.write({"key": "x" * origin.quota})
    equal(await storage.read(["key"]), ["old"], "the old value after a refused write")


@QUOTA_CHECKS.add
async def a_failed_batch_stops_where_it_failed(origin: BoundedOrigin) -> None:
    storage = await origin.open()
    await storage.write({"second": "old", "third": "old"})
    async with raises(StorageFullError, "a batch above the quota"):
        await storage.write({"first": "new", "second": "x" * origin.quota, "third": "new"})
    values = await storage.read(["first", "second", "third"])
    equal(values, ["new", "old", "old"], "values after a batch that failed at its second change")


@QUOTA_CHECKS.add
async def a_refused_change_is_not_heard(origin: BoundedOrigin) -> None:
    ours, other = await origin.open(), await origin.open()
    heard = Heard(other.subscribe)
    async with raises(StorageFullError, "a write above the quota"):
        await ours.write({"refused": "x" * origin.quota})
    await ours.write({"small": "value"})
    equal(await heard.take(1), [StorageChange("small", "value")], "news after a refused write")


@QUOTA_CHECKS.add
async def removing_makes_room_in_a_full_storage(origin: BoundedOrigin) -> None:
    storage = await origin.open()
    part = "x" * (origin.quota // 8)
    async with raises(StorageFullError, "more than the quota in parts"):
        for n in range(9):
            await storage.write({f"part-{n}": part})
    await storage.write({"part-0": None, "new": part[:-10]})
    equal(await storage.read(["new"]), [part[:-10]], "what was written into the room made")
