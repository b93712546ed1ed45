"""The segment this process appends to, locked while it lives."""

from __future__ import annotations

import os
from pathlib import Path

from atiha_web.backends.file import disk, locks
from atiha_web.backends.file.compaction import Product, new_name
from atiha_web.backends.file.reader import Tail
from atiha_web.backends.file.segments import HEADER, Record, encode, whole_frames

ROLL_OVER = 1024 * 1024
"""Bytes below which a segment is not rewritten."""


class OwnSegment:
    """An open segment and how far it is good."""

    def __init__(self, path: Path, descriptor: int, tail: Tail) -> None:
        self.path = path
        self.tail = tail
        self.limit = max(ROLL_OVER, 2 * tail.offset)
        """The size at which it is worth rewriting: at most half of it was needed before."""
        self._descriptor = descriptor
        self._process = os.getpid()

    @classmethod
    def create(cls, folder: Path) -> OwnSegment:
        """Make and lock a new one; call it under the write lock.

        Raises:
            OSError: the folder refuses.
        """
        path = folder / new_name()
        descriptor = disk.open_file(path, new=True)
        try:
            locks.lock_open_file(descriptor)
            disk.write(descriptor, memoryview(HEADER))
        except BaseException:
            os.close(descriptor)
            disk.remove(path)
            raise
        return cls(path, descriptor, Tail(len(HEADER)))

    @classmethod
    def adopt(cls, folder: Path, product: Product) -> OwnSegment | None:
        """Go on with a rewritten one, unless somebody was quicker to merge it."""
        path = folder / product.name
        descriptor = disk.open_file(path)
        if locks.lock_open_file(descriptor):
            return cls(path, descriptor, product.tail)
        os.close(descriptor)
        return None

    @property
    def is_ours(self) -> bool:
        """Whether this process made it: a child process inherits the object, not the right."""
        return self._process == os.getpid()

    def append(self, records: list[Record]) -> tuple[list[Record], OSError | None]:
        """Append in order; what was kept, and the error that stopped it.

        After an error the segment ends behind the last record kept.
        """
        frames = [encode(record) for record in records]
        data = memoryview(b"".join(frames))
        written = 0
        try:
            while written < len(data):
                written += disk.write(self._descriptor, data[written:])
        except OSError as error:
            count, length = whole_frames(frames, written)
            self.tail = Tail(self.tail.offset + length, self.tail.summary)
            return records[:count], error
        self.tail = Tail(self.tail.offset + written, self.tail.summary)
        return records, None

    def cut_back(self) -> None:
        """Remove what a failed append left behind the last good record.

        Raises:
            OSError: it stays; append nothing more.
        """
        disk.truncate(self._descriptor, self.tail.offset)

    def close(self) -> None:
        """Give it up: its process is done with it. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if self.is_ours:
            locks.release(descriptor)
        else:
            os.close(descriptor)
