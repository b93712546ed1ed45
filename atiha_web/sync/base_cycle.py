"""What every cycle does, whatever the protocol: one at a time, and some fast tries."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from atiha_web.backends.base import Request, Response
from atiha_web.errors import AtihaError, TransportError
from atiha_web.sync.local_replica import LocalReplica
from atiha_web.sync.outcomes import FAST_TRIES, Kind, Outcome
from atiha_web.sync.reconciler import Reconciler
from atiha_web.sync.status import SyncReport
from atiha_web.sync.waits import Waits

LOCK_WAIT = 30.0
FAST_TRY_DELAY = 0.2
REQUEST_TIMEOUT = 10.0

Judge = Callable[[Response, datetime], Outcome]
"""What a reply means; the time reads a Retry-After given as a date."""


class CycleFailedError(AtihaError):
    """A cycle ended early; ``outcome`` says what to do next.

    ``partly`` tells that what failed holds up a part only: new writes may be sent at once.
    """

    def __init__(self, outcome: Outcome, *, partly: bool = False) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome
        self.partly = partly


@dataclass
class Tally:
    """What one cycle has done so far."""

    sent: int = 0
    received: int = 0
    rejected: int = 0
    requests: int = 0
    clock_rounds: int = 0
    poll_after: float | None = None

    def report(self) -> SyncReport:
        """As the caller of a sync sees it."""
        return SyncReport(
            ok=True,
            sent=self.sent,
            received=self.received,
            rejected=self.rejected,
            requests=self.requests,
            poll_after=self.poll_after,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """A good reply, and when its request was sent (ms, this machine's clock)."""

    response: Response
    sent_ms: int


@dataclass(frozen=True, slots=True)
class Link:
    """A replica and the server it is kept in step with; ``headers`` says who asks."""

    local: LocalReplica
    reconciler: Reconciler
    base_url: str
    headers: Callable[[], dict[str, str]]


class Cycle(ABC):
    """Moves one replica towards the server, one cycle at a time across all tabs."""

    def __init__(self, link: Link) -> None:
        self.progress = 0
        """Grows whenever the server acknowledged or told something."""
        self.waits = Waits()
        self._local = link.local
        self._reconciler = link.reconciler
        self._base_url = link.base_url
        self._headers = link.headers
        self._carried: set[str] = set()
        self._parted: set[str] = set()
        self._turn = asyncio.Lock()

    @property
    def in_flight(self) -> int:
        """How many operations the request under way carries."""
        return len(self._carried)

    async def run(self) -> SyncReport:
        """One whole cycle under the lock all tabs share.

        Raises:
            CycleFailedError: it ended early; what was acknowledged until then counts.
        """
        lock = f"{self._local.names.prefix}sync"
        async with (
            self._turn,
            self._local.backend.environment.lock(lock, LOCK_WAIT),
        ):
            await self._reconciler.catch_up()
            tally = Tally()
            await self._exchange_all(tally)
            await self._local.note_synced()
        return tally.report()

    @abstractmethod
    def parting_request(self) -> Request | None:
        """What to send in the page's last moment, built at once; ``None`` where nothing is left.

        It carries the oldest operations that no request carries, each of them once until
        ``came_back``. Nobody needs its reply: they stay pending, and are sent again.
        """

    def came_back(self) -> None:
        """The page goes on: what it sent as it seemed to go may have been lost."""
        self._parted.clear()

    @abstractmethod
    async def _exchange_all(self, tally: Tally) -> None:
        """Exchange requests with the server until both sides agree."""

    async def _send(
        self, request: Request, judge: Judge, tally: Tally, tries: int = FAST_TRIES
    ) -> Answer:
        """Send, up to ``tries`` times while the failure may pass; returns a good reply.

        Raises:
            CycleFailedError: there was none.
        """
        if not self._local.backend.environment.online():
            tries = 1
        attempt = 1
        while True:
            self._local.check_open()
            sent_ms = self._local.clock.local_ms()
            tally.requests += 1
            outcome, response = await self._try(request, judge)
            if response is not None and outcome.kind is Kind.OK:
                return Answer(response, sent_ms)
            if outcome.kind is not Kind.TRANSIENT or attempt == tries:
                raise CycleFailedError(outcome)
            await asyncio.sleep(FAST_TRY_DELAY * attempt * (0.5 + self._local.backend.random()))
            attempt += 1
            await self._forget_discarded()
            if self._carried & self._local.given_up - self._local.memory.pending.keys():
                words = "what was to be sent was discarded in another tab, by who signed out"
                raise CycleFailedError(Outcome(Kind.TRANSIENT, words))

    async def _forget_discarded(self) -> None:
        """Learn what a person discarded in another tab: who slept hears of that only later.

        To be called right before what is pending is sent: it must not leave this device.
        """
        async with self._local.mutex:
            await self._local.give_up_too()

    async def _try(self, request: Request, judge: Judge) -> tuple[Outcome, Response | None]:
        try:
            response = await self._local.backend.transport.request(request)
        except TransportError as error:
            return Outcome(Kind.TRANSIENT, str(error)), None
        now = datetime.fromtimestamp(self._local.clock.now_ms() / 1000, UTC)
        return judge(response, now), response
