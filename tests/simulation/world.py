"""A random world of users, devices and tabs over a bad network, and what must hold in it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import Field

from atiha_web.backends.base import Request, StorageChange
from atiha_web.backends.memory import MemoryEnvironment, MemoryStorage
from atiha_web.collections import BUILT_IN, Collection, Registry
from atiha_web.models import AtihaModel
from atiha_web.sync.engine import Engine, Write
from atiha_web.sync.merge import PerField, State
from atiha_web.sync.operation import Operation, RecordKey
from atiha_web.sync.replica import policy_of
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing import fake_server
from atiha_web.testing.fake_server import FakeDevice, FakeServer, Fault

START_MS = 1_750_000_000_000
INTERVAL = 30.0


class Settings(AtihaModel):
    """Synced field by field."""

    name: str
    color: str | None = None
    size: int | None = None
    preferences: dict[str, Any] = Field(default_factory=dict)


class Note(AtihaModel):
    """A note of any length, as the clients declare it."""

    name: str
    text: str = ""


class ShortNote(Note):
    """The same as the server declares it: it refuses what clients take for good."""

    text: Annotated[str, Field(max_length=20)] = ""


SETTINGS = Collection("settings", Settings, key="name", policy=PerField(nested=("preferences",)))
NOTES = Collection("notes", Note, key="name")
SHORT_NOTES = Collection("notes", ShortNote, key="name")
DRAFTS = Collection("drafts", Note, key="name")
"""Known to the clients only: its operations wait until the server knows it."""

CLIENT = Registry([*BUILT_IN, SETTINGS, NOTES, DRAFTS])
REFUSED = "n" * 21


class TabStorage(MemoryStorage):
    """Storage of one tab that may die at any call, halfway through a write.

    With a ``latency`` (seconds) other tabs run in between, and their changes are heard late.
    """

    def __init__(self, device: FakeDevice, *, latency: float | None = None) -> None:
        super().__init__(device.origin)
        self.calls_left: int | None = None
        self.dead = asyncio.Event()
        self._latency = latency

    def deliver(self, change: StorageChange) -> None:
        if self._latency is None:
            super().deliver(change)
        else:
            asyncio.get_running_loop().call_later(self._latency, super().deliver, change)

    async def _step(self) -> None:
        if self._latency is not None:
            # Pages of several processes: anything may happen in between two calls.
            await asyncio.sleep(0)
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                self.dead.set()
        if self.dead.is_set():
            self.close()
            await asyncio.get_running_loop().create_future()

    async def read(self, keys: Any) -> list[str | None]:
        await self._step()
        return await super().read(keys)

    async def keys(self, prefix: str) -> list[str]:
        await self._step()
        return await super().keys(prefix)

    async def write(self, changes: Mapping[str, str | None]) -> None:
        for key, value in changes.items():
            await self._step()
            await super().write({key: value})


class NoLocks(MemoryEnvironment):
    """A browser whose locks are never had in time."""

    def lock(self, name: str, timeout: float) -> AbstractAsyncContextManager[bool]:
        del name, timeout
        return nullcontext(enter_result=False)


@dataclass(eq=False)
class Tab:
    """One page: a synchronizer, and everything that runs for it."""

    storage: TabStorage
    synchronizer: Synchronizer
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    written: list[Operation] = field(default_factory=list)
    """What this tab accepted and has shown ever since."""

    def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something as this page's own."""
        token = _tab.set(self)
        try:
            return asyncio.get_running_loop().create_task(work)
        finally:
            _tab.reset(token)

    async def kill(self) -> None:
        """End everything at once, with no chance to write anything more."""
        self.storage.dead.set()
        self.storage.close()
        while running := [task for task in self.tasks if not task.done()]:
            for task in running:
                task.cancel()
            await asyncio.wait(running)


_tab: ContextVar[Tab | None] = ContextVar("tab", default=None)


