"""What notebooks show of a client."""

from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import get_args

import pytest

from atiha_web import Client, Status
from atiha_web.backends.base import Usage
from atiha_web.display import status_html
from atiha_web.sync.status import SyncState

EVIL = '<img src=x onerror="alert(1)">&'


class Shown(HTMLParser):
    """The texts and tags of a piece of HTML, without its style sheet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.widths: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.widths += [style for name, style in attrs if name == "style" and style]

    def handle_data(self, data: str) -> None:
        if self.tags[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def shown(status: Status, *, closed: bool = False) -> Shown:
    return Shown(status_html(status, closed=closed))


def test_tells_state_counts_and_the_last_sync() -> None:
    noon = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)
    status = Status("syncing", "ann", pending=1234, in_flight=500, quarantined=2, last_sync=noon)
    text = shown(status).text
    assert f"{noon.astimezone():%H:%M:%S}" in text
    for word in ("syncing", "ann", "pending 1,234", "on the way 500", "quarantined 2"):
        assert word in text


@pytest.mark.parametrize("state", get_args(SyncState))
def test_every_state_has_words_of_its_own(state: SyncState) -> None:
    ours, idle = shown(Status(state, "ann")), shown(Status("idle", "ann"))
    assert state.replace("_", " ") in ours.text
    assert (ours.texts == idle.texts) == (state == "idle")


def test_the_quota_is_a_bar() -> None:
    bar = shown(Status(usage=Usage(1_310_720, 5_242_880)))
    assert any("width: 25.0%" in width for width in bar.widths)
    assert "1.31 of 5.2 M characters" in bar.text


def test_a_bar_that_is_nearly_full_warns() -> None:
    [_, *nearly] = shown(Status(usage=Usage(91, 100))).widths
    assert nearly == ["width: 91.0%; background: var(--bad)"]


def test_no_quota_no_bar() -> None:
    assert "local storage" not in shown(Status()).text


def test_what_is_not_ours_is_escaped() -> None:
    status = Status("idle", EVIL, message=EVIL, problems=(EVIL,))
    evil = shown(status)
    assert "img" not in evil.tags
    assert evil.text.count(EVIL) == 3


def test_a_closed_client_says_so() -> None:
    assert "this client was closed" in shown(Status("idle", "ann"), closed=True).text


def test_elsewhere_a_status_is_plain_text() -> None:
    assert repr(replace(Status(), user_id="ann")).startswith("Status(state='idle', user_id='ann'")


async def test_a_client_tells_how_it_is(client: Client) -> None:
    await client.profiles.add_rating(client.user_id or "", "the-general", 5)
    assert repr(client) == f"<Client of {client.user_id}: idle, 1 pending, 0 quarantined>"
    assert client._repr_html_() == status_html(client.status)
