"""Run an app with uvicorn, and stop in order."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atiha_web.errors import AtihaError
from atiha_web.server.errors import ServerError

GRACE_SECONDS = 5


def serve(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve in the foreground until SIGINT or SIGTERM; running requests are finished.

    ``on_ready`` is told the URL once requests are answered; without it, the URL is printed.
    Port 0 picks a free one.

    Raises:
        ServerError: the address is taken, or the app did not start.
    """
    # The package itself prints nothing; what a server logs is for who started it.
    logging.basicConfig(format="%(levelname)s: %(message)s")
    listener = _listen(host, port)
    url = f"http://{host}:{listener.getsockname()[1]}"
    frank = _FrankApp(app)
    config = uvicorn.Config(
        frank,
        lifespan="on",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config, lambda: (on_ready or _announce)(url))
    try:
        with listener, terminate_as_exit():
            server.run(sockets=[listener])
    except (KeyboardInterrupt, SystemExit):
        # uvicorn has stopped in order, then raised the signal that asked for it once more.
        if server.started:
            return
        if frank.error is None:
            raise
    if frank.error is not None:
        raise frank.error
    if not server.started:
        raise ServerError("the server could not start; the reason is printed above")


@contextmanager
def terminate_as_exit() -> Iterator[None]:
    """Turn SIGTERM into ``SystemExit`` meanwhile, so that everything opened is closed."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()


class _FrankApp:
    """An app that tells why it could not start, where uvicorn would print a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.error: AtihaError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failures: list[Message] = []

        async def hold_failure(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failures.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold_failure)
        except AtihaError as error:
            self.error = error
            await send({"type": "lifespan.startup.failed", "message": ""})
        except BaseException:
            for message in failures:
                await send(message)
            raise


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServerError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port"
        ) from error
    return listener


def _announce(url: str) -> None:
    sys.stdout.write(f"ready: {url}\n")
    sys.stdout.flush()