def track(loop: asyncio.AbstractEventLoop) -> None:
    """Remember for every task whose page it belongs to."""

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **more)
        tab = _tab.get()
        # What reached the server goes on there.
        if tab is not None and "FakeTransport._act" not in getattr(work, "__qualname__", ""):
            tab.tasks.add(task)
            task.add_done_callback(tab.tasks.discard)
        return task

    loop.set_task_factory(factory)


@dataclass(eq=False)
class Device:
    """A browser profile of one user: its tabs, and what it accepted."""

    name: str
    user_id: str
    fake: FakeDevice
    latency: float | None = None
    locks: bool = True
    tabs: list[Tab] = field(default_factory=list)
    accepted: list[Operation] = field(default_factory=list)
    attempted: set[str] = field(default_factory=set)
    """Values of writes under way when the page died: they may or may not count."""


@dataclass
class World:
    """Everything there is, made from one seed."""

    seed: int
    skewed: bool = False
    random: random.Random = field(init=False)
    server: FakeServer = field(init=False)
    devices: list[Device] = field(default_factory=list)
    trouble: float = 0.0
    deaths: bool = True
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.server = FakeServer(collections=[SETTINGS, SHORT_NOTES], now_ms=self.now_ms)
        self.server.next_fault = self._fault
        self.trouble = self.random.choice([0.0, 0.2, 0.5])
        for number in range(self.random.randint(1, 4)):
            self._add_device(number)

    def now_ms(self) -> int:
        """The true time."""
        return START_MS + round(asyncio.get_running_loop().time() * 1000)

    def _add_device(self, number: int) -> None:
        skew = self.random.choice([0, -1500, 1500])
        if self.skewed:
            skew = self.random.choice([0, -40_000, 40_000, 7_200_000, -7_200_000, 10**10])
        fake = FakeDevice(
            self.server,
            now_ms=lambda: self.now_ms() + skew,
            random=random.Random(f"{self.seed}/{number}"),
        )
        user_id = self.random.choice(["ann", "bob"])
        device = Device(
            f"d{number}",
            user_id,
            fake,
            latency=self.random.choice([None, 0.0, 0.02]),
            locks=self.random.random() < 0.8,
        )
        self.devices.append(device)
        words = f"latency {device.latency}, locks {device.locks}, clock {skew:+} ms"
        self.note(f"{device.name}: {user_id}, {words}")

    def note(self, words: str) -> None:
        """Remember what happened, for who reads a failure."""
        self.log.append(f"{asyncio.get_running_loop().time():9.3f} {words}")

    def _fault(self, request: Request) -> Fault:
        if self.random.random() >= self.trouble:
            return fake_server.slow(after=self.random.choice([0, 0.01, 0.3]))
        fault = self.random.choice(_FAULTS)(self.random)
        self.note(f"fault {fault} for {request.url}")
        return fault

    # -- what may happen -------------------------------------------------------------------

    async def open_tab(self, device: Device) -> Tab | None:
        """Open a page; it must show at once all this device ever accepted."""
        storage = TabStorage(device.fake, latency=device.latency)
        backend = device.fake.backend(storage)
        if not device.locks:
            environment = NoLocks(device.fake.origin)
            device.fake.environments.append(environment)
            backend = replace(backend, environment=environment)
        synchronizer = Synchronizer(
            backend,
            CLIENT,
            device.user_id,
            base_url="",
            headers=dict,
            interval=INTERVAL,
        )
        tab = Tab(storage, synchronizer)
        if self.deaths and self.random.random() < 0.1:
            storage.calls_left = self.random.randint(0, 30)
        opened = tab.run(synchronizer.start())
        died = asyncio.ensure_future(storage.dead.wait())
        await asyncio.wait([opened, died], return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
        if not opened.done():
            self.note(f"{device.name}: a tab died while it opened")
            await tab.kill()
            return None
        opened.result()
        self.note(f"{device.name}: tab {synchronizer.engine.local.clock.writer} opened")
        tab.written = list(device.accepted)
        device.tabs.append(tab)
        return tab

    async def write(self, device: Device, tab: Tab) -> None:
        """State or delete something; accepted means it must never be lost."""
        collection, key, data, value = self._content(device)
        engine = tab.synchronizer.engine
        stated: dict[str, Any] | None = data
        if collection != "settings" and data.get("text") != REFUSED and self.random.random() < 0.2:
            stated = None
        work: asyncio.Task[Write] = tab.run(tab.synchronizer.write(collection, key, stated))
        died = asyncio.ensure_future(tab.storage.dead.wait())
        await asyncio.wait([work, died], return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
        if not work.done():
            self.note(f"{device.name}: died writing {collection}/{key} = {value}")
            device.attempted.add(value)
            return
        operation = work.result().operation
        assert operation is not None
        self.note(f"{device.name}: wrote {operation}")
        device.accepted.append(operation)
        tab.written.append(operation)
        assert (operation.data is None) or key in engine.view(collection), "a write is not shown"
        # Two pages write in the same millisecond only if a person has four hands.
        await asyncio.sleep(0.005)

    def _content(self, device: Device) -> tuple[str, str, dict[str, Any], str]:
        chance = self.random
        name = chance.choice(["ratings", "watch_history", "settings", "settings", "notes"])
        if chance.random() < 0.03:
            name = "drafts"
        own = chance.random() < 0.5
        key = f"{device.name}-own" if own else f"{device.user_id}-{chance.randint(0, 3)}"
        value = f"{device.user_id} {device.name} {len(device.accepted)}.{len(self.log)}"
        data: dict[str, Any] = {}
        match name:
            case "ratings":
                data = {"rating": chance.randint(1, 5), "review": value}
            case "watch_history":
                progress = chance.choice([0.0, 10.0, 90.0])
                data = {"title": value, "progress": progress, "completed": progress > 50}
            case "settings":
                fields: dict[str, Any] = {"color": value, "size": chance.randint(0, 9)}
                fields["preferences"] = {chance.choice("ab"): value}
                chosen = chance.sample(sorted(fields), chance.randint(1, 2))
                data = {field_name: fields[field_name] for field_name in chosen}
            case "notes" if chance.random() < 0.1:
                # Under a key of its own: what a refused write replaced here is gone, as designed.
                key, data = f"{key}-refused", {"text": REFUSED}
            case _:
                data = {"text": value}
        return name, key, data, value

    async def step(self) -> None:
        """One thing happens."""
        chance = self.random
        device = chance.choice(self.devices)
        for tab in [tab for tab in device.tabs if tab.storage.dead.is_set()]:
            await self.kill(device, tab)
        if not device.tabs:
            await self.open_tab(device)
            return
        tab = chance.choice(device.tabs)
        [what] = chance.choices(list(_EVENTS), list(_EVENTS.values()))
        await what(self, device, tab)
        await asyncio.sleep(chance.choice([0, 0, 0.01, 0.3, 1, 5, 5, 40]))

    async def sync(self, device: Device, tab: Tab) -> None:
        """Somebody asks for a sync."""
        self.note(f"{device.name}: asked to sync")
        tab.run(tab.synchronizer.sync())

    async def doom(self, device: Device, tab: Tab) -> None:
        """A page will die at one of its next calls of storage."""
        tab.storage.calls_left = self.random.randint(0, 40)
        self.note(f"{device.name}: dies in {tab.storage.calls_left} calls")

    async def open_another(self, device: Device, _: Tab) -> None:
        """Up to three pages of one device are open."""
        if len(device.tabs) < 3:
            await self.open_tab(device)

    async def plug(self, device: Device, _: Tab) -> None:
        """The network comes or goes, and the browser says so."""
        online = self.random.random() < 0.5
        self.note(f"{device.name}: {'on' if online else 'off'}line")
        device.fake.set_online(online)

    async def cut(self, device: Device, _: Tab) -> None:
        """The network comes or goes, and the browser does not notice."""
        device.fake.break_network(broken=self.random.random() < 0.5)

    async def renew_epochs(self, _: Device, __: Tab) -> None:
        """The server was restored, with nothing missing."""
        self.note("the server's epochs change")
        await self.server.rows.renew_epochs()

    async def clear(self, device: Device, _: Tab) -> None:
        """A person clears the site's data while a page that knows it is open."""
        if any(tab.storage.calls_left is None for tab in device.tabs):
            self.note(f"{device.name}: storage is cleared")
            device.fake.origin.clear()
            await asyncio.sleep(0.5)

    async def kill(self, device: Device, tab: Tab) -> None:
        """A page dies."""
        self.note(f"{device.name}: tab {tab.synchronizer.engine.local.clock.writer} dies")
        device.tabs.remove(tab)
        await tab.kill()

    # -- the end ---------------------------------------------------------------------------

    async def settle(self) -> None:
        """Trouble is over: everybody comes back, and has time to agree."""
        self.note("trouble is over")
        self.trouble, self.deaths = 0.0, False
        for device in self.devices:
            for tab in list(device.tabs):
                tab.storage.calls_left = None
                if tab.storage.dead.is_set():
                    await self.kill(device, tab)
            device.fake.set_online(online=True)
            if not device.tabs:
                await self.open_tab(device)
        await asyncio.sleep(70)
        for _ in range(2):
            for device in self.devices:
                for tab in device.tabs:
                    report = await asyncio.wait_for(tab.run(tab.synchronizer.sync()), 60)
                    assert report.ok, f"{device.name} cannot sync: {report.message}"

    async def close(self) -> None:
        """Everybody leaves."""
        for device in self.devices:
            for tab in list(device.tabs):
                await tab.kill()

    async def offline_view(self, device: Device) -> dict[RecordKey, State]:
        """What a page shows that is opened now without network."""
        storage = TabStorage(device.fake)
        engine = Engine(device.fake.backend(storage), CLIENT, device.user_id)
        await engine.open()
        shown = states(engine)
        assert not engine.local.problems, engine.local.problems
        await engine.close()
        storage.close()
        return shown


def states(engine: Engine) -> dict[RecordKey, State]:
    """Every live record an engine shows."""
    return {
        RecordKey(name, key): state for name in CLIENT for key, state in engine.view(name).items()
    }


def absorbed(operation: Operation, state: State | None) -> bool:
    """Whether ``state`` already says what ``operation`` says."""
    if state is None:
        return False
    policy = policy_of(CLIENT, operation.collection)
    return policy.merge(state, policy.lift(operation.timestamp, operation.data)) == state


_EVENTS: dict[Callable[[World, Device, Tab], Coroutine[Any, Any, None]], float] = {
    World.write: 50,
    World.sync: 10,
    World.doom: 5,
    World.kill: 5,
    World.open_another: 6,
    World.plug: 4,
    World.cut: 2,
    World.renew_epochs: 1,
    World.clear: 1,
}
"""What may happen, and how often."""

_FAULTS: list[Callable[[random.Random], Fault]] = [
    lambda _: fake_server.lost_request(),
    lambda _: fake_server.lost_reply(),
    lambda chance: fake_server.silence(acted=chance.random() < 0.5),
    lambda chance: fake_server.slow(before=chance.uniform(0, 12)),
    lambda chance: fake_server.slow(after=chance.uniform(0, 12)),
    lambda _: fake_server.twice(),
    lambda _: fake_server.captive_portal(),
    lambda chance: fake_server.answer(
        chance.choice([400, 401, 403, 404, 408, 413, 429, 500, 502, 503]), ours=False
    ),
    lambda chance: fake_server.answer(chance.choice([403, 404, 408, 425, 500, 503])),
    lambda chance: fake_server.answer(429, headers={"retry-after": str(chance.randint(0, 2000))}),
    lambda chance: fake_server.answer(500, acted=True),
]
