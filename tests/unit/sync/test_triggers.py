"""What makes a page send and what makes it wait, as a server sees it: requests, and when."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from atiha_web import Client, connect
from atiha_web.backends.base import Request
from atiha_web.sync.status import SyncState
from atiha_web.sync.synchronizer import Synchronizer
from atiha_web.testing.fake_server import (
    FakeDevice,
    FakeServer,
    Fault,
    answer,
    captive_portal,
    lost_request,
    silence,
)
from tests.unit.sync.samples import OpenTab, queue_of

STALLS_AFTER = 90.0


class Wire:
    """The way to the server, watched: ``times`` of requests in seconds since the test began."""

    def __init__(self, server: FakeServer) -> None:
        self.times: list[float] = []
        self.fault = Fault()
        """What happens to every request."""
        self._begin = self._now()
        self._scripted = server.next_fault
        server.next_fault = self._carry

    def _carry(self, request: Request) -> Fault:
        self.times.append(self._now() - self._begin)
        scripted = self._scripted(request)
        return self.fault if scripted == Fault() else scripted

    def since(self, moment: float) -> list[float]:
        """The seconds from a moment to each later request."""
        return [time - moment for time in self.times if time >= moment]

    def now(self) -> float:
        return self._now() - self._begin

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


@pytest.fixture
async def wire(server: FakeServer) -> Wire:
    return Wire(server)


@pytest.fixture
async def tab(wire: Wire, open_tab: OpenTab) -> Synchronizer:
    """A page in the background of which everything runs; its first sync was a second ago."""
    tab = await open_tab(background=True)
    await asyncio.sleep(1)
    return tab


async def rate(tab: Synchronizer, *keys: str) -> None:
    for key in keys:
        await tab.write("ratings", key, {"rating": 4})


async def rated(server: FakeServer) -> list[str]:
    return sorted(row["contentId"] for row in await server.rows_of("ann", "ratings"))


# -- triggers ------------------------------------------------------------------------------------


async def test_opening_sends_at_once_and_the_timer_from_then_on(
    wire: Wire, tab: Synchronizer
) -> None:
    await asyncio.sleep(100)
    assert wire.times[0] == pytest.approx(0)
    gaps = [after - before for before, after in pairwise(wire.times)]
    assert len(gaps) >= 3
    assert all(0.8 * 30 <= gap <= 0.95 * 30 for gap in gaps)


async def test_a_write_is_sent_after_a_quarter_of_a_second(wire: Wire, tab: Synchronizer) -> None:
    now = wire.now()
    await rate(tab, "m1")
    await asyncio.sleep(1)
    assert wire.since(now) == pytest.approx([0.25])


async def test_a_burst_is_one_request_within_two_seconds(
    wire: Wire, tab: Synchronizer, server: FakeServer
) -> None:
    now = wire.now()
    for number in range(12):
        await rate(tab, f"m{number}")
        await asyncio.sleep(0.2)
    await asyncio.sleep(1)
    assert wire.since(now)[0] == pytest.approx(2)
    assert len(wire.since(now)) == 2
    assert len(await rated(server)) == 12


@pytest.mark.parametrize("signal", ["online", "visible"])
async def test_a_signal_of_hope_sends_at_once_in_the_middle_of_a_backoff(
    wire: Wire, tab: Synchronizer, device: FakeDevice, signal: str
) -> None:
    wire.fault = lost_request()
    await rate(tab, "m1")
    await asyncio.sleep(200)
    wire.fault = Fault()
    now = wire.now()
    device.environments[0].signal(signal)
    await asyncio.sleep(0.1)
    assert wire.since(now) == pytest.approx([0])
    assert queue_of(tab) == 0


async def test_a_new_token_sends_at_once(signed_in: Client, wire: Wire) -> None:
    wire.fault = answer(401)
    await signed_in.put("ratings", "m1", {"rating": 4})
    await asyncio.sleep(600)
    assert signed_in.status.state == "needs_auth"
    wire.fault = Fault()
    now = wire.now()
    await log_in(signed_in)
    await asyncio.sleep(0.1)
    assert signed_in.status.pending == 0
    assert wire.since(now)


# -- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        lost_request(),
        captive_portal(),
        answer(408),
        answer(425),
        answer(500),
        answer(502, ours=False),
        answer(401, ours=False),
        answer(403, ours=False),
        answer(404, ours=False),
    ],
    ids=repr,
)
async def test_what_may_pass_is_tried_three_times_fast_and_then_ever_more_slowly_without_end(
    wire: Wire, tab: Synchronizer, server: FakeServer, fault: Fault
) -> None:
    now = wire.now()
    wire.fault = fault
    await rate(tab, "m1")
    await asyncio.sleep(1_800)
    tries = wire.since(now)
    assert tries[2] - tries[0] < 2
    cycles = tries[::3]
    gaps = [after - before for before, after in pairwise(cycles)]
    assert tab.status().state == "backoff"
    assert 1 <= gaps[0] < 5
    assert max(gaps) < 62
    assert len(gaps) > 25
    wire.fault = Fault()
    await asyncio.sleep(62)
    assert await rated(server) == ["m1"]


async def test_silence_is_given_up_after_ten_seconds(wire: Wire, tab: Synchronizer) -> None:
    now = wire.now()
    wire.fault = silence()
    await rate(tab, "m1")
    await asyncio.sleep(25)
    first, second, *_ = wire.since(now)
    assert 10 <= second - first < 11


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "a proxy's"])
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("asked", "waited"), [("120", 120), ("86400", 900)])
async def test_who_asks_to_slow_down_is_asked_again_only_then(
    wire: Wire, tab: Synchronizer, status: int, ours: bool, asked: str, waited: int
) -> None:
    now = wire.now()
    wire.fault = answer(status, ours=ours, headers={"retry-after": asked})
    await rate(tab, "m1")
    await asyncio.sleep(waited + 1)
    first, second = wire.since(now)
    assert second - first == pytest.approx(waited)


async def test_a_failure_since_shortens_no_wait_that_was_asked_for(
    wire: Wire, tab: Synchronizer
) -> None:
    wire.fault = answer(503, headers={"retry-after": "120"})
    now = wire.now()
    await tab.sync()
    wire.fault = lost_request()
    await tab.sync()
    await asyncio.sleep(0.01)
    after = wire.now()
    await asyncio.sleep(121)
    [first, *_] = wire.since(after)
    assert after - now + first == pytest.approx(120)


@pytest.mark.parametrize("status", [403, 404])
async def test_a_blocked_account_is_asked_for_every_minute(
    wire: Wire, tab: Synchronizer, server: FakeServer, status: int
) -> None:
    now = wire.now()
    wire.fault = answer(status)
    await rate(tab, "m1")
    await asyncio.sleep(200)
    assert tab.status().state == "blocked"
    tries = wire.since(now)
    assert [after - before for before, after in pairwise(tries)] == (pytest.approx([60, 60, 60]))
    wire.fault = Fault()
    await asyncio.sleep(60)
    assert await rated(server) == ["m1"]


@pytest.mark.parametrize(("status", "state"), [(401, "needs_auth"), (426, "upgrade_required")])
async def test_what_waiting_cannot_help_is_not_asked_again(
    wire: Wire, tab: Synchronizer, status: int, state: SyncState
) -> None:
    now = wire.now()
    wire.fault = answer(status)
    await rate(tab, "m1")
    await asyncio.sleep(3_600)
    assert (len(wire.since(now)), tab.status().state, queue_of(tab)) == (1, state, 1)


async def test_offline_one_attempt_is_made_in_each_interval(
    tab: Synchronizer, device: FakeDevice, server: FakeServer
) -> None:
    device.set_online(online=False)
    before = len(server.requests)
    await rate(tab, "m1")
    await asyncio.sleep(300)
    assert tab.status().state == "offline"
    assert 300 / 30 <= len(server.requests) - before <= 300 / 24 + 1


async def test_a_session_that_ends_in_the_middle_of_a_drain_goes_on_with_the_new_token(
    signed_in: Client, wire: Wire, server: FakeServer
) -> None:
    answered = 0

    def revoke_after_the_first_batch(request: Request) -> Fault:
        nonlocal answered
        if b'"operations":[{' in (request.body or b""):
            answered += 1
            if answered == 2:
                server.revoke_tokens()
        return Fault()

    server.next_fault = revoke_after_the_first_batch
    for number in range(1_200):
        await signed_in.put("ratings", f"m{number}", {"rating": 4})
    await asyncio.sleep(5)
    assert (signed_in.status.state, signed_in.status.pending) == ("needs_auth", 700)
    await log_in(signed_in)
    await asyncio.sleep(5)
    assert signed_in.status.pending == 0
    sent = [each["id"] for one in server.exchanges for each in one.request.operations]
    assert len(sent) == len(set(sent)) == 1_200


# -- no answer at all ----------------------------------------------------------------------------


async def test_a_sync_that_hangs_is_told_and_begun_again(
    tab: Synchronizer, device: FakeDevice, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: Request) -> None:
        await asyncio.get_running_loop().create_future()

    with monkeypatch.context() as patch:
        patch.setattr(device.transports[0], "request", hang)
        await rate(tab, "m1")
        await asyncio.sleep(STALLS_AFTER + 1)
        assert "no progress" in tab.status().message
    await asyncio.sleep(STALLS_AFTER + 1)
    assert await rated(server) == ["m1"]


# -- who is signed in ----------------------------------------------------------------------------

PASSWORD = "correct horse battery"


async def log_in(client: Client) -> None:
    await client.users.login(email="ann@example.org", password=PASSWORD)


@pytest.fixture
async def signed_in(server: FakeServer, device: FakeDevice, wire: Wire) -> AsyncIterator[Client]:
    """A client of Ann with a session; its first sync was a second ago."""
    server.anyone = False
    async with connect(backend=device.backend()) as client:
        await client.users.register_user(email="ann@example.org", password=PASSWORD, name="Ann")
        await asyncio.sleep(1)
        yield client
