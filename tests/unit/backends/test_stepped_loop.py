"""The loop of a blocking client on a page: by hand during a call, by its host between calls."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from atiha_web.backends.stepped_loop import SteppedLoop
from atiha_web.errors import PlatformError


@pytest.fixture
async def loop() -> SteppedLoop:
    return made()


def made(hurry: Callable[[], bool] = lambda: False) -> SteppedLoop:
    # What of a loop is left out is what no client needs.
    return SteppedLoop(asyncio.get_running_loop(), hurry=hurry)  # type: ignore[abstract]


async def test_a_call_runs_to_its_end_without_the_host(loop: SteppedLoop) -> None:
    host_ran: list[bool] = []
    asyncio.get_running_loop().call_soon(host_ran.append, True)

    async def work() -> int:
        for _ in range(100):
            await asyncio.sleep(0)
        async with asyncio.timeout(1), asyncio.Lock():
            return sum(await asyncio.gather(*(asyncio.sleep(0, number) for number in range(4))))

    assert loop.run(work()) == 6
    assert host_ran == []


async def test_a_call_runs_other_tasks_that_it_waits_for(loop: SteppedLoop) -> None:
    lock = asyncio.Lock()

    async def hold() -> None:
        async with lock:
            for _ in range(5):
                await asyncio.sleep(0)

    async def start() -> asyncio.Task[None]:
        return asyncio.create_task(hold())

    async def take() -> bool:
        async with lock:
            return True

    loop.run(start())
    assert loop.run(take())


async def test_an_error_is_raised_by_the_call(loop: SteppedLoop) -> None:
    async def work() -> None:
        raise KeyError("m1")

    with pytest.raises(KeyError, match="m1"):
        loop.run(work())


async def test_the_host_runs_the_background_between_calls(loop: SteppedLoop) -> None:
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def later() -> None:
        await asyncio.sleep(0.01)
        done.set_result("ran")

    async def start() -> asyncio.Task[None]:
        return asyncio.create_task(later())

    task = loop.run(start())
    assert not task.done()
    assert await done == "ran"


async def test_the_loop_that_ran_before_is_in_charge_again(loop: SteppedLoop) -> None:
    host, task = asyncio.get_running_loop(), asyncio.current_task()

    async def work() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert loop.run(work()) is loop
    assert asyncio.get_running_loop() is host
    assert asyncio.current_task() is task


async def test_what_happens_outside_wakes_the_background(loop: SteppedLoop) -> None:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start() -> tuple[asyncio.Event, asyncio.Task[None]]:
        event = asyncio.Event()

        async def wait() -> None:
            await event.wait()
            done.set_result(None)

        return event, asyncio.create_task(wait())

    event, _ = loop.run(start())
    event.set()
    async with asyncio.timeout(5):
        await done


async def test_a_call_that_waits_for_what_comes_later_says_so(loop: SteppedLoop) -> None:
    ended: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(PlatformError, match="use the asynchronous client"):
        loop.run(work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ended == [True]


async def test_a_call_never_sleeps_for_what_is_due_late(loop: SteppedLoop) -> None:
    begun = time.monotonic()
    with pytest.raises(PlatformError):
        loop.run(asyncio.sleep(30))
    assert time.monotonic() - begun < 1


async def test_a_call_sleeps_for_what_is_due_soon(loop: SteppedLoop) -> None:
    assert loop.run(asyncio.sleep(0.01, "slept")) == "slept"


async def test_a_call_that_is_stuck_hurries_what_it_waits_for() -> None:
    futures: list[asyncio.Future[int]] = []

    def hurry() -> bool:
        if not futures or futures[0].done():
            return False
        futures[0].set_result(5)
        return True

    async def work() -> int:
        futures.append(asyncio.get_running_loop().create_future())
        return await futures[0]

    assert made(hurry).run(work()) == 5


async def test_a_call_inside_a_call_is_refused(loop: SteppedLoop) -> None:
    async def inner() -> None: ...

    async def outer() -> None:
        loop.run(inner())

    with pytest.raises(PlatformError, match="wait for itself"):
        loop.run(outer())


async def test_only_the_task_of_a_call_is_in_the_call(loop: SteppedLoop) -> None:
    async def child() -> bool:
        return loop.in_call()

    async def work() -> tuple[bool, bool]:
        return loop.in_call(), await asyncio.create_task(child())

    assert loop.run(work()) == (True, False)


async def test_an_iterator_may_be_followed_call_by_call(loop: SteppedLoop) -> None:
    async def count() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    numbers = count()

    async def following() -> int:
        return await anext(numbers, -1)

    assert [loop.run(following()) for _ in range(4)] == [0, 1, 2, -1]


async def test_a_failing_task_of_the_background_is_logged_and_ends_nothing(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise KeyError("m1")

    loop.call_soon(fail)
    assert loop.run(asyncio.sleep(0, "went on")) == "went on"
    assert "fail" in caplog.text
