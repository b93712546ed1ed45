"""Runs inside Pyodide: each coroutine function returns JSON; times are in milliseconds."""

import functools
import gc
import json
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import js

import atiha_web
from atiha_web import Client, blocking
from atiha_web.backends.auto import choose_backend

_clients: list[Client] = []
_written = 0


def _as_json(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[str]]:
    @functools.wraps(function)
    async def run(*values: Any) -> str:
        return json.dumps(await function(*values))

    return run


def _now() -> float:
    return time.perf_counter() * 1000


async def _open(user_id: str, token: str) -> Client:
    await _close()
    client = await atiha_web.connect(user_id=user_id, token=token, background=False)
    _clients.append(client)
    return client


async def _close() -> None:
    while _clients:
        await _clients.pop().close()


async def _timed(work: Awaitable[Any]) -> float:
    begin = _now()
    await work
    return _now() - begin


async def _write(number: int) -> atiha_web.Write:
    global _written  # noqa: PLW0603 - every write is of another film, for as long as the page lives
    profiles, user_id = _clients[-1].profiles, _clients[-1].user_id
    assert user_id is not None
    for _ in range(number):
        _written += 1
        write = await profiles.add_to_watch_history(
            user_id,
            f"film-{_written}",
            "movie",
            f"Film {_written}",
            progress=60 + _written,
            duration=7200,
        )
    return write


@_as_json
async def open_client(user_id: str, token: str) -> None:
    """Open a user's data; the client before is closed."""
    await _open(user_id, token)


@_as_json
async def sync() -> list[float]:
    """One cycle: how long it took, and how many requests it made."""
    begin = _now()
    report = await _clients[-1].sync()
    assert report.ok, report.message
    return [_now() - begin, report.requests]


@_as_json
async def write(number: int) -> float:
    """Awaited writes, one after the other."""
    begin = _now()
    await _write(number)
    return _now() - begin


@_as_json
async def write_each(number: int) -> list[float]:
    """Awaited writes, and how long each took."""
    return [await _timed(_write(1)) for _ in range(number)]


@_as_json
async def write_blocking(number: int, user_id: str, token: str) -> list[float]:
    """Writes without `await`, and how long each took."""
    await _close()
    times = []
    with blocking.connect(user_id=user_id, token=token, background=False) as client:
        for count in range(number):
            begin = _now()
            client.profiles.add_to_watch_history(
                user_id, f"blocking-{count}", "movie", f"Film {count}", progress=60, duration=7200
            )
            times.append(_now() - begin)
    return times


@_as_json
async def read_each(number: int) -> list[float]:
    """One stored value after the other, and how long each took."""
    backend = await choose_backend()
    times = [await _timed(backend.storage.read(["atiha_session"])) for _ in range(number)]
    backend.close()
    return times


@_as_json
async def connect_each(number: int, user_id: str, token: str) -> list[float]:
    """Connections, each after the one before was closed, and how long each took."""
    times = []
    for _ in range(number):
        await _close()
        times.append(await _timed(_open(user_id, token)))
    return times


@_as_json
async def write_to_disk(number: int) -> float:
    """A burst of writes until all of them survive a killed browser."""
    begin = _now()
    await (await _write(number)).saved("disk")
    return _now() - begin


@_as_json
async def records() -> int:
    """How many entries the history has."""
    return len(_clients[-1]["watch_history"])


@_as_json
async def open_and_read(user_id: str, token: str) -> list[float]:
    """How long opening takes, and reading the same bytes with nothing but the platform."""
    await _close()
    begin = _now()
    client = await _open(user_id, token)
    opened = _now() - begin
    assert len(client["watch_history"]) > 0
    await _close()
    storage = js.window.localStorage
    names = [storage.key(index) for index in range(storage.length)]
    pages = [name for name in names if name.startswith(f"atiha:{user_id}:")]
    begin = _now()
    read = [json.loads(storage.getItem(name)) for name in pages]
    return [opened, _now() - begin, sum(len(storage.getItem(name)) for name in pages), len(read)]


@_as_json
async def bytes_of(user_id: str, token: str) -> int:
    """The memory that opening a user's data takes."""
    await _close()
    gc.collect()
    tracemalloc.start()
    await _open(user_id, token)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held
