"""A device: one browser profile with its storage, clock and cookies, and the pages open in it."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, deque
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from atiha_web import Client, connect
from atiha_web.backends.base import Backend, Request, Response, Usage
from atiha_web.backends.memory import MemoryEnvironment, MemoryOrigin
from atiha_web.backends.mirror import MirroredStorage
from atiha_web.errors import StorageError
from atiha_web.sync.names import GUEST, SESSION_KEY
from atiha_web.sync.outcomes import HEADER
from atiha_web.sync.reconciler import Conflict
from atiha_web.sync.recovery import MIRRORED
from atiha_web.sync.status import SyncReport
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import Fault, answer
from tests.simulation.collections import OWN
from tests.simulation.network import NO_FAULT, SimulatedTransport
from tests.simulation.storage import Database, Disk, TabStorage
from tests.simulation.violations import ViolationError
from tests.simulation.virtual_time import PROCESS, Process

if TYPE_CHECKING:
    from tests.simulation.promises import Promise
    from tests.simulation.world import World

INTERVAL = 30.0
T = TypeVar("T")


@dataclass(frozen=True)
class DeviceSpec:
    """What a device is like; ``skew`` in ms, ``latency`` and the database's in seconds."""

    latency: float | None = None
    locks: bool = True
    mirror: bool = True
    guest: bool = False
    skew: int = 0
    slow_database: float = 0.0


class NoLocks(MemoryEnvironment):
    """A browser whose locks are never had in time."""

    def lock(self, name: str, timeout: float) -> AbstractAsyncContextManager[bool]:
        del name, timeout
        return nullcontext(enter_result=False)


@dataclass(eq=False)
class Device:
    """One browser profile."""

    world: World
    name: str
    spec: DeviceSpec
    number: int
    disk: Disk = field(default_factory=Disk)
    origin: MemoryOrigin = field(default_factory=MemoryOrigin)
    database: Database = field(default_factory=Database)
    pages: list[Page] = field(default_factory=list)
    faults: deque[tuple[str, Fault]] = field(default_factory=deque)
    write_faults: deque[Fault] = field(default_factory=deque)
    """What the next writes over REST meet."""
    failing: str = ""
    """The end of the path that a server which is none of ours cannot write to."""
    online: bool = True
    reachable: bool = True
    skew: int = 0
    times_set: int = 0
    """How often the clock jumped; it may have jumped back."""
    cookie: str | None = None
    release: int = 2
    """Of the pages that are opened from now on."""
    blurred: bool = False
    """Whether storage went back in time, or had no room: it may lack what the server has."""
    mourning: bool = False
    """Whether a page died since the last one opened."""
    database_failed: bool = False
    """Whether the database ever refused something: it may be behind, or ahead, until a start."""
    wants_start: bool = False
    """Whether storage was cleared unseen: the next page to open finds in the database what was."""
    stated: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """How often each page began to state each record of each user."""
    was_crowded: bool = False
    """Whether two pages were ever open at once."""
    was_full: bool = False
    """Whether there was ever little room."""
    asked: bool = False
    """Whether its people were asked to let data stay."""
    cleared_asleep: bool = False
    """Whether a page slept through a clear: it writes again what it knew, dropped since or not."""
    guests_wrote: bool = False
    died_writing: bool = False
    left: set[str] = field(default_factory=set)
    """Who signed out, confirmed by the database: not even a kill brings them back."""
    unconfirmed: set[str] = field(default_factory=set)
    """Operations that were discarded on a page whose database did not confirm it."""
    spoilt: dict[str, str] = field(default_factory=dict)
    """Operations that were damaged, as they are stored since: they stay, and nobody can read them.

    Unless the database has them as they were.
    """
    erased: dict[str, float] = field(default_factory=dict)
    """Whose data was discarded since a page died, and when."""

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.world.plan.seed}/{self.name}")
        self.skew = self.spec.skew
        self.database.seconds = 0.002 + self.spec.slow_database

    def now_ms(self) -> int:
        """What this device takes for the time."""
        return self.world.now_ms() + self.skew

    def set_clock(self, skew: int) -> None:
        """The clock jumps; it is ``skew`` ms off from now on."""
        if skew != self.skew:
            self.world.ledger.clock_set(self)
            self.times_set += 1
        self.skew = skew

    @property
    def slept(self) -> bool:
        """Whether any of its pages was ever frozen."""
        return any(page.process.frozen or page.process.awake_since for page in self.pages)

    @property
    def stored_user(self) -> str:
        """Who is signed in, as storage tells all pages."""
        text = self.disk.items.get(SESSION_KEY)
        return GUEST if text is None else str(json.loads(text)["userId"])

    def next_fault(self, request: Request | None = None) -> Fault:
        """What the next request meets, and for writes over REST what writes meet."""
        if request is not None and "idempotency-key" in request.headers:
            if self.failing and request.url.endswith(self.failing):
                return answer(500, ours=False)
            if self.write_faults:
                return self.write_faults.popleft()
        if not self.faults:
            return NO_FAULT
        name, fault = self.faults.popleft()
        self.world.count(name)
        self.world.note("%s: network: %s", self.name, name)
        return fault

    def set_online(self, online: bool) -> None:
        """Plug the network in or out, and tell every page, as a browser does."""
        self.online = self.reachable = online
        for page in self.pages:
            page.environment._online = online
            page.signal("online" if online else "offline")

    def keep_cookie(self, request: Request, reply: Response) -> None:
        """Take the session from a log-in, and forget it at a log-out."""
        if request.url.endswith("/api/sessions") and HEADER in reply.headers:
            self.cookie = self.world.server.token_in(reply) or self.cookie
        elif request.url.endswith("/api/sessions/current") and reply.status == 204:
            self.cookie = None

    async def kill_browser(self, seconds: float) -> None:
        """Everything stops at once; the disk has localStorage as it was ``seconds`` ago."""
        for page in list(self.pages):
            await page.kill()
        self.database.kill()
        self.origin.locks.clear()
        self.blurred |= seconds > 0
        self.disk.roll_back(asyncio.get_running_loop().time() - seconds)


