"""The engine's clock: wall time corrected by what the server said, and timestamps from it."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace

from atiha_web.sync import hlc
from atiha_web.sync.merge import SESSION
from atiha_web.sync.operation import Operation

MAX_ROUND_TRIP_MS = 10_000
MIN_CHANGE_MS = 2_000


class CorrectedClock:
    """Wall-clock time plus the server's measured offset, and the timestamps this engine makes."""

    def __init__(self, now_ms: Callable[[], int], writer: str) -> None:
        self._now_ms = now_ms
        self.writer = writer
        self.offset_ms = 0
        self.measured = False

    def local_ms(self) -> int:
        """The machine's own idea of the time."""
        return self._now_ms()

    def now_ms(self) -> int:
        """The time, as far as it is known."""
        return self._now_ms() + self.offset_ms

    def tick(self, newest: str | None) -> str:
        """A timestamp for a write now, later than ``newest``."""
        return hlc.tick(self.now_ms(), self.writer, newest)

    def measure(self, server_ms: int, sent_ms: int, received_ms: int) -> bool:
        """Learn from one reply; all three in ms, the last two by the machine's clock.

        Replies that took over 10 s say too little; changes under 2 s are noise, and so is half
        the round trip: nobody knows when in it the server looked at its clock. Tells whether the
        offset changed.
        """
        self.measured = True
        round_trip = received_ms - sent_ms
        if not 0 <= round_trip <= MAX_ROUND_TRIP_MS:
            return False
        offset = server_ms - (sent_ms + received_ms) // 2
        if abs(offset - self.offset_ms) < MIN_CHANGE_MS + round_trip // 2:
            return False
        self.offset_ms = offset
        return True


def shift_operation(
    operation: Operation,
    delta_ms: int,
    *,
    after: str | None = None,
    known_sessions: Container[str] = (),
) -> Operation:
    """The same operation as if made ``delta_ms`` later, but still later than ``after``.

    A viewing that the same engine named under the same clock moves with it, unless others know
    it by its name already (``known_sessions``).
    """
    writer = operation.timestamp[-hlc.WRITER_DIGITS :]
    timestamp = hlc.shift(operation.timestamp, delta_ms)
    if after is not None and timestamp <= after:
        timestamp = hlc.tick(hlc.milliseconds(timestamp), writer, after)
    data = operation.data
    session = data.get(SESSION) if data is not None else None
    if data is not None and isinstance(session, str) and hlc.is_timestamp(session):
        if session[-hlc.WRITER_DIGITS :] == writer and session not in known_sessions:
            shifted = hlc.shift(session, delta_ms)
            started_later = after is not None and shifted <= after < session
            session = timestamp if started_later else shifted
        data = {**data, SESSION: min(session, timestamp)}
    earlier = tuple(
        shift_operation(each, delta_ms, known_sessions=known_sessions) for each in operation.earlier
    )
    return replace(operation, timestamp=timestamp, data=data, earlier=earlier)
