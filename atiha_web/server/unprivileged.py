"""Run a program as an unprivileged user that ends with its parent.

PostgreSQL refuses to run as root, and a child must not outlive a parent that is killed. Both are
properties of the process, set between ``fork`` and ``exec``; this module is also the small
program that does so (``python unprivileged.py PARENT UID:GID|- traverse|- COMMAND …``), because
running Python between the two in a process with threads may deadlock. It needs no other module
of this package.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION = 0x20080522


class Account(NamedTuple):
    """Numeric user and group."""

    uid: int
    gid: int


def account_for(folder: Path) -> Account | None:
    """As whom to run a program on ``folder``: its owner, else a user without rights.

    ``None`` where this process is unprivileged already and keeps its user.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    if folder.is_dir() and (found := folder.stat()).st_uid != 0:
        return Account(found.st_uid, found.st_gid)
    import pwd  # noqa: PLC0415 - absent on Windows

    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    return Account(65534, 65534)


def may_traverse(path: Path, account: Account) -> bool:
    """Whether ``account`` may enter every folder above ``path``."""
    for folder in path.resolve().parents:
        found = folder.stat()
        if found.st_uid == account.uid:
            bit = 0o100
        elif found.st_gid == account.gid:
            bit = 0o010
        else:
            bit = 0o001
        if not found.st_mode & bit:
            return False
    return True


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def become(account: Account, *, traverse: bool) -> None:
    """Change this process to ``account`` for good; ``traverse`` keeps the right to enter folders.

    That right (a Linux capability) lets PostgreSQL reach data and programs below folders that
    only root may enter, for instance a checkout in a temporary folder.
    """
    if traverse:
        _check(_libc().prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl")
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)
    if traverse:
        _keep_capability()


def end_with_parent(parent: int) -> None:
    """Have the kernel interrupt this process when its parent ends, even by SIGKILL."""
    if sys.platform == "linux":
        _check(_libc().prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0), "prctl")
        if os.getppid() != parent:
            raise SystemExit("the parent is gone")


def _keep_capability() -> None:
    # The narrow one first; containers often have only the wide one.
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        bit = 1 << capability
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
        sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
        raised = _libc().capset(header, sets) == 0 and (
            _libc().prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0
        )
        if raised:
            return
    sys.stderr.write(
        "PostgreSQL cannot run as root, and an unprivileged user may not enter the folders above "
        "its data or programs: move them to a place everybody may enter\n"
    )


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def _main(arguments: list[str]) -> None:
    parent, identity, traverse, *command = arguments
    if identity != "-":
        uid, gid = identity.split(":")
        become(Account(int(uid), int(gid)), traverse=traverse == "traverse")
    end_with_parent(int(parent))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execv(command[0], command)  # noqa: S606 - replacing this process is the point


if __name__ == "__main__":
    _main(sys.argv[1:])
