"""The blocking client where nothing can wait, as on a page: here without a browser."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from atiha_web import NetworkError, PlatformError, SaveError, blocking
from atiha_web.backends.base import Backend, Level, Request, Response
from atiha_web.backends.memory import MemoryStorage
from atiha_web.backends.mirror import MirrorPolicy
from atiha_web.backends.runners import Runner, T
from atiha_web.backends.stand_ins import StandIns, for_calls
from atiha_web.backends.stepped_loop import SteppedLoop
from atiha_web.testing.fake_server import FakeDevice, FakeServer

PASSWORD = "long enough"


class SilentTransport:
    """Sends what the background asks for; the reply would come while nobody blocks the page."""

    keeps_cookies = False

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.under_way = 0

    async def request(self, request: Request) -> Response:
        self.requests.append(request)
        self.under_way += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.under_way -= 1
        raise AssertionError

    async def close(self) -> None: ...


@dataclass
class Page(Runner):
    """A page of a device whose server answers synchronous requests at once."""

    device: FakeDevice
    reachable: bool = True
    sent: list[Request] = field(default_factory=list)
    background: SilentTransport = field(default_factory=SilentTransport)

    def __post_init__(self) -> None:
        self.waits = StandIns()
        host = asyncio.get_running_loop()
        self.loop = SteppedLoop(host, hurry=self.waits.hurry)  # type: ignore[abstract]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    def can_wait(self) -> bool:
        return False

    async def choose_backend(self, *, mirror: MirrorPolicy | None, **_: Any) -> Backend:
        del mirror
        backend = replace(self.device.backend(), transport=self.background)
        return for_calls(backend, self.loop, self.waits, self.send_at_once)

    def send_at_once(self, request: Request) -> Response:
        self.sent.append(request)
        if not self.reachable:
            raise NetworkError("the network is switched off")
        answering = self.device.server.answer(request)
        try:
            answering.send(None)
        except StopIteration as ended:
            found: Response = ended.value
            return found
        raise AssertionError

    def paths(self) -> list[str]:
        return [request.url.rpartition("/")[2] for request in self.sent]


@pytest.fixture
async def page(phone: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> Page:
    made = Page(phone)
    monkeypatch.setattr(blocking, "choose_runner", lambda: made)
    return made


Open = Callable[..., blocking.Client]


@pytest.fixture
async def open_page(page: Page) -> AsyncIterator[Open]:
    opened: list[blocking.Client] = []

    def open_(**options: Any) -> blocking.Client:
        opened.append(blocking.connect(**options))
        return opened[-1]

    yield open_
    for client in opened:
        client.close()


def sign_up(client: blocking.Client) -> str:
    return client.users.register_user(email="a@b.org", password=PASSWORD, name="Ann").id


async def test_a_whole_session_runs_without_a_turn_of_the_browser(
    page: Page, open_page: Open, api: FakeServer
) -> None:
    turns: list[bool] = []
    asyncio.get_running_loop().call_soon(turns.append, True)
    client = open_page()
    ann = sign_up(client)
    client.profiles.add_rating(ann, "m1", 5)
    assert client.sync().ok
    assert client.status.pending == 0
    assert [entry.content_id for entry in client.profiles.get_ratings(ann)] == ["m1"]
    client.users.logout()
    client.close()
    assert turns == []
    assert [row["contentId"] for row in await api.rows_of(ann, "ratings")] == ["m1"]


async def test_what_a_call_asks_for_is_sent_once(page: Page, open_page: Open) -> None:
    sign_up(open_page())
    assert page.paths() == ["users"]


async def test_background_work_stays_asynchronous(page: Page, open_page: Open) -> None:
    client = open_page()
    ann = sign_up(client)
    client.profiles.add_favorite(ann, "m1")
    await until(lambda: page.background.under_way == 1)
    assert page.paths() == ["users"]


async def test_a_sync_takes_over_from_the_background(page: Page, open_page: Open) -> None:
    client = open_page()
    ann = sign_up(client)
    client.profiles.add_favorite(ann, "m1")
    await until(lambda: page.background.under_way == 1)
    assert client.sync().ok
    assert client.status.pending == 0
    await until(lambda: page.background.under_way == 0)


async def test_a_sync_does_not_wait_for_a_lock_of_another_tab(
    page: Page, open_page: Open, phone: FakeDevice
) -> None:
    client = open_page()
    ann = sign_up(client)
    client.profiles.add_favorite(ann, "m1")
    async with phone.backend().environment.lock(f"atiha:{ann}:sync", 1) as held:
        assert held
        assert client.sync().ok


async def test_a_background_that_waits_for_a_lock_holds_up_no_call(
    page: Page, open_page: Open, phone: FakeDevice
) -> None:
    first = open_page(background=False)
    ann = sign_up(first)
    async with phone.backend().environment.lock(f"atiha:{ann}:sync", 1) as held:
        assert held
        client = open_page()
        client.users.login(email="a@b.org", password=PASSWORD)
        client.profiles.add_favorite(ann, "m1")
        await asyncio.sleep(0)
        assert client.status.state == "syncing"
        assert client.sync().ok


async def test_without_network_a_sync_says_so_and_keeps_everything(
    page: Page, open_page: Open
) -> None:
    client = open_page(background=False)
    ann = sign_up(client)
    client.profiles.add_favorite(ann, "m1")
    page.reachable = False
    report = client.sync()
    assert (report.ok, report.message) == (False, "the network is switched off")
    assert client.status.pending == 1


async def test_saved_on_the_server_syncs_where_nobody_can_wait(
    page: Page, open_page: Open, api: FakeServer
) -> None:
    client = open_page(background=False)
    ann = sign_up(client)
    client.profiles.add_favorite(ann, "m1").saved("server")
    assert len(await api.rows_of(ann, "favorites")) == 1


async def test_no_call_waits_for_the_disk(
    page: Page, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def flush(_: MemoryStorage, __: Level) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(MemoryStorage, "flush", flush)
    client = open_page(background=False)
    write = client.profiles.add_favorite(sign_up(client), "m1")
    with pytest.raises(SaveError, match="a little later"):
        write.saved("disk")
    client.users.logout(pending="discard")
    assert client.user_id is None


async def test_saved_on_the_server_never_hangs(page: Page, open_page: Open) -> None:
    client = open_page(background=False)
    write = client.profiles.add_favorite(sign_up(client), "m1")
    page.reachable = False
    with pytest.raises(PlatformError, match="nothing can wait"):
        write.saved("server")
    assert client.status.pending == 1


async def test_what_other_tabs_do_is_followed_between_calls(
    page: Page, open_page: Open, phone: FakeDevice
) -> None:
    client, other = open_page(background=False), open_page(background=False)
    ann = sign_up(client)
    await until(lambda: other.user_id == ann)
    client.profiles.add_favorite(ann, "m1")
    await until(lambda: "m1" in other["favorites"])


async def until(holds: Callable[[], bool]) -> None:
    """Let the host run until something holds."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what happens here is what nobody is told of
            await asyncio.sleep(0)


