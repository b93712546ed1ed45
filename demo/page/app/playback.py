"""A film that plays without pictures: a position that moves with the clock."""

from __future__ import annotations

from dataclasses import dataclass

SAVE_EVERY = 5.0
"""Seconds of the visitor's time between two saves while a film plays."""
CREDITS = 0.97
"""The part of a film after which it counts as watched."""


@dataclass
class Playback:
    """Where a film stands; all times are in seconds, `now` comes from any steady clock."""

    duration: float
    position: float = 0.0
    speed: float = 10.0
    playing: bool = False
    _moved: float = 0.0
    _saved: float = 0.0

    @property
    def completed(self) -> bool:
        """Whether it was watched to its credits."""
        return self.position >= CREDITS * self.duration

    def play(self, now: float) -> None:
        """Start to move; a film at its end starts over."""
        if self.position >= self.duration:
            self.position = 0.0
        self.playing = True
        self._moved = self._saved = now

    def pause(self, now: float) -> None:
        """Stop where it is."""
        self.tick(now)
        self.playing = False

    def seek(self, position: float, now: float) -> None:
        """Go on at another position."""
        self.position = min(max(position, 0.0), self.duration)
        self._moved = now

    def tick(self, now: float) -> None:
        """Move to where the film is now; it stops at its end."""
        if not self.playing:
            return
        self.position = min(self.position + (now - self._moved) * self.speed, self.duration)
        self._moved = now
        self.playing = self.position < self.duration

    def due(self, now: float) -> bool:
        """Whether the position should be saved again; asking counts as saving."""
        if now - self._saved < SAVE_EVERY:
            return False
        self._saved = now
        return True
