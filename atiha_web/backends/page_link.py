"""The kernel's end of ``js/serve.js``: asking whichever page serves, each thing once and in order.

Knows no browser: what is posted and heard, the wall clock and the lock are parameters.

A page that serves says so; one that goes says that too, after its last answer. What was not
answered by then is asked again of the next page. A page that says nothing for ``PATIENCE`` seconds
is replaced; each request carries the time until which it may still be done, so that a page that
wakes later changes nothing behind the back of its successor. Only where a page is killed between
doing something and saying so is the same thing done again, with the same values.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atiha_web.backends.listeners import Listeners
from atiha_web.backends.local_storage import storage_error
from atiha_web.errors import ClosedError, StorageUnavailableError

PATIENCE = 5.0
"""Seconds without an answer until another page is asked for."""
GIVE_UP = 12.0
"""Seconds until a request fails."""
MARGIN = 0.5
"""Seconds by which a page stops before it is given up: the two are never quite in step."""
WATCH = 1.0
"""Seconds between two looks at what is not answered."""


@dataclass(eq=False, slots=True)
class _Call:
    """One request: when it was made, and sent to the page that serves now (loop time)."""

    number: int
    operation: str
    values: tuple[object, ...]
    answer: asyncio.Future[Any]
    made: float
    sent: float | None = None


class PageLink:
    """Asks the page that serves; hears its news.

    ``post`` sends a message to all pages, ``evict`` takes the right to serve from the one that has
    it; ``now_ms`` is the wall clock, which pages share.
    """

    def __init__(
        self,
        post: Callable[[list[object]], None],
        evict: Callable[[], None],
        now_ms: Callable[[], int],
    ) -> None:
        self.news = Listeners[tuple[Any, ...]]()
        """``("storage", key, value)``, and signals: ``("online",)`` and so on."""
        self.online = True
        """What the page said last."""
        self.base = ""
        """The URL of the page that served first."""
        self._post = post
        self._evict = evict
        self._now_ms = now_ms
        self._page: str | None = None
        self._met = asyncio.Event()
        self._calls: dict[int, _Call] = {}
        self._made = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def is_served(self) -> bool:
        """Whether a page serves now, as far as is known."""
        return self._page is not None

    async def met(self) -> None:
        """Return once a page has begun to serve."""
        await self._met.wait()

    async def ask(self, operation: str, *values: object) -> Any:
        """Let the page do something; operations take effect in the order they were asked for.

        Raises:
            StorageError: the browser refuses storage, or no page answers; then nothing is done
                later either.
            ClosedError: the link was closed.
        """
        if self._closed:
            raise ClosedError("this client was closed; open a new one with connect()")
        loop = asyncio.get_running_loop()
        self._made += 1
        # What Pyodide's loop makes itself costs a second turn as it ends, as long as the message.
        answer: asyncio.Future[Any] = asyncio.Future(loop=loop)
        call = _Call(self._made, operation, values, answer, loop.time())
        self._calls[call.number] = call
        self._send(call)
        self._watch()
        try:
            return await call.answer
        finally:
            self._calls.pop(call.number, None)

    def tell(self, operation: str, *values: object) -> None:
        """Let the page that serves now do something; nobody learns whether it did."""
        if self._page is not None:
            self._post([self._page, 0, self._now_ms() + PATIENCE * 1000, operation, *values])

    def close(self) -> None:
        """Ask and hear nothing more. Idempotent."""
        self._closed = True
        self._page = None
        self.news.clear()
        if self._timer is not None:
            self._timer.cancel()
        for call in self._calls.values():
            if not call.answer.done():
                call.answer.set_exception(ClosedError("this client was closed meanwhile"))

    # -- what pages say --------------------------------------------------------------------

    def hear(self, what: str, *values: Any) -> None:
        """Take in one message of a page."""
        if what == "answer":
            self._settle(*values)
        elif what == "failed":
            self._refuse(*values)
        elif what == "late":
            self._repeat(*values)
        elif what == "serving":
            self._begin(*values)
        elif what == "leaving":
            self._end(*values)
        else:
            self._pass_on(what, *values)

    def _settle(self, number: int, result: Any = None) -> None:
        call = self._calls.get(number)
        if call is not None and not call.answer.done():
            call.answer.set_result(result)

    def _refuse(self, number: int, name: str, message: str) -> None:
        call = self._calls.get(number)
        if call is not None and not call.answer.done():
            call.answer.set_exception(storage_error(name, message))

    def _repeat(self, number: int) -> None:
        """The page was too busy to do it in time, and has not done it."""
        call = self._calls.get(number)
        if call is not None and not call.answer.done():
            self._send(call)

    def _begin(self, page: str, online: bool, base: str) -> None:
        came_back = self._met.is_set()
        self._page = page
        self.base = self.base or base
        for call in self._calls.values():
            self._send(call)
        if online != self.online:
            self._pass_on("online" if online else "offline")
        if came_back:
            # Whatever others wrote meanwhile, nobody told us.
            self._pass_on("visible")
        self._met.set()

    def _end(self, page: str) -> None:
        if page == self._page:
            # Perhaps all pages go, and this kernel with them.
            self._pass_on("hidden")
            self._page = None

    def _pass_on(self, what: str, *values: Any) -> None:
        if what in ("online", "offline"):
            self.online = what == "online"
        self.news.tell((what, *values))

    # -- patience --------------------------------------------------------------------------

    def _send(self, call: _Call) -> None:
        if self._page is None or call.answer.done():
            return
        call.sent = asyncio.get_running_loop().time()
        seconds = min(PATIENCE, call.made + GIVE_UP - call.sent) - MARGIN
        deadline = self._now_ms() + round(seconds * 1000)
        self._post([self._page, call.number, deadline, call.operation, *call.values])

    def _watch(self) -> None:
        if self._timer is None and self._calls and not self._closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(WATCH, self._look, loop.time() + WATCH)

    def _look(self, expected: float) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        late = now - expected
        if late > WATCH / 2:
            # This thread was busy, and answers may wait to be heard: that time does not count.
            for call in self._calls.values():
                call.made += late
                call.sent = None if call.sent is None else call.sent + late
        else:
            self._judge(now)
        self._watch()

    def _judge(self, now: float) -> None:
        for call in self._calls.values():
            if now - call.made >= GIVE_UP and not call.answer.done():
                call.answer.set_exception(
                    StorageUnavailableError(
                        "no page of this site answers for its storage: keep the page open that "
                        "this worker belongs to, or reload it"
                    )
                )
        sent = [call.sent for call in self._calls.values() if call.sent is not None]
        if self._page is not None and sent and now - min(sent) >= PATIENCE:
            self._page = None
            self._evict()
