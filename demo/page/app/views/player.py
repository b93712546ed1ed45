"""The player: a film without pictures that really takes its time and remembers its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from ..browser import set_attribute, set_text
from ..cards import paint
from ..playback import Playback
from ..routes import Route
from ..words import clock
from .view import Handler, Page, View

TICK = 0.25
"""Seconds between two moves of the position on screen."""
JUMP = 30.0


class Player(View):
    """Plays one film; saves every few seconds, on pause, seek and close."""

    template = "view-player"

    def __init__(self, page: Page, route: Route) -> None:
        super().__init__(page, route)
        self._film = page.catalogue.films[route.argument]
        self.title = f"{self._film.title} · Atiha"
        self._playback = Playback(self._film.seconds, page.library.resume_at(self._film))
        self._seeking = False
        self._saved_at: float | None = None
        paint(self.parts, self._film)
        set_text(self.parts["title"], self._film.title)
        set_text(self.parts["credit"], f"{self._film.credit}, {self._film.year}")
        self.parts["close"].href = f"#/film/{self._film.id}"
        self.parts["seek"].max = self._film.seconds
        self._reel: asyncio.Task[None] | None = None

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """See `View.handlers`."""
        return {
            "player-toggle": self._toggle,
            "player-back": self._back,
            "player-forward": self._forward,
            "seeking": self._hold,
            "seek": self._seek,
            "speed": self._set_speed,
        }

    def update(self) -> None:
        """See `View.update`."""
        playback = self._playback
        playing = "true" if playback.playing else "false"
        set_attribute(self.parts.root, "data-playing", playing)
        set_attribute(self.parts["toggle"], "aria-pressed", playing)
        set_attribute(self.parts["toggle"], "aria-label", "Pause" if playback.playing else "Play")
        if not self._seeking:
            self.parts["seek"].value = int(playback.position)
        times = f"{clock(playback.position)} / {clock(playback.duration)}"
        set_text(self.parts["clock"], times)
        set_attribute(self.parts["seek"], "aria-valuetext", times)
        set_text(self.parts["saved"], self._saved_words())

    def _saved_words(self) -> str:
        if self.page.library.user_id is None:
            return "Log in and Atiha remembers your place"
        if self._saved_at is None:
            return ""
        return f"Your place is kept: {clock(self._saved_at)}"

    def close(self) -> None:
        """See `View.close`."""
        if self._reel is not None:
            self._reel.cancel()
        if self._playback.playing:
            self._playback.pause(time.monotonic())
            self.page.tasks.start(self._save())

    async def left(self) -> None:
        """See `View.left`."""
        if self._playback.playing:
            self._playback.tick(time.monotonic())
            await self._save()

    async def _toggle(self, _button: Any) -> None:
        now = time.monotonic()
        if self._playback.playing:
            self._playback.pause(now)
            await self._save()
        else:
            self._playback.play(now)
            if self._reel is None or self._reel.done():
                self._reel = self.page.tasks.start(self._run())
        self.page.update()

    async def _run(self) -> None:
        while self._playback.playing:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            self._playback.tick(now)
            if self._playback.due(now) or not self._playback.playing:
                await self._save()
            self.page.update()

    async def _back(self, _button: Any) -> None:
        await self._jump(-JUMP)

    async def _forward(self, _button: Any) -> None:
        await self._jump(JUMP)

    async def _jump(self, seconds: float) -> None:
        self._playback.tick(time.monotonic())
        await self._move(self._playback.position + seconds)

    async def _hold(self, _slider: Any) -> None:
        # While the thumb is dragged it is the visitor's; the place where it is let go is saved.
        self._seeking = True

    async def _seek(self, slider: Any) -> None:
        self._seeking = False
        await self._move(float(slider.value))

    async def _move(self, position: float) -> None:
        self._playback.seek(position, time.monotonic())
        self.page.update()
        await self._save()

    async def _set_speed(self, select: Any) -> None:
        self._playback.tick(time.monotonic())
        self._playback.speed = float(select.value)

    async def _save(self) -> None:
        library, playback = self.page.library, self._playback
        if library.user_id is not None:
            await library.save_progress(self._film, playback.position, playback.completed)
            self._saved_at = playback.position
