"""The seed's storage keys, rendered: lists, queue and last sync times that any page can read.

They are pure functions of base and journal, never read back as truth. Rendered entries are kept,
so that a write costs one new entry and a join, however long the list.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from atiha_web.collections import Collection, Registry, iso
from atiha_web.sync.calls import call_of, seed_data
from atiha_web.sync.journal import QUEUE_KEY, Names
from atiha_web.sync.merge import State
from atiha_web.sync.operation import Operation, dump_json
from atiha_web.sync.replica import Replica

MAX_ENTRIES = 50
MAX_BYTES = 16 * 1024


class StoredViews:
    """Renders the views of one user whose content changed since they were last written."""

    def __init__(self, replica: Replica, names: Names) -> None:
        self._replica = replica
        self._names = names
        self.shows_queue = True
        """Whether the queue's key is ours to write."""
        self._written: dict[str, str | None] = {}
        self._entries: dict[str, dict[str, tuple[State, str]]] = {}
        self._queued: dict[str, tuple[Operation, str]] = {}

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
        return [*map(self._names.view, self._replica.registry), QUEUE_KEY]

    def _list(self, collection: Collection) -> str | None:
        view = self._replica.views[collection.name]
        old = self._entries.get(collection.name, {})
        kept: dict[str, tuple[State, str]] = {}
        for key in islice(view, MAX_ENTRIES):
            state = view[key]
            entry = old.get(key)
            if entry is None or entry[0] is not state:
                entry = (state, dump_json(collection.row(self._names.user_id, key, state)))
            kept[key] = entry
        self._entries[collection.name] = kept
        texts = [text for _, text in kept.values()]
        if collection.single:
            return texts[0] if texts else None
        return _array(texts)

    def _queue(self) -> str | None:
        kept: dict[str, tuple[Operation, str]] = {}
        for name, operation in islice(self._replica.pending.items(), MAX_ENTRIES):
            entry = self._queued.get(name)
            if entry is None or entry[0] is not operation:
                entry = (operation, dump_json(self._seed_shape(operation)))
            kept[name] = entry
        self._queued = kept
        return _array([text for _, text in kept.values()])

    def _seed_shape(self, operation: Operation) -> dict[str, object]:
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


def _array(texts: list[str]) -> str:
    """A JSON array of as many leading ``texts`` as fit, at least one."""
    kept: list[str] = []
    size = 1
    for text in texts:
        size += 1 + (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")))
        if kept and size > MAX_BYTES:
            break
        kept.append(text)
    return f"[{','.join(kept)}]"
