"""Asking pages that come, go, freeze and wake: each thing takes effect once, and in order."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from atiha_web.backends.page_link import GIVE_UP, PATIENCE, PageLink
from atiha_web.errors import ClosedError, StorageFullError, StorageUnavailableError


@dataclass
class Pages:
    """All pages of an origin that a kernel can meet; messages between them take a turn.

    `done` is what pages did, in the order they did it, as (page, values).
    """

    done: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)
    queue: list["Page"] = field(default_factory=list)
    evictions: int = 0

    def __post_init__(self) -> None:
        self.link = PageLink(self._post, self._evict, now_ms)

    def page(self, name: str) -> "Page":
        page = Page(name, self)
        self.queue.append(page)
        if len(self.queue) == 1:
            page.serve()
        return page

    def _post(self, message: list[object]) -> None:
        for page in self.queue:
            asyncio.get_running_loop().call_soon(page.take, message)

    def _evict(self) -> None:
        """The browser gives the lock to the page that waits next; the other one waits again."""
        self.evictions += 1
        evicted, *waiting = self.queue
        self.queue = [*waiting, evicted]
        evicted.lost = True
        if not self.queue[0].frozen:
            self.queue[0].serve()

    def written(self) -> list[tuple[object, ...]]:
        return [values for _, values in self.done]


class Page:
    """One page; `frozen`, what it receives waits."""

    def __init__(self, name: str, pages: Pages) -> None:
        self.frozen = False
        self.lost = False
        self.fails: tuple[str, str] | None = None
        self.answers = True
        self._terms = 0
        self._name = name
        self._pages = pages
        self._received: list[list[Any]] = []

    @property
    def id(self) -> str:
        return f"{self._name}{self._terms}"

    def serve(self) -> None:
        self.lost = False
        self._terms += 1
        self.tell("serving", self.id, True, "https://page.test/")

    def leave(self) -> None:
        """Close the page; the next one in the queue serves."""
        self._pages.queue.remove(self)
        self.tell("leaving", self.id)
        for page in self._pages.queue[:1]:
            page.serve()

    def die(self) -> None:
        """The browser ends the page without a word of it."""
        self._pages.queue.remove(self)
        for page in self._pages.queue[:1]:
            page.serve()

    def tell(self, *news: Any) -> None:
        asyncio.get_running_loop().call_soon(self._pages.link.hear, *news)

    def wake(self) -> None:
        """Do what was received meanwhile, before anybody says that another page serves."""
        self.frozen = False
        received, self._received = self._received, []
        for message in received:
            self._do(*message)
        if self.lost:
            self.tell("leaving", self.id)
            if self._pages.queue[0] is self:
                self.serve()

    def take(self, message: list[Any]) -> None:
        if self.frozen:
            self._received.append(message)
        else:
            self._do(*message)

    def _do(self, to: str, number: int, deadline: int, operation: str, *values: object) -> None:
        if to != self.id:
            return
        if now_ms() > deadline:
            self.tell("late", number)
        elif self.fails:
            self.tell("failed", number, *self.fails)
        else:
            self._pages.done.append((self._name, (operation, *values)))
            if self.answers:
                self.tell("answer", number, [operation, *values])


def now_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000)


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.fixture
async def pages() -> Pages:
    return Pages()


@pytest.fixture
async def link(pages: Pages) -> AsyncIterator[PageLink]:
    yield pages.link
    pages.link.close()


async def test_a_page_answers(pages: Pages, link: PageLink) -> None:
    pages.page("a")
    assert await link.ask("read", "key") == ["read", "key"]
    assert pages.done == [("a", ("read", "key"))]


async def test_what_is_asked_before_a_page_serves_waits_for_it(
    pages: Pages, link: PageLink
) -> None:
    asked = [asyncio.create_task(link.ask("write", n)) for n in range(3)]
    await turns()
    pages.page("a")
    await asyncio.gather(*asked)
    assert pages.written() == [("write", n) for n in range(3)]


async def test_who_meets_a_page_learns_its_address_and_connection(
    pages: Pages, link: PageLink
) -> None:
    pages.page("a")
    await link.met()
    assert (link.base, link.online, link.is_served) == ("https://page.test/", True, True)


async def test_a_refusal_is_raised_with_its_meaning(pages: Pages, link: PageLink) -> None:
    page = pages.page("a")
    for name, error in (
        ("QuotaExceededError", StorageFullError),
        ("SecurityError", StorageUnavailableError),
    ):
        page.fails = name, "no"
        with pytest.raises(error):
            await link.ask("write", "key", "value")


async def test_what_a_page_did_before_it_left_is_not_done_again(
    pages: Pages, link: PageLink
) -> None:
    page = pages.page("a")
    pages.page("b")
    await link.met()
    asked = [asyncio.create_task(link.ask("write", n)) for n in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    page.leave()
    asked += [asyncio.create_task(link.ask("write", n)) for n in range(3, 6)]
    await asyncio.gather(*asked)
    assert pages.written() == [("write", n) for n in range(6)]
    assert {page for page, _ in pages.done} == {"a", "b"}


async def test_what_a_frozen_page_received_is_done_once_by_the_next(
    pages: Pages, link: PageLink
) -> None:
    page = pages.page("a")
    pages.page("b")
    await link.met()
    page.frozen = True
    begin = asyncio.get_running_loop().time()
    await asyncio.gather(*(link.ask("write", n) for n in range(3)))
    assert asyncio.get_running_loop().time() - begin <= PATIENCE + 1.5
    page.wake()
    await turns()
    assert pages.done == [("b", ("write", n)) for n in range(3)]
    assert link.is_served


async def test_a_page_that_wakes_after_a_later_write_does_not_undo_it(
    pages: Pages, link: PageLink
) -> None:
    page = pages.page("a")
    pages.page("b")
    await link.met()
    page.frozen = True
    await link.ask("write", "key", "old")
    await link.ask("write", "key", "new")
    page.wake()
    await turns()
    assert pages.done[-1] == ("b", ("write", "key", "new"))
    assert {name for name, _ in pages.done} == {"b"}


async def test_a_page_that_was_only_slow_goes_on(pages: Pages, link: PageLink) -> None:
    page = pages.page("a")
    await link.met()
    page.frozen = True
    asking = asyncio.create_task(link.ask("write", "key", "value"))
    await asyncio.sleep(PATIENCE - 1)
    page.wake()
    await asking
    assert (pages.written(), pages.evictions) == ([("write", "key", "value")], 0)


async def test_what_comes_too_late_is_asked_again_of_the_same_page(
    pages: Pages, link: PageLink
) -> None:
    page = pages.page("a")
    await link.met()
    page.frozen = True
    asking = asyncio.create_task(link.ask("write", "key", "value"))
    await asyncio.sleep(PATIENCE - 0.2)
    page.wake()
    await asking
    assert (pages.written(), pages.evictions) == ([("write", "key", "value")], 0)


async def test_what_waited_long_for_a_page_is_not_done_after_it_failed(
    pages: Pages, link: PageLink
) -> None:
    asking = asyncio.create_task(link.ask("write", "key", "value"))
    await asyncio.sleep(GIVE_UP - 2)
    page = pages.page("a")
    page.frozen = True
    with pytest.raises(StorageUnavailableError):
        await asking
    page.wake()
    await turns()
    assert pages.done == []


async def test_the_only_page_is_asked_again_when_it_wakes(pages: Pages, link: PageLink) -> None:
    page = pages.page("a")
    await link.met()
    page.frozen = True
    asking = asyncio.create_task(link.ask("write", "key", "value"))
    await asyncio.sleep(PATIENCE + 2)
    assert (link.is_served, pages.evictions) == (False, 1)
    page.wake()
    await asking
    assert pages.written() == [("write", "key", "value")]
    assert link.is_served


async def test_without_any_page_asking_fails_and_nothing_is_done_later(
    pages: Pages, link: PageLink
) -> None:
    page = pages.page("a")
    await link.met()
    page.frozen = True
    begin = asyncio.get_running_loop().time()
    with pytest.raises(StorageUnavailableError, match="keep the page open"):
        await link.ask("write", "key", "value")
    assert asyncio.get_running_loop().time() - begin <= GIVE_UP + 1
    page.wake()
    await turns()
    assert pages.done == []


async def test_a_killed_page_is_followed_by_the_next(pages: Pages, link: PageLink) -> None:
    page = pages.page("a")
    pages.page("b")
    await link.met()
    page.answers = False
    asking = asyncio.create_task(link.ask("write", "key", "value"))
    await turns()
    page.die()
    await asking
    # It died between doing it and saying so: done again, the same values are there once.
    assert pages.done == [("a", ("write", "key", "value")), ("b", ("write", "key", "value"))]


async def test_time_in_which_this_thread_was_busy_does_not_count(
    pages: Pages, link: PageLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = pages.page("a")
    await link.met()
    page.frozen = True
    asking = asyncio.create_task(link.ask("write", "key", "value"))
    await turns()
    # A cell that computes for an hour: everything due fires after it.
    loop = asyncio.get_running_loop()
    clock, before = loop.time, loop.time()
    monkeypatch.setattr(loop, "time", lambda: clock() + 3600)
    await turns()
    assert loop.time() - before >= 3600
    assert (asking.done(), pages.evictions) == (False, 0)
    page.wake()
    await asking
    assert pages.written() == [("write", "key", "value")]


async def test_news_are_passed_on(pages: Pages, link: PageLink) -> None:
    page = pages.page("a")
    await link.met()
    heard: list[tuple[Any, ...]] = []
    link.news.add(heard.append)
    for news in (("storage", "key", None), ("offline",), ("online",), ("hidden",)):
        page.tell(*news)
    await turns()
    assert heard == [("storage", "key", None), ("offline",), ("online",), ("hidden",)]


async def test_the_hint_follows_what_the_page_says(pages: Pages, link: PageLink) -> None:
    page = pages.page("a")
    await link.met()
    for signal, online in (("offline", False), ("hidden", False), ("online", True)):
        page.tell(signal)
        await turns()
        assert link.online is online


async def test_another_page_is_a_reason_to_look_again(pages: Pages, link: PageLink) -> None:
    page = pages.page("a")
    pages.page("b")
    await link.met()
    heard: list[tuple[Any, ...]] = []
    link.news.add(heard.append)
    page.leave()
    await turns()
    assert heard == [("hidden",), ("visible",)]


async def test_closing_ends_what_is_asked(pages: Pages, link: PageLink) -> None:
    asking = asyncio.create_task(link.ask("read", "key"))
    await turns()
    link.close()
    link.close()
    with pytest.raises(ClosedError):
        await asking
    with pytest.raises(ClosedError):
        await link.ask("read", "key")


async def test_who_stops_waiting_disturbs_nobody(pages: Pages, link: PageLink) -> None:
    first, second = (asyncio.create_task(link.ask("write", n)) for n in range(2))
    await turns()
    first.cancel()
    await turns()
    pages.page("a")
    await second
    assert pages.written() == [("write", 1)]


async def test_what_is_told_goes_to_the_page_that_serves_now_or_to_nobody(
    pages: Pages, link: PageLink
) -> None:
    link.tell("sendLast", "early")
    pages.page("a")
    await link.met()
    link.tell("sendLast", "now")
    await turns()
    assert pages.written() == [("sendLast", "now")]
