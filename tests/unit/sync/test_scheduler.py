"""When cycles run: at once, after writes, by the timer, on signals, and after failures."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from atiha_web.backends.memory import MemoryEnvironment
from atiha_web.errors import ClosedError, StorageFullError, StorageUnavailableError
from atiha_web.sync.base_cycle import CycleFailedError
from atiha_web.sync.outcomes import Kind, Outcome
from atiha_web.sync.scheduler import Scheduler
from atiha_web.sync.status import SyncReport
from tests.unit.sync.samples import turns


class Cycles:
    """What is run, and when."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.begin = asyncio.get_running_loop().time()
        self.outcome: Exception | None = None
        self.seconds = 0.0
        self.progress = 0
        self.poll_after: float | None = None

    async def run(self) -> SyncReport:
        self.times.append(self.now())
        await asyncio.sleep(self.seconds)
        if self.outcome is not None:
            raise self.outcome
        return SyncReport(ok=True, poll_after=self.poll_after)

    def now(self) -> float:
        return asyncio.get_running_loop().time() - self.begin

    def fail(self, kind: Kind, retry_after: float | None = None) -> None:
        self.outcome = CycleFailedError(Outcome(kind, "no", retry_after=retry_after))


@pytest.fixture
async def cycles() -> Cycles:
    return Cycles()


@pytest.fixture
def environment() -> MemoryEnvironment:
    return MemoryEnvironment()


@pytest.fixture
async def scheduler(cycles: Cycles, environment: MemoryEnvironment) -> AsyncIterator[Scheduler]:
    made = Scheduler(
        cycles.run,
        environment,
        interval=30.0,
        random=lambda: 0.5,
        progress=lambda: cycles.progress,
        notify=lambda: None,
        record=lambda _kind, _message: None,
    )
    yield made
    await made.stop()


async def test_the_first_cycle_runs_at_once_and_the_next_by_the_timer(
    scheduler: Scheduler, cycles: Cycles
) -> None:
    scheduler.start()
    await asyncio.sleep(60)
    assert cycles.times == pytest.approx([0, 26.25, 52.5])


@pytest.mark.parametrize(
    ("wished", "waited"), [(10.0, 10.75), (0.01, 1.075), (1e9, 967.5), (-1.0, 26.25)]
)
async def test_a_server_says_within_bounds_when_to_ask_again(
    scheduler: Scheduler, cycles: Cycles, wished: float, waited: float
) -> None:
    cycles.poll_after = wished
    scheduler.start()
    await asyncio.sleep(1_000)
    assert cycles.times[:2] == pytest.approx([0, waited])


async def test_writes_are_sent_at_once_whatever_the_server_wishes(
    scheduler: Scheduler, cycles: Cycles
) -> None:
    cycles.poll_after = 600.0
    scheduler.start()
    await asyncio.sleep(1)
    scheduler.poke()
    await asyncio.sleep(1)
    assert cycles.times == pytest.approx([0, 1.25])


async def test_writes_are_sent_when_a_burst_is_over(scheduler: Scheduler, cycles: Cycles) -> None:
    scheduler.start()
    await asyncio.sleep(1)
    for _ in range(3):
        scheduler.poke()
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    assert cycles.times == pytest.approx([0, 1.45])


async def test_a_burst_without_end_is_sent_after_two_seconds(
    scheduler: Scheduler, cycles: Cycles
) -> None:
    scheduler.start()
    await asyncio.sleep(1)
    for _ in range(24):
        scheduler.poke()
        await asyncio.sleep(0.1)
    assert cycles.times == pytest.approx([0, 3.0])


async def test_a_write_during_a_cycle_is_sent_by_another(
    scheduler: Scheduler, cycles: Cycles
) -> None:
    cycles.seconds = 5
    scheduler.start()
    await asyncio.sleep(1)
    scheduler.poke()
    await asyncio.sleep(8)
    assert cycles.times == pytest.approx([0, 5.0])


async def test_failures_back_off_and_never_end(scheduler: Scheduler, cycles: Cycles) -> None:
    cycles.fail(Kind.TRANSIENT)
    scheduler.start()
    await asyncio.sleep(300)
    waits = [
        later - earlier for earlier, later in zip(cycles.times, cycles.times[1:], strict=False)
    ]
    assert waits[:7] == pytest.approx([1, 1, 2, 4, 8, 16, 30])
    assert max(waits) <= 60
    assert scheduler.state == "backoff"


@pytest.mark.parametrize("signal", ["online", "visible"])
async def test_signals_of_hope_end_the_backoff(
    scheduler: Scheduler, cycles: Cycles, environment: MemoryEnvironment, signal: str
) -> None:
    cycles.fail(Kind.TRANSIENT)
    scheduler.start()
    await asyncio.sleep(100)
    count = len(cycles.times)
    cycles.outcome = None
    environment.signal(signal)
    await turns()
    assert len(cycles.times) == count + 1
    assert scheduler.state == "idle"


async def test_a_write_does_not_cut_a_backoff_short(scheduler: Scheduler, cycles: Cycles) -> None:
    cycles.fail(Kind.BUSY, retry_after=100)
    scheduler.start()
    await asyncio.sleep(1)
    scheduler.poke()
    await asyncio.sleep(90)
    assert len(cycles.times) == 1


