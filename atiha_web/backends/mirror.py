"""A second, durable copy of what must not be lost, beside a storage that reaches the disk late.

A browser writes localStorage to the disk seconds after the call; one that is killed loses it. The
mirror keeps a few of its entries where a finished transaction stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from atiha_web.backends.base import Level, Storage, StorageChange, Unsubscribe
from atiha_web.backends.listeners import Listeners
from atiha_web.errors import SaveError, StorageError, StorageFullError

logger = logging.getLogger("atiha_web")

OPENING_SECONDS = 2.0
TRANSACTION_SECONDS = 10.0
STALE_SECONDS = 1.0
"""How long a change waits for its transaction before another document may have overtaken it."""


class Mirror(Protocol):
    """A durable copy of some entries, shared by all documents of an origin."""

    async def read(self) -> dict[str, str]:
        """Everything it holds.

        Raises:
            StorageError: it cannot be read.
        """
        ...

    def apply(self, changes: Mapping[str, str | None]) -> Awaitable[None]:
        """Set each key to its text, or remove it (``None``), in one transaction.

        It is begun before this returns and durable once the awaitable ends; transactions take
        effect in the order in which they were begun. Idempotent.

        Raises:
            StorageError: some of it took no effect.
        """
        ...

    def close(self) -> None:
        """Let what was begun end, and release everything. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Recovery:
    """What brings a storage and its mirror together: changes of either, ``None`` to remove."""

    storage: Mapping[str, str | None]
    mirror: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class MirrorPolicy:
    """What to mirror and what to bring back; the words of whoever keeps data in the storage.

    Attributes:
        prefix: what every key of theirs begins with.
        covers: whether a key is mirrored.
        recover: decides from all their keys in storage, the covered entries of storage, those of
            the mirror, and the time (ms since 1970).
        is_late: whether storage is used before the mirror is open, where nobody can wait for it.
        pause: how long, in seconds, changes are collected for a transaction nobody waits for.
    """

    prefix: str
    covers: Callable[[str], bool]
    recover: Callable[[Sequence[str], Mapping[str, str], Mapping[str, str], int], Recovery]
    is_late: bool = False
    pause: float = 0.0


