"""Locks on files, held by an open descriptor: the operating system frees them with the process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from atiha_web.backends.file import disk

_FIRST_WAIT = 0.001
_LONGEST_WAIT = 0.05


def try_lock(path: Path) -> int | None:
    """Lock a file, made where it is missing; the descriptor that holds it, or ``None``."""
    descriptor = disk.open_file(path, create=True)
    try:
        # A file without a name, removed meanwhile, guards nothing.
        if lock_open_file(descriptor) and os.fstat(descriptor).st_nlink:
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def lock_open_file(descriptor: int) -> bool:
    """Lock an open file unless another descriptor holds it."""
    from filelock import lock_descriptor  # noqa: PLC0415 - only folders need it

    return lock_descriptor(descriptor, blocking=False)


def release(descriptor: int) -> None:
    """Give a lock back, also where a child process inherited its descriptor."""
    from filelock import unlock_descriptor  # noqa: PLC0415 - only folders need it

    unlock_descriptor(descriptor)
    os.close(descriptor)


@asynccontextmanager
async def hold(path: Path, patience: float) -> AsyncIterator[bool]:
    """Hold a lock if it is had within ``patience`` seconds; yields whether it was."""
    clock = asyncio.get_running_loop().time
    deadline, wait = clock() + patience, _FIRST_WAIT
    while (descriptor := try_lock(path)) is None and clock() < deadline:
        await asyncio.sleep(min(wait, deadline - clock()))
        wait = min(2 * wait, _LONGEST_WAIT)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            release(descriptor)


@contextmanager
def hold_blocking(path: Path, patience: float) -> Iterator[bool]:
    """The same for a thread that may wait."""
    deadline, wait = time.monotonic() + patience, _FIRST_WAIT
    while (descriptor := try_lock(path)) is None and time.monotonic() < deadline:
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            release(descriptor)
