"""Long work leaves others their turn, and is done wholly even if nobody waits for it any more."""

import asyncio

import pytest
from pydantic import BaseModel

from atiha_web.first_model import First
from atiha_web.sync.turns import PausingLock, built_in_turns, in_turns, to_the_end


async def test_others_have_a_turn_between_two_parts() -> None:
    seen: list[object] = []

    async def other() -> None:
        seen.append("other")

    async for part in in_turns(range(5), 2):
        seen.append(part)
        task = asyncio.ensure_future(other())
    await task
    assert seen == [[0, 1], "other", [2, 3], "other", [4], "other"]


@pytest.mark.parametrize("items", [[], [1]])
async def test_what_is_one_part_takes_no_turn(items: list[int]) -> None:
    task = asyncio.ensure_future(asyncio.sleep(0))
    assert [part async for part in in_turns(items, 2)] == [items] * len(items)
    assert not task.done()
    await task


async def test_models_are_built_one_in_each_turn() -> None:
    class Named(BaseModel, defer_build=True):
        name: str

    class Numbered(Named):
        number: int

    First.model_rebuild()
    kinds: list[type[BaseModel]] = [Named, Numbered]
    task = asyncio.ensure_future(built_in_turns(kinds))
    seen = []
    while not task.done():
        seen.append([kind.__pydantic_complete__ for kind in kinds])
        await asyncio.sleep(0)
    assert seen == [[False, False], [True, False], [True, True]]


async def test_work_goes_on_to_its_end_before_a_cancellation_is_heard() -> None:
    done: list[int] = []

    async def work() -> None:
        for number in range(3):
            await asyncio.sleep(0)
            done.append(number)

    task = asyncio.ensure_future(to_the_end(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [0, 1, 2]


async def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await to_the_end(work())


async def test_short_work_comes_in_where_long_work_pauses_and_nowhere_else() -> None:
    lock = PausingLock()
    done: list[str] = []

    async def short() -> None:
        async with lock.short:
            done.append("short")

    async with lock:
        task = asyncio.ensure_future(short())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (done, lock.locked()) == ([], True)
        await lock.pause()
        await task
        done.append("long")
    assert (done, lock.locked()) == (["short", "long"], False)


async def test_other_long_work_waits_through_a_pause() -> None:
    lock = PausingLock()
    done: list[str] = []

    async def other() -> None:
        async with lock:
            done.append("other")

    async with lock:
        task = asyncio.ensure_future(other())
        await lock.pause()
        await lock.pause()
        done.append("first")
    await task
    assert done == ["first", "other"]


async def test_who_is_cancelled_in_a_pause_goes_on_only_with_the_lock() -> None:
    lock = PausingLock()
    entered, leave = asyncio.Event(), asyncio.Event()

    async def short() -> None:
        async with lock.short:
            entered.set()
            await leave.wait()

    async def long() -> None:
        async with lock:
            try:
                await lock.pause()
            finally:
                assert leave.is_set()

    long_task = asyncio.ensure_future(long())
    short_task = asyncio.ensure_future(short())
    await entered.wait()
    for _ in range(3):
        long_task.cancel()
        await asyncio.sleep(0)
    leave.set()
    await asyncio.wait([long_task, short_task])
    assert (long_task.cancelled(), short_task.exception(), lock.locked()) == (True, None, False)


async def test_who_is_cancelled_before_it_may_begin_holds_nothing() -> None:
    lock = PausingLock()

    async def long() -> None:
        async with lock:
            raise AssertionError

    async with lock.short:
        task = asyncio.ensure_future(long())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert (task.cancelled(), lock.locked()) == (True, False)
