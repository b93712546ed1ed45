"""A world of users, devices and pages around one server, and what happens in it."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import Any

from atiha_web.sync.names import GUEST
from atiha_web.sync.operation import RecordKey
from tests.simulation.browser import Device, Page
from tests.simulation.foreign import ForeignServer
from tests.simulation.network import Network
from tests.simulation.oracle import check_pages
from tests.simulation.plan import Plan, Step
from tests.simulation.promises import Ledger, Promise
from tests.simulation.replayed import ReplayWatch
from tests.simulation.server import SimulatedServer
from tests.simulation.violations import ViolationError
from tests.simulation.watch import Account, Watch

START_MS = 1_750_000_000_000


class World:
    """Everything there is. ``traced``: whether to remember in words what happened."""

    def __init__(self, plan: Plan, *, traced: bool = False) -> None:
        self.plan = plan
        self.skewed = plan.skewed
        self.counts: Counter[str] = Counter()
        """How often each fault and each thing people do happened."""
        self.watch = ReplayWatch(self) if plan.rest else Watch(self)
        self.ledger = Ledger()
        self.promises_by_id: defaultdict[str, list[Promise]] = defaultdict(list)
        self.violation: ViolationError | None = None
        self.muddy = False
        """Whether the server was restored without telling anybody."""
        self.was_restored = False
        self.backup: tuple[Any, dict[str, Account]] | None = None
        self.leftovers: list[tuple[Device, str, RecordKey, str]] = []
        """What an earlier app left unsent: where, whose, of what, and a value nobody else wrote."""
        self._traced = traced
        self._log: list[tuple[float, str, tuple[object, ...]]] = []
        self._numbers = 0
        self.foreign = ForeignServer(self, plan.users) if plan.rest else None
        """The server, where it is none of ours."""
        self.server = self.foreign or SimulatedServer(self, plan.users)
        self.users = self.server.users
        self.all_users = [*self.users, GUEST]
        self.network = Network(self.server)
        self.devices = [
            Device(self, f"d{number}", spec, number) for number, spec in enumerate(plan.devices)
        ]
        for device, release in zip(self.devices, plan.page_releases, strict=True):
            device.release = release

    def now_ms(self) -> int:
        """The true time."""
        return START_MS + round(asyncio.get_running_loop().time() * 1000)

    def number(self) -> int:
        """A number nobody had before."""
        self._numbers += 1
        return self._numbers

    def count(self, what: str) -> None:
        """Something happened once more."""
        self.counts[what] += 1

    def note(self, words: str, *parts: object) -> None:
        """Remember what happened, for who reads a failure."""
        if self._traced:
            text = words % parts if parts else words
            self._log.append((asyncio.get_running_loop().time(), text, ()))

    @property
    def story(self) -> list[str]:
        """What happened, in words."""
        return [f"{moment:10.3f} {words}" for moment, words, _ in self._log]

    def broken(self, error: ViolationError) -> None:
        """An invariant was seen broken where nobody could be told."""
        self.violation = self.violation or error

    def check(self) -> None:
        """Raise what was seen broken."""
        if self.violation is not None:
            raise self.violation

    def look(self, device: Device) -> None:
        """Look at every page of a device, between two things that happen."""
        try:
            check_pages(device.pages)
        except ViolationError as error:
            self.broken(error)

    @property
    def taken_ids(self) -> set[str]:
        """Every operation the server took in."""
        return {name for account in self.watch.accounts.values() for name in account.ids}

    @property
    def pages(self) -> Iterator[Page]:
        """All pages that are open."""
        return (page for device in self.devices for page in device.pages)

    async def take(
        self, step: Step, what: Callable[[World, Device, Random], Awaitable[None]]
    ) -> None:
        """One step of the plan."""
        device = self.devices[step.device % len(self.devices)]
        await self.reap()
        await what(self, device, Random(step.dice))
        self.count(step.kind)
        await asyncio.sleep(step.pause)
        await self.reap()

    async def reap(self) -> None:
        """Pages that died meanwhile are gone."""
        for page in list(self.pages):
            if page.process.dead:
                self.note("%s dies", page.name)
                self.count("crashed at a storage call")
                await page.kill()

    async def close(self) -> None:
        """Everybody leaves."""
        for page in list(self.pages):
            await page.kill()
        self.network.deliver_all()
