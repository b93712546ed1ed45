"""The command, as a process."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest

from atiha_web.server import EmbeddedPostgres
from tests.server.fixtures import FAST, PASSWORD

COMMAND = [sys.executable, "-m", "atiha_web.server.cli"]


def call(*arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit status and all output of a command that ends by itself."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    )
    return done.returncode, done.stdout


@contextmanager
def serving(
    *arguments: str, log: IO[str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `serve` and its URL, as it tells it; its standard error goes to `log`."""
    command = [*COMMAND, "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.fullmatch(r"ready: (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
            assert found is not None
            yield process, found[1]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_keeps_what_it_was_told_and_stops_in_order(
    tmp_path: Path, number: signal.Signals
) -> None:
    data = ("--data", str(tmp_path / "mes données"))
    account = {"email": "ada@example.test", "password": PASSWORD}
    with serving(*data) as (process, url):
        assert httpx.post(f"{url}/api/users", json=account, timeout=30).status_code == 201
        process.send_signal(number)
        assert process.wait(30) == 0
    with serving(*data) as (_, url):
        assert httpx.post(f"{url}/api/sessions", json=account, timeout=30).status_code == 200


def test_an_outage_of_the_database_is_told_on_standard_error(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        EmbeddedPostgres(tmp_path / "postgres", FAST) as postgres,
        log.open("w") as file,
        serving("--database-url", postgres.url, log=file) as (_, url),
    ):
        postgres.stop()
        assert httpx.get(f"{url}/readyz", timeout=30).status_code == 503
    assert "WARNING: the database does not answer" in log.read_text()


def test_another_database_is_used_from_the_environment(database_url: str, tmp_path: Path) -> None:
    environment = {"ATIHA_DATABASE_URL": database_url}
    data = tmp_path / "data"
    status, said = call("db", "upgrade", "--data", str(data), environment=environment)
    assert (status, said) == (0, "the database is up to date\n")
    assert not data.exists()


def test_restored_gives_new_epochs(database_url: str) -> None:
    with serving("--database-url", database_url) as (_, url):
        body = {"email": "ada@example.test", "password": PASSWORD, "session": "token"}
        account = httpx.post(f"{url}/api/users", json=body, timeout=30).json()
        address = f"{url}/api/users/{account['user']['id']}/sync"
        headers = {"Authorization": f"Bearer {account['token']}"}
        first = httpx.post(address, json={"protocol": 1, "cursor": 0}, headers=headers).json()
        status, said = call("db", "restored", "--database-url", database_url)
        assert (status, said) == (0, "1 users will read everything again\n")
        again = {"protocol": 1, "cursor": first["cursor"], "epoch": first["epoch"]}
        assert httpx.post(address, json=again, headers=headers).json()["reset"] is True


def test_somebody_becomes_an_administrator_and_ceases_to_be_one(database_url: str) -> None:
    with serving("--database-url", database_url) as (_, url):
        body = {"email": "ada@example.test", "password": PASSWORD, "session": "token"}
        account = httpx.post(f"{url}/api/users", json=body, timeout=30).json()
        headers = {"Authorization": f"Bearer {account['token']}"}
        statuses = []
        for chore in ("promote", "demote"):
            status, said = call("users", chore, "ADA@example.test", "--database-url", database_url)
            assert (status, said.partition(" is ")[0]) == (0, "ada@example.test")
            statuses.append(httpx.get(f"{url}/api/users", headers=headers).status_code)
    assert statuses == [200, 403]


def test_nobody_is_promoted_by_a_wrong_address(database_url: str) -> None:
    status, said = call("users", "promote", "eve@example.test", "--database-url", database_url)
    assert status == 1
    assert said == "atiha-web: there is no account with the address 'eve@example.test'\n"


def test_a_taken_port_is_told_in_one_sentence(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, said = call("serve", "--port", port, "--database-url", database_url)
    assert status == 1
    assert said.startswith(f"atiha-web: cannot listen on 127.0.0.1:{port}")
    assert said.count("\n") == 1


@pytest.mark.parametrize("url", ["postgresql://ada@127.0.0.1:1/nothing", "nonsense"])
@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("db", "upgrade")])
def test_an_unusable_database_is_told_without_a_traceback(
    command: tuple[str, ...], url: str
) -> None:
    status, said = call(*command, "--database-url", url)
    assert status == 1
    assert "atiha-web: cannot prepare the database" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("serve",),
        ("db",),
        ("db", "upgrade"),
        ("db", "restored"),
        ("users",),
        ("users", "promote"),
        ("users", "demote"),
    ],
)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    status, said = call(*command, "--help")
    assert (status, said.partition(" ")[0]) == (0, "usage:")
