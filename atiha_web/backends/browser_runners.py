"""Blocking calls in a browser: on the page by hand, in a worker by switching stacks (JSPI).

What a call asks of the server goes through pyodide-http, a synchronous request, so that it works
where nothing can be awaited. Background work goes on with asynchronous ``fetch``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import js
from pyodide.ffi import JsException, can_run_sync, run_sync

# Its public face patches urllib for everybody, and takes no relative URL and no timeout.
from pyodide_http import _core as pyodide_http

from atiha_web.backends.auto import choose_backend
from atiha_web.backends.base import Backend, Request, Response
from atiha_web.backends.mirror import MirrorPolicy
from atiha_web.backends.page import PageTransport
from atiha_web.backends.runners import Runner
from atiha_web.backends.stand_ins import CallTransport, StandIns, for_calls
from atiha_web.backends.stepped_loop import SteppedLoop
from atiha_web.errors import NetworkError, PlatformError, RequestTimeoutError

T = TypeVar("T")

MOST_WITHOUT_TURN = 0.01
"""Seconds in which calls that end at once let nothing else run: to wait takes 0.5 ms."""
NO_SWITCHING = (
    "a blocking client in a worker needs a browser that lets Python wait (JavaScript Promise "
    "Integration, which Chromium and Firefox have), called from Python that the browser may hold "
    "up, as in a cell or runPythonAsync: use the asynchronous client here, await "
    "atiha_web.connect(…)"
)


def send_at_once(request: Request, base: str | None = None) -> Response:
    """Send a synchronous request; see ``Transport.request``. ``base`` is what URLs are relative to.

    Its timeout holds in workers only: on a page the browser allows none for synchronous requests.
    The final URL of a redirected request is not known.
    """
    headers = dict(request.headers)
    if request.method == "GET" and request.url.startswith("/"):
        # Elsewhere it would make the browser ask that server for permission first.
        headers.setdefault("cache-control", "no-cache")
    url = request.url if base is None else js.URL.new(request.url, base).href
    call = pyodide_http.Request(
        request.method, url, body=request.body, headers=headers, timeout=request.timeout
    )
    try:
        reply = pyodide_http.send(call)
    except JsException as error:
        if error.name == "TimeoutError":
            raise RequestTimeoutError(f"no answer within {request.timeout:g} s") from error
        raise NetworkError(f"the server cannot be reached: {error.message}") from error
    return Response(
        status=reply.status_code,
        headers={name.lower(): value for name, value in reply.headers.items()},
        body=reply.body,
    )


class PageRunner(Runner):
    """On the page's main thread, where storage answers at once."""

    def __init__(self) -> None:
        self._waits = StandIns()
        self._loop = SteppedLoop(  # type: ignore[abstract]
            asyncio.get_event_loop(), hurry=self._waits.hurry, wait=_waiting
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """See ``Runner.run``."""
        return self._loop.run(work)

    def can_wait(self) -> bool:
        """See ``Runner.can_wait``."""
        return self._loop.can_wait()

    async def choose_backend(self, *, mirror: MirrorPolicy | None, **choice: Any) -> Backend:
        """See ``Runner.choose_backend``."""
        late = not self.can_wait()
        if late and not hasattr(js, "atihaBridge"):
            raise PlatformError(
                "nothing can wait for bridge.js to load here: serve this package's js/bridge.js "
                "from the page's origin and let the page load it itself, "
                '<script src="/atiha/bridge.js"></script>, or connect from runPythonAsync'
            )
        backend = await choose_backend(mirror=mirror and replace(mirror, is_late=late), **choice)
        return for_calls(backend, self._loop, self._waits, send_at_once)


class WorkerRunner(Runner):
    """In a worker, where even storage is on another thread.

    Raises:
        PlatformError: this browser cannot wait in Python, or not below this call.
    """

    def __init__(self) -> None:
        if not can_run_sync():
            raise PlatformError(NO_SWITCHING)
        self._loop = asyncio.get_event_loop()
        self._calls: dict[asyncio.Task[Any] | None, Callable[[], object]] = {}
        """What tells who waits for each call that it has ended."""
        self._turn_due = 0.0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """See ``Runner.run``."""
        if not can_run_sync():
            work.close()
            raise PlatformError(NO_SWITCHING)
        # Begun here and not in the next turn: a turn takes as long as a message to the page.
        call = asyncio.Task(self._call(work), loop=self._loop, eager_start=True)  # type: ignore[call-arg]
        if call.done() and self._loop.time() < self._turn_due:
            return call.result()
        js_end = js.Promise.withResolvers()
        if call.done():
            # Who asks again and again must not keep the background from changing the answer.
            self._loop.call_soon(js_end.resolve)
        else:
            self._calls[call] = js_end.resolve
        try:
            run_sync(js_end.promise)
        finally:
            self._turn_due = self._loop.time() + MOST_WITHOUT_TURN
            # Only an interrupt leaves it before it is done.
            call.cancel()
        return call.result()

    async def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work``, and tell who waits in the same turn."""
        task = asyncio.current_task()
        self._calls[task] = lambda: None
        try:
            return await work
        finally:
            self._calls.pop(task)()

    async def choose_backend(self, *, mirror: MirrorPolicy | None, **choice: Any) -> Backend:
        """See ``Runner.choose_backend``."""
        backend = await choose_backend(mirror=mirror, **choice)
        page = backend.transport.base if isinstance(backend.transport, PageTransport) else None
        transport = CallTransport(
            backend.transport,
            partial(send_at_once, base=page),
            in_call=self._in_call,
            between_calls=partial(asyncio.sleep, 0),
            waits=StandIns(),
        )
        return replace(backend, transport=transport)

    def _in_call(self) -> bool:
        return asyncio.current_task() in self._calls


def _waiting() -> Callable[[asyncio.Future[None]], None] | None:
    return run_sync if can_run_sync() else None
