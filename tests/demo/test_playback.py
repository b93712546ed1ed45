"""A film that plays without pictures."""

from demo.page.app.playback import Playback


def test_the_position_moves_with_the_clock_times_the_speed() -> None:
    playback = Playback(duration=3600, position=100, speed=2)
    playback.play(now=10)
    playback.tick(now=15)
    assert playback.position == 110


def test_a_paused_film_stands() -> None:
    playback = Playback(duration=3600, speed=1)
    playback.play(now=0)
    playback.pause(now=30)
    playback.tick(now=90)
    assert (playback.position, playback.playing) == (30, False)


def test_a_film_stops_at_its_end_and_is_completed() -> None:
    playback = Playback(duration=60, speed=10)
    playback.play(now=0)
    playback.tick(now=100)
    assert (playback.position, playback.playing, playback.completed) == (60, False, True)


def test_a_film_at_its_end_starts_over() -> None:
    playback = Playback(duration=60, position=60)
    playback.play(now=0)
    assert playback.position == 0


def test_a_seek_stays_within_the_film() -> None:
    playback = Playback(duration=60)
    playback.seek(-5, now=0)
    assert playback.position == 0
    playback.seek(500, now=0)
    assert playback.position == 60


def test_a_seek_while_playing_goes_on_from_there() -> None:
    playback = Playback(duration=3600, speed=1)
    playback.play(now=0)
    playback.seek(100, now=50)
    playback.tick(now=52)
    assert playback.position == 102


def test_it_is_saved_every_five_seconds() -> None:
    playback = Playback(duration=3600)
    playback.play(now=0)
    assert [playback.due(now) for now in (4, 5, 9, 10)] == [False, True, False, True]
