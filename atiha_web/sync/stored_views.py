"""The seed's storage keys, rendered: lists, queue and last sync times that any page can read.

They are pure functions of base and journal, never read back as truth. Rendered entries are kept,
so that a write costs one new entry and a join, however long the list.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate, compress, islice
from operator import is_not
from typing import Generic, TypeVar

from atiha_web.collections import Collection, Registry, iso
from atiha_web.sync.calls import call_of, seed_data
from atiha_web.sync.merge import State
from atiha_web.sync.names import QUEUE_KEY, Names
from atiha_web.sync.operation import Operation, dump_json
from atiha_web.sync.replica import CollectionView, Replica

MAX_ENTRIES = 50
MAX_BYTES = 16 * 1024
T = TypeVar("T")


class StoredViews:
    """Renders the views of one user whose content changed since they were last written."""

    def __init__(self, replica: Replica, names: Names) -> None:
        self._replica = replica
        self._names = names
        self.shows_queue = True
        """Whether the queue's key is ours to write."""
        self._written: dict[str, str | None] = {}
        self._lists = {
            name: _List(replica.views[name], self._entry_of(collection))
            for name, collection in replica.registry.items()
        }
        self._queued = _Rendered(self._seed_shape)
        self._queue_text = ""
        self._queue_of = (-1, 0)

    def forget_written(self) -> None:
        """What storage holds is unknown: render everything again."""
        self._written.clear()

    def changes(self, collections: Iterable[str]) -> dict[str, str | None]:
        """Storage key to new text of the views that changed; ``collections`` may have."""
        rendered: dict[str, str | None] = {
            self._names.view(name): self._list(self._replica.registry[name])
            for name in collections
            if name in self._replica.registry
        }
        if self.shows_queue:
            rendered[QUEUE_KEY] = self._queue()
        changed = {
            key: text for key, text in rendered.items() if self._written.get(key, "") != text
        }
        self._written |= changed
        return changed

    def all_keys(self) -> list[str]:
        """Every key this renders."""
        queue = [QUEUE_KEY] if self.shows_queue else []
        return [*map(self._names.view, self._replica.registry), *queue]

    def _list(self, collection: Collection) -> str | None:
        texts = self._lists[collection.name].texts()
        if collection.single:
            return next(iter(texts), None)
        return _array(texts)

    def _queue(self) -> str:
        pending = self._replica.pending
        # While none goes, a new operation behind the oldest ones changes nothing here.
        queue_of = (self._replica.departures, min(len(pending), MAX_ENTRIES))
        if queue_of != self._queue_of:
            self._queue_of = queue_of
            oldest = dict(islice(pending.items(), MAX_ENTRIES))
            self._queue_text = _array(self._queued.texts(oldest))
        return self._queue_text

    def _entry_of(self, collection: Collection) -> Callable[[str, State], object]:
        return lambda key, state: collection.row(self._names.user_id, key, state)

    def _seed_shape(self, _: str, operation: Operation) -> dict[str, object]:
        return seed_operation(operation, self._replica.registry, self._names.user_id)


def seed_operation(operation: Operation, registry: Registry, user_id: str) -> dict[str, object]:
    """An operation in the seed's shape."""
    call = call_of(operation, registry, user_id)
    return {
        "id": operation.id,
        "type": call.type,
        "endpoint": call.endpoint,
        "data": seed_data(operation, registry),
        "timestamp": iso(operation.timestamp),
        "userId": user_id,
    }


class _List:
    """The newest entries of a collection, rendered; one more costs nothing for the others."""

    def __init__(self, view: CollectionView, shape: Callable[[str, State], object]) -> None:
        self._view = view
        self._rendered = _Rendered(shape)
        self._shown: dict[str, str] = {}  # the newest last
        self._size = 0
        self._generation = -1

    def texts(self) -> Iterable[str]:
        """As many as fit into an array, newest first, at least one."""
        view = self._view
        if view.generation == self._generation + 1 and self._is_new(view.changed):
            self._append(view.changed)
        elif view.generation != self._generation:
            newest = view.newest(MAX_ENTRIES)
            texts = self._rendered.texts(newest)
            shown = list(islice(newest, len(texts)))
            self._size = self._rendered.size(shown)
            self._shown = dict(zip(reversed(shown), reversed(texts), strict=True))
        self._generation = view.generation
        return reversed(self._shown.values())

    def _is_new(self, key: str) -> bool:
        """Whether the last change was of an entry that is the newest and was not shown."""
        return key not in self._shown and key in self._view.newest(1)

    def _append(self, key: str) -> None:
        rendered, shown = self._rendered, self._shown
        shown[key] = rendered.text(key, self._view[key])
        self._size += rendered.size([key])
        while len(shown) > 1 and (len(shown) > MAX_ENTRIES or self._size >= MAX_BYTES):
            oldest = next(iter(shown))
            del shown[oldest]
            self._size -= rendered.size([oldest])
        rendered.forget_all_but(shown)


class _Rendered(Generic[T]):
    """JSON texts by name, each made anew only where its name stands for another object."""

    def __init__(self, shape: Callable[[str, T], object]) -> None:
        self._shape = shape
        self._items: dict[str, T] = {}
        self._texts: dict[str, str] = {}
        self._sizes: dict[str, int] = {}

    def texts(self, wanted: Mapping[str, T]) -> list[str]:
        """As many leading texts of ``wanted`` as fit into an array, at least one."""
        # Every write comes here: fifty entries are compared without a step of Python for each.
        others = map(is_not, map(self._items.get, wanted), wanted.values())
        for name in list(compress(wanted, others)):
            self._render(name, wanted[name])
        self.forget_all_but(wanted)
        # Each with the comma or bracket before it.
        ends = list(accumulate(map(self._sizes.__getitem__, wanted)))
        fitting = bisect_right(ends, MAX_BYTES - 1)
        return [*map(self._texts.__getitem__, islice(wanted, max(fitting, 1)))]

    def text(self, name: str, item: T) -> str:
        """The text of one."""
        self._render(name, item)
        return self._texts[name]

    def size(self, names: Iterable[str]) -> int:
        """The bytes of some texts, each with the comma or bracket before it."""
        return sum(map(self._sizes.__getitem__, names))

    def _render(self, name: str, item: T) -> None:
        text = dump_json(self._shape(name, item))
        self._items[name] = item
        self._texts[name] = text
        self._sizes[name] = 1 + len(text.encode("utf-8", "surrogatepass"))

    def forget_all_but(self, names: Iterable[str]) -> None:
        """Keep the texts of others only as long as there are not many."""
        if len(self._items) <= 2 * MAX_ENTRIES:
            return
        self._items = {name: self._items[name] for name in names}
        self._texts = {name: self._texts[name] for name in names}
        self._sizes = {name: self._sizes[name] for name in names}


def _array(texts: Iterable[str]) -> str:
    return f"[{','.join(texts)}]"
