"""How fast passwords can be guessed."""

from atiha_web.server import throttle
from atiha_web.server.throttle import ATTEMPTS, WINDOW_SECONDS, LoginThrottle


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_failures_are_forgotten_after_a_while() -> None:
    clock = Clock()
    guard = LoginThrottle(clock)
    assert [guard.begin("ada", "1") for _ in range(ATTEMPTS)] == [0] * ATTEMPTS
    assert guard.begin("ada", "1") == WINDOW_SECONDS
    clock.now += WINDOW_SECONDS
    assert guard.begin("ada", "1") == 0


def test_waiting_in_vain_does_not_prolong_the_wait() -> None:
    clock = Clock()
    guard = LoginThrottle(clock, attempts=1)
    guard.begin("ada", "1")
    clock.now += 100
    assert guard.begin("ada", "1") == WINDOW_SECONDS - 100
    assert guard.begin("ada", "1") == WINDOW_SECONDS - 100


def test_a_success_forgets_the_failures_before() -> None:
    guard = LoginThrottle(Clock(), attempts=2)
    guard.begin("ada", "1")
    guard.succeed("ada", "1")
    assert [guard.begin("ada", "1") for _ in range(2)] == [0, 0]


def test_others_are_not_slowed_down() -> None:
    guard = LoginThrottle(Clock(), attempts=1)
    guard.begin("ada", "1")
    assert (guard.begin("ada", "2"), guard.begin("bob", "1")) == (0, 0)


def test_memory_is_bounded() -> None:
    guard = LoginThrottle(Clock(), attempts=1)
    for number in range(throttle.REMEMBERED + 1):
        guard.begin(f"user{number}", "1")
    assert guard.begin("user0", "1") == 0
    assert guard.begin(f"user{throttle.REMEMBERED}", "1") > 0