async def test_what_hears_of_the_world_is_called_on_the_loop_of_its_client(
    page: Page, phone: FakeDevice
) -> None:
    running: list[asyncio.AbstractEventLoop] = []
    backend = await page.choose_backend(mirror=None)
    backend.storage.subscribe(lambda _: running.append(asyncio.get_running_loop()))
    backend.environment.subscribe(lambda _: running.append(asyncio.get_running_loop()))
    await phone.backend().storage.write({"key": "value"})
    phone.set_online(False)
    assert running == [page.loop, page.loop]


async def test_closing_with_a_request_under_way_ends_it(page: Page, open_page: Open) -> None:
    client = open_page()
    sign_up(client)
    await until(lambda: page.background.under_way == 1)
    client.close()
    await until(lambda: page.background.under_way == 0)


async def test_a_stand_in_that_fails_fails_what_waited() -> None:
    waits = StandIns()

    def fail() -> None:
        raise NetworkError("no network")

    waiting = asyncio.ensure_future(waits.wait_for(asyncio.sleep(3_600), fail))
    await asyncio.sleep(0)
    assert waits.hurry()
    with pytest.raises(NetworkError):
        await waiting
    assert not waits.hurry()


async def test_what_ends_by_itself_needs_no_stand_in() -> None:
    waits = StandIns()
    assert await waits.wait_for(asyncio.sleep(0, "itself"), lambda: "stand-in") == "itself"
    assert not waits.hurry()
