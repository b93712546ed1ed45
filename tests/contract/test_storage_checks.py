"""Every check of storage fails for a storage that breaks its promise."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any

import pytest

from atiha_web.backends.base import Level, StorageChange, Unsubscribe
from atiha_web.backends.memory import MemoryOrigin, MemoryStorage
from atiha_web.errors import StorageFullError
from atiha_web.testing.contracts import QUOTA_CHECKS, STORAGE_CHECKS
from tests.contract.sabotage import named, passing, unbroken

pytestmark = pytest.mark.usefixtures("short_patience")


class Nulls(MemoryStorage):
    async def read(self, keys: Sequence[str]) -> list[Any]:
        return [False if value is None else value for value in await super().read(keys)]


class Forgetful(MemoryStorage):
    async def write(self, changes: Mapping[str, str | None]) -> None:
        pass


class OnlyNew(MemoryStorage):
    async def write(self, changes: Mapping[str, str | None]) -> None:
        for key, value in changes.items():
            if value is None or self.origin.items.get(key) is None:
                await super().write({key: value})


class NeverRemoves(MemoryStorage):
    async def write(self, changes: Mapping[str, str | None]) -> None:
        await super().write({key: value for key, value in changes.items() if value is not None})


class RefusesMissing(MemoryStorage):
    async def write(self, changes: Mapping[str, str | None]) -> None:
        if any(value is None and key not in self.origin.items for key, value in changes.items()):
            raise LookupError
        await super().write(changes)


class Toggles(MemoryStorage):
    async def write(self, changes: Mapping[str, str | None]) -> None:
        items = self.origin.items
        await super().write({k: None if items.get(k) == v else v for k, v in changes.items()})


class SmallBatches(MemoryStorage):
    async def write(self, changes: Mapping[str, str | None]) -> None:
        await super().write(dict(list(changes.items())[:5_000]))


class Backwards(MemoryStorage):
    async def write(self, changes: Mapping[str, str | None]) -> None:
        await super().write(dict(reversed(list(changes.items()))))


class SortsValues(MemoryStorage):
    async def read(self, keys: Sequence[str]) -> list[str | None]:
        return await super().read(sorted(keys))


class NeedsKeys(MemoryStorage):
    async def read(self, keys: Sequence[str]) -> list[str | None]:
        return await super().read(keys or ["key"])


class AllKeys(MemoryStorage):
    async def keys(self, _: str) -> list[str]:
        return await super().keys("")


class SortsUnits(MemoryStorage):
    async def keys(self, prefix: str) -> list[str]:
        return sorted(await super().keys(prefix), key=lambda key: key.encode("utf-16-be"))


class LikeAnObject(MemoryStorage):
    async def keys(self, prefix: str) -> list[str]:
        return [key for key in await super().keys(prefix) if key != "length"]


class Truthy(MemoryStorage):
    async def read(self, keys: Sequence[str]) -> list[str | None]:
        return [value or None for value in await super().read(keys)]


class Ascii(MemoryStorage):
    async def read(self, keys: Sequence[str]) -> list[str | None]:
        return [v and v.encode("ascii", "replace").decode() for v in await super().read(keys)]


class Short(MemoryStorage):
    async def read(self, keys: Sequence[str]) -> list[str | None]:
        return [value and value[:1000] for value in await super().read(keys)]


class Private(MemoryStorage):
    def __init__(self, origin: MemoryOrigin) -> None:
        super().__init__(MemoryOrigin(origin.quota))


class OneListener(MemoryStorage):
    def subscribe(self, listener: Callable[[StorageChange], None]) -> Unsubscribe:
        self._listeners.clear()
        return super().subscribe(listener)


class Deaf(MemoryStorage):
    def deliver(self, change: StorageChange) -> None:
        pass


class DeafToRemovals(MemoryStorage):
    def deliver(self, change: StorageChange) -> None:
        if change.value is not None:
            super().deliver(change)


class HearsItself(MemoryStorage):
    async def write(self, changes: Mapping[str, str | None]) -> None:
        await super().write(changes)
        for key, value in changes.items():
            self.deliver(StorageChange(key, value))


class Stubborn(MemoryStorage):
    def subscribe(self, listener: Callable[[StorageChange], None]) -> Unsubscribe:
        super().subscribe(listener)
        return lambda: None


class Boastful(MemoryStorage):
    async def flush(self, level: Level) -> None:
        pass


class Silent(MemoryStorage):
    async def write(self, changes: Mapping[str, str | None]) -> None:
        with suppress(StorageFullError):
            await super().write(changes)


class Atomic(MemoryStorage):
    async def write(self, changes: Mapping[str, str | None]) -> None:
        before = dict(self.origin.items)
        try:
            await super().write(changes)
        except StorageFullError:
            self.origin.items = before
            raise


class Hasty(MemoryStorage):
    async def write(self, changes: Mapping[str, str | None]) -> None:
        for document in self.origin.documents:
            for key, value in changes.items():
                document.deliver(StorageChange(key, value))
        await super().write(changes)


class NeverFrees(MemoryStorage):
    async def write(self, changes: Mapping[str, str | None]) -> None:
        for key, value in changes.items():
            used = self.origin.used
            await super().write({key: value})
            self.origin.used = max(used, self.origin.used)


class BrokenDocuments:
    quota = 10_000

    def __init__(self, storage: type[MemoryStorage], quota: int | None) -> None:
        self._origin = MemoryOrigin(quota)
        self._storage = storage

    async def open(self) -> MemoryStorage:
        return self._storage(self._origin)

    async def clear(self) -> None:
        self._origin.clear()


STORAGES = {
    Nulls: "a_missing_key_reads_as_none",
    Forgetful: "what_was_set_is_read",
    OnlyNew: "a_value_is_overwritten",
    NeverRemoves: "a_key_is_removed a_batch_sets_and_removes",
    RefusesMissing: "removing_what_is_missing_is_no_error",
    Toggles: "writing_again_changes_nothing",
    SmallBatches: "a_large_batch_arrives_whole",
    Backwards: "changes_are_heard_in_order",
    SortsValues: "values_come_in_the_order_of_the_keys",
    NeedsKeys: "nothing_is_a_valid_batch",
    AllKeys: "keys_are_found_by_prefix",
    SortsUnits: "keys_are_sorted_by_code_point",
    LikeAnObject: "no_key_has_a_meaning_of_its_own",
    Truthy: "empty_text_is_a_value",
    Ascii: "text_comes_back_unchanged",
    Short: "long_text_comes_back_whole",
    Private: "another_document_reads_what_it_was_told_of a_later_document_finds_it "
    "writers_of_different_keys_lose_nothing",
    OneListener: "every_listener_hears_of_a_change",
    Deaf: "another_document_hears_of_a_change clearing_is_heard_without_a_key",
    DeafToRemovals: "a_removal_is_heard",
    HearsItself: "a_writer_never_hears_itself",
    Stubborn: "nothing_is_heard_after_unsubscribing",
    Boastful: "local_is_promised_and_server_never",
}

FULL_STORAGES = {
    Silent: "what_is_too_large_is_refused",
    Atomic: "a_failed_batch_stops_where_it_failed",
    Hasty: "a_refused_change_is_not_heard",
    NeverFrees: "removing_makes_room_in_a_full_storage",
}


@pytest.mark.parametrize("storage", STORAGES, ids=attrgetter("__name__"))
async def test_broken_storage_fails(storage: type[MemoryStorage]) -> None:
    checks = named(STORAGE_CHECKS, STORAGES[storage])
    assert await passing(checks, lambda: BrokenDocuments(storage, None)) == []


@pytest.mark.parametrize("storage", FULL_STORAGES, ids=attrgetter("__name__"))
async def test_broken_full_storage_fails(storage: type[MemoryStorage]) -> None:
    checks = named(QUOTA_CHECKS, FULL_STORAGES[storage])
    assert await passing(checks, lambda: BrokenDocuments(storage, BrokenDocuments.quota)) == []


def test_every_check_is_failed_by_somebody() -> None:
    assert unbroken(STORAGE_CHECKS, STORAGES) == set()
    assert unbroken(QUOTA_CHECKS, FULL_STORAGES) == set()
