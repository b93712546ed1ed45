"""How far a long queue is, while it is sent."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import pytest

from atiha_web import Client, SyncProgress
from atiha_web.testing.fake_server import FakeDevice

OpenClient = Callable[..., Awaitable[Client]]
BATCH = 500


async def write(client: Client, number: int, first: int = 0) -> None:
    for index in range(first, first + number):
        await client.profiles.add_favorite(client.user_id or "", f"film-{index}")


async def test_a_callback_hears_of_every_batch(client: Client) -> None:
    await write(client, 2 * BATCH + 1)
    heard: list[SyncProgress] = []
    report = await client.sync(progress=heard.append)
    total = 2 * BATCH + 1
    assert heard == [SyncProgress(done, total) for done in (0, BATCH, 2 * BATCH, total)]
    assert report.sent == total


async def test_writes_made_meanwhile_only_move_the_end(client: Client) -> None:
    await write(client, 2 * BATCH)
    heard: list[SyncProgress] = []
    writing: list[asyncio.Task[None]] = []

    def tell(progress: SyncProgress) -> None:
        heard.append(progress)
        if progress.done and not writing:
            writing.append(asyncio.create_task(write(client, 10, first=2 * BATCH)))

    await client.sync(progress=tell)
    assert heard[-1] == SyncProgress(2 * BATCH + 10, 2 * BATCH + 10)
    assert [step.done for step in heard] == sorted(step.done for step in heard)


async def test_with_nothing_to_send_it_is_told_once(client: Client) -> None:
    await client.sync()
    heard: list[SyncProgress] = []
    await client.sync(progress=heard.append)
    assert heard == [SyncProgress(0, 0)]


async def test_a_failed_sync_reports_as_it_does_without(client: Client, phone: FakeDevice) -> None:
    await write(client, 3)
    phone.set_online(False)
    heard: list[SyncProgress] = []
    assert not (await client.sync(progress=heard.append)).ok
    assert heard == [SyncProgress(0, 3)]


async def test_what_a_callback_raises_does_not_stop_the_sync(client: Client) -> None:
    await write(client, 2 * BATCH)

    def tell(progress: SyncProgress) -> None:
        if progress.done:
            raise RuntimeError("the callback's own fault")

    with pytest.raises(RuntimeError, match="own fault"):
        await client.sync(progress=tell)
    assert client.status.pending == 0


async def test_true_draws_the_bar_of_tqdm(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await write(client, 3)
    await client.sync(progress=True)
    assert "Sending: 100%" in capsys.readouterr().out


async def test_without_tqdm_a_line_of_text_changes(
    client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    await write(client, 3)
    await client.sync(progress=True)
    lines = capsys.readouterr().out.split("\r")
    assert lines[1:] == ["Sending: 0 of 3 changes", "Sending: 3 of 3 changes\n"]
