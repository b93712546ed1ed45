"""When to synchronise: the only place that knows about time between cycles."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from atiha_web.backends.base import Environment, Unsubscribe
from atiha_web.errors import ClosedError, StorageError, StorageFullError
from atiha_web.sync.base_cycle import CycleFailedError
from atiha_web.sync.events import EventKind
from atiha_web.sync.outcomes import BLOCKED_RETRY, Kind, Outcome, backoff
from atiha_web.sync.status import SyncReport, SyncState

logger = logging.getLogger("atiha_web")

DEBOUNCE = 0.25
DEBOUNCE_LAST = 2.0
POLL_FIRST = 1.0
POLL_LAST = 15 * 60.0
"""Bounds of what a server may wish for, in seconds."""
WATCHDOG_INTERVALS = 3
CANCEL_SECONDS = 1.0

_PAUSED: dict[Kind, SyncState] = {
    Kind.NEEDS_AUTH: "needs_auth",
    Kind.BLOCKED: "blocked",
    Kind.UPGRADE: "upgrade_required",
}


class Scheduler:
    """Runs cycles: at once, after local writes, on signals, by the timer, and after failures.

    ``run`` performs one cycle and raises ``CycleFailedError``; ``progress`` grows with every
    acknowledgement; ``notify`` is called when the state changes, ``record`` with what happened.
    ``interval`` is in seconds.
    """

    def __init__(
        self,
        run: Callable[[], Awaitable[SyncReport]],
        environment: Environment,
        *,
        interval: float,
        random: Callable[[], float],
        progress: Callable[[], int],
        notify: Callable[[], None],
        record: Callable[[EventKind, str], None],
    ) -> None:
        self.interval = interval
        self.message = ""
        self._run = run
        self._environment = environment
        self._random = random
        self._progress = progress
        self._notify = notify
        self._record = record
        self._state: SyncState = "idle"
        self._failures = 0
        self._partly = False
        self._syncing = 0
        self._due: float | None = None
        self._left_alone_until = 0.0
        self._poked: tuple[float, float] | None = None
        self._hint_refuted = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Unsubscribe | None = None

    @property
    def state(self) -> SyncState:
        """The state in one word."""
        if self._syncing:
            return "syncing"
        if self._state in ("idle", "backoff") and not self.online:
            return "offline"
        return self._state

    @property
    def online(self) -> bool:
        """The browser's hint, unless a request has succeeded since against it."""
        return self._hint_refuted or self._environment.online()

    @property
    def may_send(self) -> bool:
        """Whether nothing is known that speaks against a request now."""
        return self._state == "idle" and self.online

    @property
    def is_to_wait(self) -> bool:
        """Whether the server asked to be left alone, and nothing speaks against that since."""
        return self._now() < self._left_alone_until

    def start(self) -> None:
        """Begin; the first cycle runs at once."""
        self._unsubscribe = self._environment.subscribe(self._on_signal)
        self._due = self._now()
        self._task = asyncio.create_task(self._loop())

    async def stop(self) -> None:
        """End the loop and the cycle under way, if any. Idempotent."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def poke(self) -> None:
        """A local write happened: sync once a burst of writes is over, within 2 s."""
        if not (self._state == "idle" or self._partly):
            return
        # A cycle under way may refute the hint of being offline, and clears this where it fails.
        # Asking the browser takes longer than all else here: once for a burst is enough.
        if self._poked is None and not self._syncing and not self.online:
            return
        now = self._now()
        first = self._poked[0] if self._poked else now
        self._poked = first, min(now + DEBOUNCE, first + DEBOUNCE_LAST)
        self._wake.set()

    def hurry(self) -> None:
        """Something changed for the better (online, visible, a new token): sync now."""
        if self._state == "upgrade_required":
            return
        self._failures = 0
        self._due = self._now()
        self._left_alone_until = 0.0
        self._wake.set()

    async def run_now(self) -> SyncReport:
        """One cycle on request; never raises for what the cycle met, the report tells."""
        return await self._cycle()

    def _on_signal(self, name: str) -> None:
        self._record("signal", name)
        if name == "offline":
            self._hint_refuted = False
        elif name in ("online", "visible"):
            self.hurry()
        self._notify()

    def _next(self) -> float | None:
        times = [self._due, self._poked[1] if self._poked else None]
        return min((time for time in times if time is not None), default=None)

    async def _loop(self) -> None:
        while True:
            await self._until_due()
            self._poked = None
            await self._guarded_cycle()

    async def _until_due(self) -> None:
        while (due := self._next()) is None or due > self._now():
            self._wake.clear()
            try:
                async with asyncio.timeout(None if due is None else due - self._now()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _guarded_cycle(self) -> None:
        """A cycle that hangs without progress for three intervals is ended and begun again."""
        cycle = asyncio.ensure_future(self._cycle())
        try:
            while not cycle.done():
                before = self._progress()
                await asyncio.wait([cycle], timeout=max(WATCHDOG_INTERVALS * self.interval, 30.0))
                if not cycle.done() and self._progress() == before:
                    logger.error("synchronisation made no progress; beginning again")
                    self._fail("stalled", "synchronisation made no progress; beginning again", 0.0)
                    return
        finally:
            cycle.cancel()
            # Not for ever: ending a cycle that hangs is what this is for.
            await asyncio.wait([cycle], timeout=CANCEL_SECONDS)

    async def _cycle(self) -> SyncReport:
        self._syncing += 1
        self._notify()
        # A request under way as the network goes may still be answered: that refutes nothing.
        was_offline = not self._environment.online()
        try:
            report = await self._run()
        except CycleFailedError as error:
            self._failed(error.outcome, partly=error.partly)
            return SyncReport(ok=False, message=error.outcome.message)
        except ClosedError as error:
            # Nothing makes it open again; whoever closed it ends this loop, perhaps much later.
            self._due = None
            return SyncReport(ok=False, message=str(error))
        except StorageError as error:
            logger.warning("synchronisation: %s", error)
            full = isinstance(error, StorageFullError)
            self._fail("storage_full" if full else "stalled", str(error), self.interval)
            return SyncReport(ok=False, message=str(error))
        except Exception as error:
            # The loop must outlive any mistake of ours: it is what saves the user's data.
            logger.exception("a synchronisation failed unexpectedly")
            words = f"synchronisation failed unexpectedly ({type(error).__name__}); trying again"
            self._failed(Outcome(Kind.TRANSIENT, words))
            return SyncReport(ok=False, message=words)
        else:
            self._hint_refuted = was_offline and not self._environment.online()
            self._succeeded(report)
            return report
        finally:
            self._syncing -= 1
            self._notify()

    def _succeeded(self, report: SyncReport) -> None:
        if self._state != "idle":
            self._record("state", "synchronisation works again")
        if report.sent or report.received or report.rejected:
            self._record(
                "sync",
                f"sent {report.sent}, received {report.received}, refused {report.rejected}",
            )
        self._state, self.message, self._failures, self._partly = "idle", "", 0, False
        self._left_alone_until = 0.0
        self._due = self._now() + self._until_next(report.poll_after)
        self._wake.set()

    def _until_next(self, poll_after: float | None) -> float:
        """By the timer, or as the server wishes; later by chance, so that not all come at once."""
        if poll_after is None or not poll_after > 0:
            return self._timer()
        wished = min(max(poll_after, POLL_FIRST), POLL_LAST)
        return wished * (1 + 0.15 * self._random())

    def _failed(self, outcome: Outcome, *, partly: bool = False) -> None:
        logger.info("synchronisation: %s", outcome.message)
        if outcome.kind in (Kind.NEEDS_AUTH, Kind.UPGRADE):
            self._fail(_PAUSED[outcome.kind], outcome.message, None, partly=partly)
        elif outcome.kind is Kind.BLOCKED:
            self._fail("blocked", outcome.message, BLOCKED_RETRY, partly=partly)
        elif outcome.retry_after is not None:
            self._left_alone_until = self._now() + outcome.retry_after
            self._fail("backoff", outcome.message, outcome.retry_after, partly=partly)
        else:
            wait = backoff(self._failures, self._random())
            if not self.online:
                wait = self._timer()
            self._failures += 1
            self._fail("backoff", outcome.message, wait, partly=partly)

    def _fail(
        self, state: SyncState, message: str, wait: float | None, *, partly: bool = False
    ) -> None:
        if (state, message) != (self._state, self.message):
            self._record("state", f"{state}: {message}")
        self._state, self.message, self._partly = state, message, partly
        if not partly:
            # What was written while it failed waits with all the rest.
            self._poked = None
        # Whatever failed since, the server still wishes to be left alone.
        self._due = None if wait is None else max(self._now() + wait, self._left_alone_until)
        self._wake.set()

    def _timer(self) -> float:
        return self.interval * (0.8 + 0.15 * self._random())

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
