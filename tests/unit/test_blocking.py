"""The blocking client on CPython: the same client, a thread's loop, any thread and any context."""

import _thread
import asyncio
import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import assert_type

import pytest

import atiha_web
from atiha_web import (
    ClosedError,
    InvalidDataError,
    NotSignedInError,
    PlatformError,
    Rating,
    SaveError,
    blocking,
)
from atiha_web.backends import thread_runner
from atiha_web.backends.base import Request, Response, Transport
from atiha_web.testing.fake_server import FakeDevice, FakeServer

TWINS: dict[type, type] = {
    atiha_web.Client: blocking.Client,
    atiha_web.UserProfileService: blocking.UserProfileService,
    atiha_web.UserDatabase: blocking.UserDatabase,
    atiha_web.SyncService: blocking.SyncService,
    atiha_web.Write: blocking.Write,
    atiha_web.CollectionReader: blocking.CollectionReader,
}
INSIDE = {"signed_in", "opened"}
"""The engine of a client, which has no blocking twin."""
LONGER = {"saved"}
"""What takes more than its twin: nobody can put a timeout around it."""


def public(kind: type) -> list[str]:
    return [name for name in vars(kind) if not name.startswith("_") and name not in INSIDE]


PAIRS = [(one, name) for one in TWINS for name in public(one)]


@pytest.fixture
def client(phone: FakeDevice) -> Iterator[blocking.Client]:
    """A client of Ann, signed in; nothing runs in the background."""
    with blocking.connect(backend=phone.backend(), background=False) as made:
        made.users.register_user(email="ann@example.org", password="long enough", name="Ann")
        yield made


def user(client: blocking.Client) -> str:
    assert client.user_id is not None
    return client.user_id


# -- the same client ---------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), PAIRS, ids=lambda part: getattr(part, "__name__", part))
def test_every_public_name_has_a_twin(kind: type, name: str) -> None:
    assert hasattr(TWINS[kind], name)


@pytest.mark.parametrize(
    ("kind", "name"),
    [pair for pair in PAIRS if inspect.isfunction(vars(pair[0])[pair[1]])],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_a_twin_takes_the_same_and_is_not_awaited(kind: type, name: str) -> None:
    one, twin = getattr(kind, name), getattr(TWINS[kind], name)
    assert not inspect.iscoroutinefunction(twin)
    if name not in LONGER:
        assert inspect.signature(twin).parameters == inspect.signature(one).parameters
        assert twin.__doc__ == one.__doc__


def test_connect_takes_the_same() -> None:
    expected = inspect.signature(atiha_web.connect).parameters
    assert inspect.signature(blocking.connect).parameters == expected


def test_type_checkers_know_what_calls_take_and_return(client: blocking.Client) -> None:
    write = assert_type(client.profiles.add_rating(user(client), "m1", 5), blocking.Write)
    assert write.record is not None
    assert_type(client.profiles.get_ratings(user(client)), list[Rating])
    with pytest.raises(TypeError):
        client.profiles.add_rating(user(client))  # type: ignore[call-arg]


def test_a_write_is_in_storage_when_the_call_returns(
    client: blocking.Client, phone: FakeDevice
) -> None:
    write = client.profiles.add_rating(user(client), "m1", 5)
    assert write.operation is not None
    assert f"atiha:{user(client)}:j:{write.operation.id}" in phone.origin.items
    assert client.status.pending == 1
    assert client["ratings"]["m1"] == write.record


async def test_a_sync_takes_a_write_to_the_server(api: FakeServer, phone: FakeDevice) -> None:
    with blocking.connect(backend=phone.backend(), background=False) as client:
        ann = client.users.register_user(email="a@b.org", password="long enough", name="Ann")
        client.profiles.add_favorite(ann.id, "m1")
        report = client.sync()
    assert (report.ok, report.sent) == (True, 1)
    assert [row["contentId"] for row in await api.rows_of(ann.id, "favorites")] == ["m1"]


def test_a_collection_reads_as_a_mapping(client: blocking.Client) -> None:
    for key in ("m1", "m2"):
        client.put("favorites", key, {"contentType": "movie", "title": key})
    assert list(client["favorites"]) == ["m2", "m1"]
    assert len(client["favorites"]) == 2
    with pytest.raises(KeyError):
        client["favorites"]["m3"]


def test_it_shows_how_things_stand_also_once_closed(client: blocking.Client) -> None:
    client.put("favorites", "m1", {"title": "M"})
    assert "1 pending" in repr(client)
    assert "pending" in client._repr_html_()
    client.close()
    assert repr(client) == "<Client, closed>"


def test_errors_are_the_same(client: blocking.Client) -> None:
    with pytest.raises(InvalidDataError):
        client.profiles.add_rating(user(client), "m1", 6)
    client.users.logout()
    with pytest.raises(NotSignedInError):
        client.profiles.get_ratings("ann")


def test_watching_yields_now_and_after_a_change(client: blocking.Client) -> None:
    seen = client.watch("favorites")
    assert dict(next(seen)) == {}
    client.put("favorites", "m1", {"contentType": "movie", "title": "M"})
    assert list(next(seen)) == ["m1"]


def test_a_cached_value_is_saved_without_a_write(client: blocking.Client) -> None:
    config = atiha_web.SyncConfig(cache_key="settings", api_endpoint="/api/settings")
    assert client.service.save(config, {"dark": True}) is None


# -- waiting -----------------------------------------------------------------------------------


def test_the_background_goes_on_between_calls(phone: FakeDevice) -> None:
    with blocking.connect(backend=phone.backend()) as client:
        ann = client.users.register_user(email="a@b.org", password="long enough", name="Ann")
        client.profiles.add_favorite(ann.id, "m1").saved("server")
        assert client.status.pending == 0


def test_saved_raises_after_its_timeout(client: blocking.Client) -> None:
    write = client.profiles.add_favorite(user(client), "m1")
    with pytest.raises(SaveError, match="kept and sent later"):
        write.saved("server", timeout=0.01)


# -- threads, loops and ends -------------------------------------------------------------------


def test_many_threads_may_call(client: blocking.Client) -> None:
    def add(number: int) -> None:
        client.profiles.add_favorite(user(client), f"m{number}")
        assert f"m{number}" in client["favorites"]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(100)))
    assert len(client["favorites"]) == client.status.pending == 100