class MirroredStorage:
    """A ``Storage`` whose covered entries also go to a mirror; ``flush("disk")`` waits for it.

    A write never waits for the mirror and never fails because of it. The changes of a turn of the
    event loop, or of the policy's pause, and those made while a transaction is under way, go into
    one transaction.
    """

    def __init__(self, storage: Storage, policy: MirrorPolicy) -> None:
        self._storage = storage
        self._policy = policy
        self._mirror: Mirror | None = None
        self._trouble = ""
        self._unrecovered = ""
        self._waiting: dict[str, str | None] = {}
        self._since = 0.0
        self._collected = 0
        self._confirmed = 0
        self._transaction: asyncio.Task[None] | None = None
        self._pausing: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._listeners = Listeners[StorageChange]()

    def problems(self) -> tuple[str, ...]:
        """What people should know: why ``disk`` cannot be promised, what found no room."""
        return tuple(filter(None, (self._trouble, self._unrecovered)))

    async def open(self, opening: Awaitable[Mirror], now_ms: int) -> None:
        """Take the mirror that is being opened, and bring back what storage has lost.

        Where it does not open within 2 s storage goes on without; ``problems()`` says so. With a
        policy that is late this returns before: who subscribed is told of what comes back.

        Raises:
            StorageUnavailableError: storage itself cannot be used.
        """
        if self._policy.is_late:
            begun = asyncio.ensure_future(opening)
            self._opening = asyncio.ensure_future(self._open_late(begun, now_ms))
            # Where that is cancelled before it runs, nobody else ends the opening.
            self._opening.add_done_callback(lambda _: begun.cancel())
        else:
            await self._open(opening, now_ms)

    async def _open_late(self, opening: Awaitable[Mirror], now_ms: int) -> None:
        try:
            for key, text in (await self._open(opening, now_ms)).items():
                self._listeners.tell(StorageChange(key, text))
        except StorageError as error:
            self.lose(str(error))
        finally:
            self._opening = None
            if self._waiting and self._mirror is not None:
                self._begin()

    async def _open(self, opening: Awaitable[Mirror], now_ms: int) -> Mapping[str, str | None]:
        """Returns what came back into storage."""
        try:
            # Nobody waits for one that is late, and time passes while a page stands still.
            async with asyncio.timeout(None if self._policy.is_late else OPENING_SECONDS):
                self._mirror = await opening
                mirrored = await self._mirror.read()
        except TimeoutError:
            self.lose(f"the browser's database did not open within {OPENING_SECONDS:g} s")
        except StorageError as error:
            self.lose(str(error))
        else:
            return await self._recover(mirrored, now_ms)
        return {}

    def lose(self, reason: str) -> None:
        """Go on without the mirror until the next start."""
        self._say(f"{reason}; reload the page to try again")
        mirror, self._mirror = self._mirror, None
        self._waiting.clear()
        if mirror is not None:
            mirror.close()

    def close(self) -> None:
        """Begin what waits, and close the mirror behind it. Idempotent."""
        if self._opening is not None:
            self._opening.cancel()
        self._end_pause()
        mirror, self._mirror = self._mirror, None
        if mirror is not None:
            if self._waiting:
                last = asyncio.ensure_future(mirror.apply(self._waiting))
                last.add_done_callback(_ignore_outcome)
            mirror.close()

    # -- Storage ---------------------------------------------------------------------------

    async def read(self, keys: Sequence[str]) -> list[str | None]:
        """See ``Storage.read``."""
        return await self._storage.read(keys)

    async def write(self, changes: Mapping[str, str | None]) -> None:
        """See ``Storage.write``."""
        covers = self._policy.covers
        covered = {key: text for key, text in changes.items() if covers(key)}
        try:
            await self._storage.write(changes)
        except StorageError:
            # Some of it may hold; only storage knows. Of all else the mirror keeps what it has:
            # where storage was cleared, nothing else has it.
            with suppress(StorageError):
                held = zip(covered, await self._storage.read(list(covered)), strict=True)
                self._collect({key: text for key, text in held if text == covered[key]})
            raise
        self._collect(covered)

    async def keys(self, prefix: str) -> list[str]:
        """See ``Storage.keys``."""
        return await self._storage.keys(prefix)

    async def flush(self, level: Level) -> None:
        """See ``Storage.flush``; ``disk`` is promised for covered entries only."""
        if level == "local":
            return
        if level == "server":
            raise SaveError("storage cannot promise 'server': wait for the server's answer")
        if self._opening is not None:
            await asyncio.wait([self._opening], timeout=OPENING_SECONDS)
        wanted = self._collected
        # The transaction under way may have begun before; the next one has everything.
        for _ in range(2):
            if self._mirror is not None and self._confirmed < wanted:
                await asyncio.shield(self._transaction or self._begin())
        if self._mirror is None or self._confirmed < wanted:
            closed = "storage was closed" if self._opening is None else "its copy is not open yet"
            raise SaveError(f"'disk' cannot be promised: {self._trouble or closed}")

    def subscribe(self, listener: Callable[[StorageChange], None]) -> Unsubscribe:
        """See ``Storage.subscribe``; tells what a late mirror brings back, too."""
        ends = (self._storage.subscribe(listener), self._listeners.add(listener))

        def end() -> None:
            for each in ends:
                each()

        return end

    # -- the mirror ------------------------------------------------------------------------

    def _collect(self, changes: Mapping[str, str | None]) -> None:
        opening = self._opening is not None
        if not changes or (self._mirror is None and not opening):
            return
        if not self._waiting:
            self._since = asyncio.get_running_loop().time()
        self._waiting.update(changes)
        self._collected += 1
        if self._transaction is None and not opening:
            self._begin_soon()

    def _begin_soon(self) -> None:
        if not self._policy.pause:
            self._begin()
        elif self._pausing is None:
            loop = asyncio.get_running_loop()
            self._pausing = loop.call_later(self._policy.pause, self._begin)

    def _end_pause(self) -> None:
        if self._pausing is not None:
            self._pausing.cancel()
            self._pausing = None

    def _begin(self) -> asyncio.Task[None]:
        """A transaction that begins in the next turn, with all that was collected until then."""
        self._end_pause()
        self._transaction = asyncio.get_running_loop().create_task(self._carry())
        return self._transaction

    async def _carry(self) -> None:
        carried = await self._carry_once()
        self._transaction = None
        if carried and self._waiting:
            self._begin_soon()

    async def _carry_once(self) -> bool:
        mirror, changes, collected = self._mirror, self._waiting, self._collected
        if mirror is None:
            return False
        self._waiting, since = {}, self._since
        try:
            async with asyncio.timeout(TRANSACTION_SECONDS):
                if asyncio.get_running_loop().time() - since > STALE_SECONDS:
                    # This page stood still, or the mirror did: others went on meanwhile.
                    held = await self._storage.read(list(changes))
                    changes = dict(zip(changes, held, strict=True))
                await mirror.apply(changes)
        except (StorageError, TimeoutError) as error:
            # It goes with the next one: what each key should hold is all that counts.
            self._waiting, self._since = {**changes, **self._waiting}, since
            if self._mirror is not None:
                self._say(str(error) or "the browser's database does not answer")
            return False
        self._confirmed = collected
        if self._mirror is not None:
            self._trouble = ""
        return True

    async def _recover(self, mirrored: Mapping[str, str], now_ms: int) -> Mapping[str, str | None]:
        """Bring storage and mirror together; returns what was changed in storage."""
        # What was written while it opened goes there next.
        due = {**mirrored, **self._waiting}
        mirrored = {key: text for key, text in due.items() if text is not None}
        keys = await self._storage.keys(self._policy.prefix)
        covered = [key for key in keys if self._policy.covers(key)]
        held = zip(covered, await self._storage.read(covered), strict=True)
        stored = {key: text for key, text in held if text is not None}
        recovery = self._policy.recover(keys, stored, mirrored, now_ms)
        if recovery.storage:
            logger.warning("local storage differs from its mirror; it is put right")
        self._collect(recovery.mirror)
        try:
            await self._storage.write(recovery.storage)
        except StorageFullError:
            # The mirror keeps what found no room.
            self._unrecovered = (
                "some unsent changes are in the browser's database and find no room in local "
                "storage: let this sync, then reload the page"
            )
            logger.warning("%s", self._unrecovered)
            return {}
        return recovery.storage

    def _say(self, reason: str) -> None:
        self._trouble = (
            f"{reason}: what is not sent yet survives the page, but a killed browser may lose it"
        )
        logger.warning("%s", self._trouble)


def _ignore_outcome(ended: asyncio.Future[None]) -> None:
    """Storage was closed before: nobody is left to be told."""
    if not ended.cancelled():
        ended.exception()