async def test_a_write_during_a_cycle_that_fails_does_not_either(
    scheduler: Scheduler, cycles: Cycles
) -> None:
    cycles.fail(Kind.BUSY, retry_after=100)
    cycles.seconds = 5
    scheduler.start()
    await asyncio.sleep(1)
    scheduler.poke()
    await asyncio.sleep(100)
    assert cycles.times == [0]


async def test_retry_after_is_kept(scheduler: Scheduler, cycles: Cycles) -> None:
    cycles.fail(Kind.BUSY, retry_after=100)
    scheduler.start()
    await asyncio.sleep(150)
    assert cycles.times == pytest.approx([0, 100])


@pytest.mark.parametrize(
    ("kind", "state", "next_cycle"),
    [
        (Kind.NEEDS_AUTH, "needs_auth", None),
        (Kind.UPGRADE, "upgrade_required", None),
        (Kind.BLOCKED, "blocked", 60.0),
    ],
)
async def test_a_refusal_pauses(
    scheduler: Scheduler, cycles: Cycles, kind: Kind, state: str, next_cycle: float | None
) -> None:
    cycles.fail(kind)
    scheduler.start()
    await asyncio.sleep(100)
    assert scheduler.state == state
    assert cycles.times == pytest.approx([0] if next_cycle is None else [0, next_cycle])


async def test_offline_makes_one_attempt_per_interval(
    scheduler: Scheduler, cycles: Cycles, environment: MemoryEnvironment
) -> None:
    environment.set_online(online=False)
    cycles.fail(Kind.TRANSIENT)
    scheduler.start()
    await asyncio.sleep(60)
    assert scheduler.state == "offline"
    assert cycles.times == pytest.approx([0, 26.25, 52.5])


async def test_a_success_refutes_the_hint_of_being_offline(
    scheduler: Scheduler, environment: MemoryEnvironment
) -> None:
    environment.set_online(online=False)
    scheduler.start()
    await turns()
    assert (scheduler.online, scheduler.state) == (True, "idle")


async def test_what_was_asked_before_it_refutes_no_hint_of_being_offline(
    scheduler: Scheduler, cycles: Cycles, environment: MemoryEnvironment
) -> None:
    cycles.seconds = 1.0
    scheduler.start()
    await asyncio.sleep(0.5)
    environment.set_online(online=False)
    await asyncio.sleep(1.0)
    assert (scheduler.online, scheduler.state) == (False, "offline")


async def test_a_write_as_a_cycle_refutes_that_hint_is_sent_by_another(
    scheduler: Scheduler, cycles: Cycles, environment: MemoryEnvironment
) -> None:
    environment.set_online(online=False)
    cycles.seconds = 1.0
    scheduler.start()
    await asyncio.sleep(0.5)
    scheduler.poke()
    await asyncio.sleep(1.0)
    assert cycles.times == [0.0, 1.0]


async def test_a_cycle_that_hangs_is_begun_again(scheduler: Scheduler, cycles: Cycles) -> None:
    cycles.seconds = 10_000
    scheduler.start()
    await asyncio.sleep(95)
    assert cycles.times == pytest.approx([0, 90])


async def test_a_long_cycle_that_gets_on_is_left_alone(
    scheduler: Scheduler, cycles: Cycles
) -> None:
    cycles.seconds = 10_000
    scheduler.start()
    for _ in range(10):
        await asyncio.sleep(50)
        cycles.progress += 1
    assert len(cycles.times) == 1


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (StorageFullError("full"), "storage_full"),
        (StorageUnavailableError("gone"), "stalled"),
        (RuntimeError("a mistake"), "backoff"),
    ],
    ids=["a full storage", "a storage that is gone", "anything"],
)
async def test_the_loop_outlives_and_logs(
    scheduler: Scheduler,
    cycles: Cycles,
    error: Exception,
    state: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cycles.outcome = error
    scheduler.start()
    await turns()
    assert scheduler.state == state
    assert [record.levelno >= logging.WARNING for record in caplog.records][:1] == [True]
    cycles.outcome = None
    await asyncio.sleep(40)
    assert scheduler.state == "idle"


async def test_what_was_closed_is_not_asked_for_without_end(
    scheduler: Scheduler, cycles: Cycles
) -> None:
    cycles.outcome = ClosedError("this client was closed")
    scheduler.start()
    await asyncio.sleep(300)
    assert cycles.times == [0]


async def test_nothing_runs_after_stopping(
    scheduler: Scheduler, cycles: Cycles, environment: MemoryEnvironment
) -> None:
    scheduler.start()
    await turns()
    await scheduler.stop()
    await scheduler.stop()
    environment.signal("online")
    scheduler.poke()
    await asyncio.sleep(100)
    assert len(cycles.times) == 1


async def test_a_cycle_on_request_tells_what_happened(scheduler: Scheduler, cycles: Cycles) -> None:
    cycles.fail(Kind.BLOCKED)
    report = await scheduler.run_now()
    assert (report.ok, report.message) == (False, "no")
