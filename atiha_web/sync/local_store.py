"""One user's data in local storage: opening it, and making each step durable in the right order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from atiha_web.backends.base import Storage
from atiha_web.errors import InvalidDataError, SaveError, StorageFullError
from atiha_web.sync.base_store import BaseStore, OpenedBase
from atiha_web.sync.journal import (
    decode_operation,
    decode_quarantined,
    encode_operation,
    encode_quarantined,
)
from atiha_web.sync.names import SESSION_KEY, SESSION_KEYS, UP_TO, Names, note_numbers
from atiha_web.sync.operation import Operation
from atiha_web.sync.pages import erased
from atiha_web.sync.replica import Base, Quarantined
from atiha_web.sync.room import Room
from atiha_web.sync.turns import Pause, in_turns, pause

logger = logging.getLogger("atiha_web")
T = TypeVar("T")

ENTRIES_PER_TURN = 200
"""How many operations are read before others get a turn: in a browser about 6 ms."""


@dataclass
class Opened(OpenedBase):
    """What storage held of journal and quarantine too."""

    pending: list[Operation] = field(default_factory=list)
    quarantine: dict[str, Quarantined] = field(default_factory=dict)


class LocalStore:
    """Journal, quarantine and base of one user over a ``Storage``.

    ``mark_time`` (ms since 1970) is given where storage has a mirror, from which something may come
    back: what a person gives up is marked there. Long work on base takes a ``pause`` now and then.
    """

    def __init__(
        self,
        storage: Storage,
        names: Names,
        writer: str,
        schemas: Mapping[str, int],
        mark_time: Callable[[], int] | None = None,
        pause: Pause = pause,
    ) -> None:
        self._mark_time = mark_time
        self._storage = storage
        self._names = names
        self._writer = writer
        self.room = Room(storage, names, schemas)
        self.base = BaseStore(storage, names, writer, schemas, self.room, pause)

    # -- reading ---------------------------------------------------------------------------

    async def open(self) -> Opened:
        """Read everything. What cannot be read stays in storage and is named in ``problems``."""
        opened = Opened(Base())
        # The journal first: what another tab takes out of it meanwhile is in base by then.
        opened.pending = await self._decode(self._names.journal, decode_operation, opened.problems)
        await self.base.open(opened)
        opened.quarantine = await self.open_quarantine(opened.problems)
        await self._finish_refusals(opened)
        return opened

    async def _finish_refusals(self, opened: Opened) -> None:
        """Who put an operation into quarantine may have died before it left the journal."""
        refused = [each.id for each in opened.pending if each.id in opened.quarantine]
        if refused:
            await self.remove(refused)
            opened.pending = [each for each in opened.pending if each.id not in refused]

    async def open_quarantine(self, problems: list[str]) -> dict[str, Quarantined]:
        """The refused operations by id; ``problems`` gains what could not be read."""
        entries = await self._decode(self._names.quarantine, decode_quarantined, problems)
        return {entry.operation.id: entry for entry in entries}

    async def journal_ids(self) -> list[str]:
        """The ids of the operations the journal holds now."""
        prefix = self._names.journal
        return [key.removeprefix(prefix) for key in await self._storage.keys(prefix)]

    async def refused_ids(self) -> list[str]:
        """The ids of the operations in quarantine now."""
        prefix = self._names.quarantine
        return [key.removeprefix(prefix) for key in await self._storage.keys(prefix)]

    async def read_operation(self, operation_id: str) -> Operation | None:
        """One operation of the journal, ``None`` where it is gone or cannot be read."""
        [text] = await self._storage.read([self._names.journal + operation_id])
        if text is None:
            return None
        try:
            return decode_operation(operation_id, text)
        except InvalidDataError as error:
            logger.error("%s; it is left where it is", error)
            return None

    async def _decode(
        self, prefix: str, decode: Callable[[str, str], T], problems: list[str]
    ) -> list[T]:
        decoded = []
        async for keys in in_turns(await self._storage.keys(prefix), ENTRIES_PER_TURN):
            for key, text in zip(keys, await self._storage.read(keys), strict=True):
                if text is None:
                    continue
                try:
                    decoded.append(decode(key.removeprefix(prefix), text))
                except InvalidDataError as error:
                    problems.append(str(error))
        return decoded

    # -- writing ---------------------------------------------------------------------------

    async def append(self, operation: Operation, replaces: Sequence[Operation] = ()) -> None:
        """Put an operation into the journal, then take out those it replaces.

        Raises:
            StorageFullError: there is no room even without cached data; nothing was changed.
            StorageUnavailableError: storage cannot be used; nothing was changed.
        """
        key = self._names.journal + operation.id
        await self._write_making_room({key: encode_operation(operation)})
        # The one takes the room of the others: that is no reason to measure it.
        if replaces:
            await self._remove(self._names.journal + older.id for older in replaces)

    async def append_shown(
        self,
        operation: Operation,
        replaces: Sequence[Operation],
        views: Mapping[str, str | None],
    ) -> None:
        """As ``append``, and then write views, all in one call; nothing makes room for it.

        Raises:
            StorageFullError: only what comes before something that found no room holds.
            StorageUnavailableError: storage cannot be used.
        """
        journal = self._names.journal
        replaced = dict.fromkeys(journal + older.id for older in replaces)
        await self._storage.write(
            {journal + operation.id: encode_operation(operation), **replaced, **views}
        )

    async def remove(self, operation_ids: Iterable[str]) -> None:
        """Take operations out of the journal."""
        names = list(operation_ids)
        await self._remove(self._names.journal + name for name in names)
        if names:
            self.room.measure_again()

    async def put_in_quarantine(self, entry: Quarantined) -> None:
        """Move an operation from the journal to quarantine; never is it in neither."""
        name = entry.operation.id
        await self._write_making_room({self._names.quarantine + name: encode_quarantined(entry)})
        await self.remove([name])

    async def drop_quarantined(self, operation_ids: Iterable[str]) -> None:
        """Forget refused operations for good; only a person decides this."""
        names = list(operation_ids)
        places = (self._names.quarantine, self._names.journal)
        await self._give_up([place + name for name in names for place in places], names)
        self.room.measure_again()

    async def restore(
        self,
        base: Base,
        pending: Iterable[Operation],
        quarantine: Iterable[Quarantined],
        session: str | None,
        *,
        was_own: bool = False,
    ) -> None:
        """Write everything again after somebody cleared storage under us; base goes last.

        ``session`` is what stood there of who is signed in; ``was_own`` says that this tab has
        stored base since, before it heard of the clear.
        """
        journal = {self._names.journal + item.id: encode_operation(item) for item in pending}
        refused = {
            self._names.quarantine + item.operation.id: encode_quarantined(item)
            for item in quarantine
        }
        told = await self._storage.read([self._names.manifest, *SESSION_KEYS])
        # Where another tab did all this before, whoever is not signed in has signed out since.
        is_first = all(text is None for text in told[was_own:])
        signed_in = {} if session is None or not is_first else {SESSION_KEY: session}
        await self._write_making_room({**journal, **refused, **signed_in})
        await self.base.replace(base)

    async def erase(self, left: Mapping[str, int]) -> None:
        """Remove all of this user's data. What stays says so to tabs that did not hear of it.

        ``left`` has the last number of each writer whose operations have left the journal: a mirror
        that was lost before has them yet.
        """
        await self._storage.write({self._names.manifest: erased(self._writer)})
        stored = await self._storage.keys(self._names.prefix)
        entries = [
            key.removeprefix(prefix)
            for prefix in (self._names.journal, self._names.quarantine)
            for key in stored
            if key.startswith(prefix)
        ]
        # One mark for each writer: there may be thousands of operations, and little room.
        last = dict(left)
        note_numbers(last, entries)
        marks = [f"{writer}{UP_TO}{number}" for writer, number in last.items()]
        await self._give_up([key for key in stored if key != self._names.manifest], marks)

    async def give_up(self, operation_ids: Iterable[str]) -> None:
        """Take operations out of the journal that another user's now holds.

        What stays says so to tabs that did not hear of it.
        """
        names = list(operation_ids)
        if names:
            await self._storage.write({self._names.manifest: erased(names[-1])})
        await self._give_up([self._names.journal + name for name in names], names)

    async def _write_making_room(self, changes: Mapping[str, str]) -> None:
        """Write what must not be lost; give up cached data, step by step, where room is short."""
        while True:
            try:
                return await self._storage.write(changes)
            except StorageFullError:
                if not await self.make_room():
                    raise

    async def make_room(self) -> bool:
        """Take one step of the ladder: views, the oldest page, strays. ``False`` after the last."""
        return (
            await self.room.give_up_views()
            or await self.base.give_up_pages()
            or await self.base.give_up_strays()
        )

    async def _give_up(self, keys: Iterable[str], marked: Iterable[str]) -> None:
        """Remove keys so that they do not come back, even if the browser is killed after this."""
        changes: dict[str, str | None] = dict.fromkeys(keys)
        if self._mark_time is None:
            await self._remove(changes)
            return
        now = str(self._mark_time())
        marks = {self._names.forgotten(name): now for name in marked}
        try:
            # Marks first: who dies over this leaves nothing unmarked for the next start to find.
            await self._storage.write({**marks, **changes})
        except StorageFullError:
            # What goes makes room.
            await self._storage.write({**changes, **marks})
        with suppress(SaveError):
            await self._storage.flush("disk")

    async def _remove(self, keys: Iterable[str]) -> None:
        changes: dict[str, str | None] = dict.fromkeys(keys)
        if changes:
            await self._storage.write(changes)
