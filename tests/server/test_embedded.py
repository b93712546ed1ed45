"""The embedded PostgreSQL: where it lives, what it leaves, and that it ends with its parent."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from atiha_web.server import EmbeddedPostgres, EmbeddedPostgresError, open_database
from atiha_web.server.embedded import find_binaries
from tests.server.fixtures import FAST, run

# Where the tests run in the background of a script, SIGINT is ignored, and children inherit that.
PARENT = """
import signal, sys, time
from pathlib import Path
from atiha_web.server import EmbeddedPostgres
from atiha_web.server.listening import terminate_as_exit
signal.signal(signal.SIGINT, signal.default_int_handler)
with terminate_as_exit(), EmbeddedPostgres(Path(sys.argv[1])) as postgres:
    print(postgres.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "données à garder" / "postgres"


async def query(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@contextmanager
def parent(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that keeps an embedded server; its PostgreSQL's pid."""
    command = [sys.executable, "-c", PARENT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def wait_for_end(pid: int, seconds: float = 20) -> None:
    """Wait until a process that is not ours to wait for is gone."""
    with os.fdopen(os.pidfd_open(pid)) as process:
        ended, _, _ = select.select([process], [], [], seconds)
        assert ended, f"process {pid} survived"


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_survives_its_parent(folder: Path, number: signal.Signals) -> None:
    with parent(folder) as (process, pid):
        backends = children(pid)
        assert backends
        process.send_signal(number)
        for survivor in (pid, *backends):
            try:
                wait_for_end(survivor)
            except ProcessLookupError:
                continue
        process.wait(20)


def test_it_starts_again_right_after_its_parent_was_killed(folder: Path) -> None:
    with parent(folder) as (process, _):
        process.kill()
    with EmbeddedPostgres(folder, FAST) as postgres:
        assert run(query(postgres.url, "SELECT 1")) == 1


def test_data_is_there_at_the_next_start(folder: Path) -> None:
    with EmbeddedPostgres(folder) as postgres:
        run(query(postgres.url, "CREATE TABLE kept AS SELECT 7 AS n"))
    with EmbeddedPostgres(folder) as postgres:
        assert run(query(postgres.url, "SELECT n FROM kept")) == 7


def test_nothing_listens_on_the_network(folder: Path) -> None:
    with EmbeddedPostgres(folder, FAST) as postgres:
        assert run(query(postgres.url, "SHOW listen_addresses")) == ""


def test_data_and_socket_are_private(folder: Path) -> None:
    with EmbeddedPostgres(folder, FAST) as postgres:
        socket_folder = Path(str(run(query(postgres.url, "SHOW unix_socket_directories"))))
        for path in (folder, socket_folder):
            assert path.stat().st_mode & 0o777 == 0o700
        assert folder.parent.stat().st_uid == os.geteuid()
    assert not socket_folder.exists()


def test_it_does_not_run_as_root(folder: Path) -> None:
    with EmbeddedPostgres(folder, FAST) as postgres:
        assert Path(f"/proc/{postgres.pid}").stat().st_uid != 0


def test_a_very_long_path_is_no_obstacle(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / ("long" * 30) / "postgres", FAST) as postgres:
        assert run(query(postgres.url, "SELECT 1")) == 1


def test_a_pid_file_of_a_process_that_is_somebody_else_does_not_stop_it(folder: Path) -> None:
    with EmbeddedPostgres(folder, FAST):
        left_behind = (folder / "postmaster.pid").read_text().splitlines()
    stranger = [str(os.getpid()), *left_behind[1:]]
    (folder / "postmaster.pid").write_text("\n".join(stranger))
    with EmbeddedPostgres(folder, FAST) as postgres:
        assert run(query(postgres.url, "SELECT 1")) == 1


def test_one_folder_serves_one_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atiha_web.server.embedded.PREDECESSOR_SECONDS", 0.1)
    with EmbeddedPostgres(folder, FAST) as first:
        with pytest.raises(EmbeddedPostgresError, match=str(first.pid)):
            EmbeddedPostgres(folder, FAST).start()
        assert run(query(first.url, "SELECT 1")) == 1


def test_it_waits_for_one_that_is_still_stopping(folder: Path) -> None:
    with EmbeddedPostgres(folder, FAST) as first:
        threading.Timer(0.3, first.stop).start()
        with EmbeddedPostgres(folder, FAST) as second:
            assert run(query(second.url, "SELECT 1")) == 1


def test_an_unfinished_data_folder_is_made_again(folder: Path) -> None:
    unfinished = folder.with_name("postgres.unfinished")
    unfinished.mkdir(parents=True)
    (unfinished / "half").write_text("of one")
    with EmbeddedPostgres(folder, FAST) as postgres:
        assert run(query(postgres.url, "SELECT 1")) == 1
    assert not unfinished.exists()


def test_it_outlives_the_thread_that_started_it(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder, FAST)
    thread = threading.Thread(target=postgres.start)
    thread.start()
    thread.join()
    try:
        assert run(query(postgres.url, "SELECT 1")) == 1
    finally:
        postgres.stop()


def test_a_setting_it_does_not_know_is_told_with_its_log(folder: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="unrecognized configuration"):
        EmbeddedPostgres(folder, {"nonsense": "on"}).start()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="choose another folder"):
        EmbeddedPostgres(tmp_path / "file" / "postgres").start()


def test_stopping_twice_is_harmless(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder, FAST)
    postgres.start()
    postgres.stop()
    postgres.stop()
    with pytest.raises(EmbeddedPostgresError, match="not running"):
        _ = postgres.url


def test_a_given_database_is_used_as_it_is(tmp_path: Path) -> None:
    with open_database("postgresql://elsewhere/db", tmp_path / "data") as url:
        assert url == "postgresql://elsewhere/db"
    assert not (tmp_path / "data").exists()


def test_the_newest_postgresql_of_the_wheel_is_used() -> None:
    version = subprocess.run(
        [find_binaries() / "postgres", "--version"], check=True, capture_output=True, text=True
    )
    assert "PostgreSQL) 18." in version.stdout