class Page:
    """One page: a client, and everything that runs for it."""

    unsaid = False
    """Whether a page that is gone had no room to store what was acknowledged: a pull tells."""
    knew_time_ms = 0
    """Since when it has known what ``knows_time`` tells."""
    discarded: Synchronizer | None = None
    """Whose session somebody ended on another page, giving up what this one then held."""
    acknowledged: frozenset[str] = frozenset()
    """The operations that the last reply acknowledged: it may be in the midst of that."""

    def __init__(self, device: Device, number: int) -> None:
        self.device = device
        self.name = f"{device.name}p{number}"
        self.release = device.release
        self.process = Process()
        self.context: Context = copy_context()
        self.context.run(PROCESS.set, self.process)
        self.storage = TabStorage(device.disk, self.process, self.context, device.spec.latency)
        kind = MemoryEnvironment if device.spec.locks else NoLocks
        self.environment = kind(device.origin)
        self.environment._online = device.online
        self.transport = SimulatedTransport(self, device.world.network)
        self.mirrored: MirroredStorage | None = None
        self.written: list[Promise] = []
        """What this page accepted and has shown ever since."""
        self.knows_time: tuple[Synchronizer | None, int] | None = None
        """Who on this page learned the server's time, and how often the clock had jumped then."""
        self.unsent: dict[tuple[Synchronizer, str], float] = {}
        """What waits to be sent although all is well, and since when."""
        self.strange: dict[tuple[str, str, int], float] = {}
        """What this page and the journal, by its last change, do not agree about, and since when.
        """
        self.hidden: dict[Promise, float] = {}
        """What was written here and is not shown, where that may be for a moment; since when."""
        self.lost_writes: dict[tuple[str, str], tuple[float, Synchronizer | None]] = {}
        """Operations, with their timestamps, of which a reply told that they lost, and when."""
        self.told_of: set[tuple[str, str]] = set()
        self.told_more: tuple[Synchronizer | None, float] | None = None
        """Who was told that the server has more to say, and when, if they did not ask since."""
        self.requests = 0
        self.replied = asyncio.Event()
        """Set as a reply to a sync is here, before anything comes of it."""
        self.asked_to_wait: tuple[Synchronizer | None, float] | None = None
        """Who was asked not to come before when, while nobody wished otherwise."""
        self.waits: dict[tuple[Synchronizer | None, str], float] = {}
        """Who was asked to leave which path alone until when, by a server that is none of ours."""
        self.waiting_since: float | None = None
        """When it was asked to."""
        self.wishes = 0
        """How many people wait for a sync they asked for."""
        self.statuses: set[tuple[str, int]] = set()
        """What the server itself said to each user, by the status of its replies."""
        self.ended: set[str] = set()
        """The sessions that somebody signed out of here: this page tells the server."""
        self.often: Counter[int] = Counter()
        """Requests by the minute."""
        self.carrying: set[str] = set()
        """The operations in requests that this page waits for."""
        self.flushed: set[str] = set()
        """Those it sent as it was hidden, since it was seen last."""
        self.leaving = False
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """Its client."""
        assert self._client is not None, "the page did not open"
        return self._client

    @property
    def synchronizer(self) -> Synchronizer | None:
        """Of the signed-in user or the guest, where there is one."""
        return self.client._session.current

    @property
    def usable(self) -> bool:
        """Whether a person can do something here."""
        return not (self.process.dead or self.process.frozen)

    def can_act(self) -> bool:
        """Whether a person can write something here, by now."""
        return self.usable and self.synchronizer is not None

    def run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something as this page's own."""
        loop = asyncio.get_running_loop()
        return self.context.run(loop.create_task, work)

    async def finish(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Run something to its end; ``None`` where the page died before."""
        task = self.run(work)
        ends: list[asyncio.Future[Any]] = [task, self.storage.died]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return None
        return task.result()

    async def open(self) -> bool:
        """Open it; tells whether it lived to see that."""
        self._client = await self.finish(self._connect())
        if self._client is None:
            return False
        self.device.mourning = False
        return True

    async def _connect(self) -> Client:
        backend = await self._backend()
        return await connect(
            backend=backend,
            collections=OWN[self.release],
            interval=INTERVAL,
            guest=self.device.spec.guest,
            protocol="rest" if self.device.world.plan.rest else "sync",
            update_method="PUT" if self.device.world.plan.rest == "PUT" else "PATCH",
            on_conflict=self._lost,
        )

    def _lost(self, conflict: Conflict) -> None:
        name = conflict.operation.id, conflict.operation.timestamp
        self.told_of.add(name)
        if name not in self.lost_writes:
            words = f"{self.name} tells that {conflict.operation} lost, and nobody said so"
            self.device.world.broken(ViolationError(5, words))

    async def _backend(self) -> Backend:
        device, storage = self.device, self.storage
        if device.spec.mirror:
            self.mirrored = MirroredStorage(storage, MIRRORED)
            await self.mirrored.open(device.database.open(self.process), device.now_ms())
            if self.mirrored.problems():
                device.world.ledger.opened_without_database(device)
        return Backend(
            storage=self.mirrored or storage,
            transport=self.transport,
            environment=self.environment,
            now_ms=device.now_ms,
            random=device.random.random,
            random_hex=lambda digits: f"{device.random.getrandbits(4 * digits):0{digits}x}",
            close=self._close_backend,
            is_mirrored=self.mirrored is not None,
            storage_problems=tuple if self.mirrored is None else self.mirrored.problems,
            send_last=self.transport.send_last,
            persist=self._persist if device.world.plan.worn else None,
            usage=self._usage if device.world.plan.worn else None,
        )

    async def _persist(self, ask: bool) -> bool:
        """What the browser says; it asks people, once."""
        device = self.device
        # Two pages that open at once may both be the first.
        unsure = device.blurred or device.was_full or device.was_crowded
        if ask and device.asked and not unsure:
            words = f"{self.name} asks people once more whether their data may stay"
            device.world.broken(ViolationError(10, words))
        device.asked |= ask
        return device.asked

    async def _usage(self) -> Usage:
        disk = self.device.disk
        return Usage(disk.used, disk.quota or 5_000_000)

    def _close_backend(self) -> None:
        if self.mirrored is not None:
            self.mirrored.close()
        self.storage.close()

    def learn_time(self, known: tuple[Synchronizer | None, int]) -> None:
        """A reply told this page the server's time, if its clock did not jump meanwhile."""
        if known[0] is not None and known[1] == self.device.times_set and not self.process.frozen:
            if self.knows_time != known:
                self.knew_time_ms = self.device.world.now_ms()
            self.knows_time = known
            for promise in self.written:
                promise.dated = True

    @property
    def is_right(self) -> bool:
        """Whether this page knows by how much its clock is off."""
        return self.synchronizer is not None and self.knows_time == (
            self.synchronizer,
            self.device.times_set,
        )

    def signal(self, name: str) -> None:
        """The browser tells this page something."""
        if name == "visible":
            self.flushed.clear()
        loop = asyncio.get_running_loop()
        loop.call_soon(self._hear, name, context=self.context)

    def _hear(self, name: str) -> None:
        if name in ("visible", "online"):
            self.asked_to_wait = None
        self.environment.signal(name)

    def sync(self) -> list[asyncio.Task[SyncReport]]:
        """Somebody asks for a sync; returns what ends with it, where it began."""
        if not self.usable or self.synchronizer is None:
            return []
        return [self.run(self.as_wished(self.synchronizer.sync()))]

    async def as_wished(self, work: Coroutine[Any, Any, T]) -> T:
        """Somebody waits for this: a server's wish to be left alone counts less."""
        self.wishes += 1
        try:
            return await work
        finally:
            self.wishes -= 1

    def lose_database(self) -> None:
        """The browser takes the database away."""
        if self.mirrored is not None:
            loop = asyncio.get_running_loop()
            reason = "the browser closed the database"
            loop.call_soon(self.mirrored.lose, reason, context=self.context)

    async def kill(self) -> None:
        """It ends at once, with no chance to write anything more."""
        if self in self.device.pages:
            self.device.pages.remove(self)
        self._leave_unsaid()
        self.device.mourning = True
        self.device.erased.clear()
        self.storage.die()
        await self.process.end()

    def _leave_unsaid(self) -> None:
        opened = None if self._client is None else self.synchronizer
        if self.device.was_full and opened is not None and opened.engine.local.store.room.is_short:
            for page in self.device.pages:
                page.unsaid = True

    async def leave(self) -> None:
        """A person closes it."""
        self.leaving = True
        try:
            await self.finish(self.client.close())
        except StorageError:
            self.device.world.note("%s: no room as it closed", self.name)
        self._leave_unsaid()
        if not self.process.dead:
            self.device.pages.remove(self)
            self.storage.close()
            await self.process.end()
