"""What the file backend asks of the operating system; every fault of a disk comes through here."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from atiha_web.errors import StorageError, StorageFullError, StorageUnavailableError

NO_ROOM = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP})
REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, *_NO_LOCKS})
"""What the system will answer again, however often it is asked."""

_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def make_folder(folder: Path) -> None:
    """Make the folder, for its owner alone, where it is missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def open_file(path: Path, *, create: bool = False, new: bool = False) -> int:
    """Open a file for reading and appending; one it creates is its owner's alone."""
    flags = _FLAGS | (os.O_CREAT if create or new else 0) | (os.O_EXCL if new else 0)
    return os.open(path, flags, 0o600)


def write(descriptor: int, data: memoryview) -> int:
    """Append some of ``data``; returns how many bytes."""
    return os.write(descriptor, data)


def truncate(descriptor: int, size: int) -> None:
    """Cut a file back."""
    os.ftruncate(descriptor, size)


def read(path: Path, offset: int) -> bytes:
    """Everything from ``offset`` on."""
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        return file.readall()


def sync(descriptor: int) -> None:
    """Return once a file's bytes survive a power cut."""
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - not on Windows

        # There fsync stops at the drive's own cache.
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Return once the names of new files survive a power cut."""
    if sys.platform != "win32":  # Windows opens no folders, and keeps names in its own journal.
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Give a file another name at once."""
    source.replace(target)


def remove(path: Path) -> None:
    """Remove a file, where it can be: Windows keeps files that others have open."""
    with suppress(OSError):
        path.unlink()


@contextmanager
def errors_of(folder: Path) -> Iterator[None]:
    """Raise what the operating system refuses as a ``StorageError`` that says what to do."""
    try:
        yield
    except OSError as error:
        raise storage_error(folder, error) from error


def storage_error(folder: Path, error: OSError) -> StorageError:
    """What ``error`` means for who stores data in ``folder``."""
    where = error.filename or folder
    if error.errno in NO_ROOM:
        return StorageFullError(f"no room is left for {folder}: free some, then write again")
    if isinstance(error, FileExistsError | NotADirectoryError):
        return StorageUnavailableError(f"{where} is no folder: give storage= another path")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return StorageUnavailableError(
            f"{where} cannot be read and written by this user: change its permissions, or give "
            "storage= another folder"
        )
    if error.errno in _NO_LOCKS:
        return StorageUnavailableError(
            f"the file system of {folder} has no locks: give storage= a folder on a local disk"
        )
    return StorageUnavailableError(
        f"{where} cannot be used ({error.strerror or error}): repair it, or give storage= another "
        "folder"
    )