async def test_it_works_in_a_running_loop_as_notebooks_have_one(client: blocking.Client) -> None:
    assert asyncio.get_running_loop().is_running()
    client.profiles.add_favorite(user(client), "m1")
    assert client.profiles.is_favorite(user(client), "m1")


def test_a_closed_client_says_so(client: blocking.Client) -> None:
    client.close()
    client.close()
    with pytest.raises(ClosedError, match="open a new one"):
        client.sync()


def test_no_thread_is_left_behind(phone: FakeDevice) -> None:
    before = set(threading.enumerate())
    with blocking.connect(backend=phone.backend()):
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


def test_no_thread_is_left_behind_by_a_failure() -> None:
    before = set(threading.enumerate())
    with pytest.raises(InvalidDataError):
        blocking.connect("ftp://nowhere")
    assert set(threading.enumerate()) == before


class InterruptedTransport:
    """A server that never answers, and a person who gives up waiting for it."""

    keeps_cookies = False

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt

    async def request(self, _: Request) -> Response:
        self._interrupt()
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None: ...


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """A shell's background jobs ignore interrupts, and so would this process as one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
@pytest.mark.parametrize(
    "interrupt",
    [
        press,
        # What is left of a signal that arrives right before the main thread begins to wait.
        pytest.param(_thread.interrupt_main, id="unseen"),
    ],
)
def test_an_interrupt_ends_the_call_and_the_client_goes_on(
    phone: FakeDevice, interrupt: Callable[[], None]
) -> None:
    transport: Transport = InterruptedTransport(interrupt)
    backend = replace(phone.backend(), transport=transport)
    with blocking.connect(user_id="ann", backend=backend, background=False) as client:
        with pytest.raises(KeyboardInterrupt):
            client.sync()
        client.profiles.add_favorite("ann", "m1")
        assert client.status.pending == 1


def test_a_call_may_take_longer_than_the_time_between_two_looks_at_signals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(thread_runner, "WAKE_SECONDS", 0.001)
    runner = thread_runner.ThreadRunner()

    async def answer() -> str:
        await asyncio.sleep(0.02)
        return "42"

    async def give_up() -> str:
        await asyncio.sleep(0.02)
        raise TimeoutError("of its own")

    try:
        assert runner.run(answer()) == "42"
        with pytest.raises(TimeoutError, match="of its own"):
            runner.run(give_up())
    finally:
        runner.close()


def test_a_call_from_a_callback_of_a_call_is_refused(phone: FakeDevice) -> None:
    clients: list[blocking.Client] = []

    def now_ms() -> int:
        if clients:
            clients[0].sync()
        return 1_750_000_000_000

    with blocking.connect(
        user_id="ann", backend=replace(phone.backend(), now_ms=now_ms), background=False
    ) as client:
        clients.append(client)
        with pytest.raises(PlatformError, match="from another thread"):
            client.profiles.add_favorite("ann", "m1")
        clients.clear()


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_a_script_that_does_not_close_ends_cleanly_and_loses_nothing(tmp_path: Path) -> None:
    code = """
        import pathlib, sys
        from atiha_web import blocking
        client = blocking.connect(
            "http://127.0.0.1:9", user_id="ann", storage=pathlib.Path(sys.argv[1])
        )
        print(len(client["favorites"]))
        client.profiles.add_favorite("ann", "m1")
    """
    runs = [run(code, str(tmp_path / "data")) for _ in range(2)]
    assert [(each.returncode, each.stdout, each.stderr) for each in runs] == [
        (0, "0\n", ""),
        (0, "1\n", ""),
    ]


def test_a_forked_process_is_told_to_connect_again(tmp_path: Path) -> None:
    code = """
        import os, sys
        from atiha_web import PlatformError, blocking
        with blocking.connect("http://127.0.0.1:9", user_id="ann", storage="memory") as client:
            child = os.fork()
            if child == 0:
                try:
                    client.sync()
                except PlatformError as error:
                    print(error, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
    """
    told = run(code)
    assert (told.returncode, told.stderr) == (0, "")
    assert "connect again" in told.stdout
