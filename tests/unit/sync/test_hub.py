"""Followers: what each of them is told."""

import asyncio

from atiha_web.sync.hub import Feed, Hub


async def test_a_slow_follower_of_a_hub_skips_to_the_newest_value() -> None:
    values = [1]
    hub = Hub(lambda: values[-1])
    follower = hub.follow()
    assert await anext(follower) == 1
    for value in (2, 3):
        values.append(value)
        hub.notify()
    assert await anext(follower) == 3


def test_a_listener_of_a_hub_hears_of_each_change_at_once() -> None:
    heard: list[str] = []
    hub = Hub(lambda: None)
    stop = hub.subscribe(lambda _: heard.append("changed"))
    hub.notify()
    hub.notify()
    stop()
    hub.notify()
    assert heard == ["changed", "changed"]


async def test_a_follower_of_a_feed_gets_each_item() -> None:
    feed: Feed[int] = Feed(10)
    feed.add(1)
    follower = feed.follow()
    assert await anext(follower) == 1
    feed.add(2)
    feed.add(3)
    assert [await anext(follower), await anext(follower)] == [2, 3]


async def test_a_feed_goes_on_once_it_keeps_no_more() -> None:
    feed: Feed[int] = Feed(2)
    follower = feed.follow()
    for number in range(5):
        feed.add(number)
        assert await anext(follower) == number
    assert feed.kept == (3, 4)


async def test_who_falls_behind_misses_the_oldest_only() -> None:
    feed: Feed[int] = Feed(2)
    follower = feed.follow()
    feed.add(0)
    assert await anext(follower) == 0
    for number in range(1, 5):
        feed.add(number)
    assert [await anext(follower), await anext(follower)] == [3, 4]


async def test_what_came_before_the_end_is_still_told() -> None:
    feed: Feed[int] = Feed(10)

    async def collect() -> list[int]:
        return [item async for item in feed.follow()]

    collecting = asyncio.create_task(collect())
    await asyncio.sleep(0)
    feed.add(1)
    feed.close()
    assert await collecting == [1]
