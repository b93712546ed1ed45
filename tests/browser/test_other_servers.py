"""In Chromium: a REST server that does not know us, and what the seed's own app left behind."""

import asyncio
import json
import time
from typing import Any

import pytest
from pytest_pyodide import run_in_pyodide

from atiha_web.backends import base
from atiha_web.sync.protocols import ProtocolName
from atiha_web.testing.fake_server import FakeServer, Fault, answer, captive_portal
from tests.browser.servers import OriginServer, Request, Response
from tests.plain_rest import PlainRest

ANN = "/api/users/ann"
RATINGS, WATCHLIST, HISTORY = f"{ANN}/ratings", f"{ANN}/watchlist", f"{ANN}/watch-history"
PATHS = [ANN, f"{ANN}/sync", RATINGS, WATCHLIST, HISTORY, f"{ANN}/favorites"]
METHODS = ["GET", "POST", "PATCH", "DELETE"]


def wall_ms() -> int:
    return int(time.time() * 1000)


def serve(server: FakeServer, origin: OriginServer) -> None:
    """Let a server in memory answer on the page's own origin."""

    def respond(request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = base.Request(request.method, request.path, headers, request.body or None)
        server.requests.append(asked)
        fault = server.next_fault(asked)
        replies = [asyncio.run(server.answer(asked)) for _ in range(fault.acts)]
        reply = fault.reply or replies[-1]
        return Response(reply.status, reply.body, dict(reply.headers))

    origin.routes.update({(method, path): respond for method in METHODS for path in PATHS})


# -- a REST server ---------------------------------------------------------------------------------


@run_in_pyodide(packages=["atiha-web"])
async def write(selenium: Any) -> list[Any]:
    import atiha_web

    async with atiha_web.connect(user_id="ann", protocol="rest", background=False) as client:
        await client.profiles.add_rating("ann", "m1", 3)
        await client.profiles.add_rating("ann", "m1", 4, "Better.")
        await client.profiles.add_to_watchlist("ann", "m2", "movie", "Gone")
        await client.profiles.remove_from_watchlist("ann", "m2")
        await client.profiles.add_to_watch_history("ann", "m3", "movie", "Film", progress=12.5)
        return [(await client.sync()).ok, client.status.pending]


@run_in_pyodide(packages=["atiha-web"])
async def drain(selenium: Any, protocol: ProtocolName) -> list[Any]:
    """What one sync does, and what is shown, pending and refused after it."""
    import atiha_web

    async with atiha_web.connect(user_id="ann", protocol=protocol, background=False) as client:
        report = await client.sync()
        entries = client["ratings"].items()
        shown = [[key, entry.rating] for key, entry in entries]  # type: ignore[attr-defined]
        return [report.ok, report.sent, shown, client.status.pending, client.status.quarantined]


def test_a_rest_server_gets_each_change_once_and_in_order(
    selenium: Any, origin_server: OriginServer
) -> None:
    rest = PlainRest(now_ms=wall_ms)
    serve(rest, origin_server)
    old = {"id": "c1", "contentId": "old", "rating": 2, "updatedAt": "2025-01-06T12:00:00.000Z"}
    rest.tables[RATINGS] = {"old": old}
    rest.next_fault = lambda _: captive_portal()
    assert write(selenium) == [False, 5]
    assert rest.effects == []
    # The first change takes effect, and its reply is lost on the way.
    lost = [answer(502, ours=False, acted=True)]
    rest.next_fault = lambda request: lost.pop() if lost and request.method == "POST" else Fault()
    assert drain(selenium, "rest") == [True, 5, [["m1", 4], ["old", 2]], 0, 0]
    assert lost == []
    assert sorted(rest.effects, key=lambda effect: effect[1]) == [
        ("POST", RATINGS, "m1"),
        ("POST", RATINGS, "m1"),
        ("POST", HISTORY, "m3"),
        ("POST", WATCHLIST, "m2"),
        ("DELETE", WATCHLIST, "m2"),
    ]
    assert [row["rating"] for row in rest.rows_at(RATINGS)] == [2, 4]


# -- the seed's own app ------------------------------------------------------------------------


def leave_behind(selenium: Any) -> None:
    """What the seed's app keeps in localStorage: two unsent changes, one of them of Bob, a list."""

    def queued(number: int, user_id: str) -> dict[str, Any]:
        return {
            "id": f"op_{number}_x7f",
            "type": "create",
            "endpoint": f"/api/users/{user_id}/ratings",
            "data": {"contentId": f"m{number}", "contentType": "movie", "rating": number},
            "timestamp": wall_ms() - 60_000,
            "retries": 2,
        }

    old = {"id": "c1", "userId": "ann", "contentId": "old", "rating": 2}
    items = {
        "atiha_sync_queue": [queued(4, "ann"), queued(5, "bob"), {"type": "create"}],
        "atiha_ratings_ann": [{**old, "updatedAt": "2025-01-06T12:00:00.000Z"}],
    }
    for key, value in items.items():
        selenium.run_js(f"localStorage.setItem({json.dumps(key)}, {json.dumps(json.dumps(value))})")


@run_in_pyodide(packages=["atiha-web"])
async def open_offline(selenium: Any, protocol: ProtocolName) -> list[Any]:
    """What is shown and pending before any request, and what the queue says."""
    import json

    import js

    import atiha_web

    async with atiha_web.connect(user_id="ann", protocol=protocol, background=False) as client:
        entries = client["ratings"].items()
        shown = [[key, entry.rating] for key, entry in entries]  # type: ignore[attr-defined]
        queue = json.loads(js.localStorage.getItem("atiha_sync_queue"))
        problems = [problem.partition(" is kept")[0] for problem in client.status.problems]
        return [shown, client.status.pending, [each["userId"] for each in queue], problems]


@pytest.mark.parametrize("protocol", ["sync", "rest"])
def test_what_the_seeds_app_left_is_shown_and_sent_and_what_nobody_can_send_is_kept(
    selenium: Any, origin_server: OriginServer, protocol: ProtocolName
) -> None:
    server = FakeServer() if protocol == "sync" else PlainRest(now_ms=wall_ms)
    serve(server, origin_server)
    leave_behind(selenium)
    assert open_offline(selenium, protocol) == [
        [["m4", 4], ["old", 2]],
        1,
        ["ann"],
        ["a change by an earlier version of this app"],
    ]
    ok, sent, shown, pending, quarantined = drain(selenium, protocol)
    assert (ok, sent, shown, pending, quarantined) == (True, 1, [["m4", 4]], 0, 0)
    kept = selenium.run_js("return Object.keys(localStorage)")
    assert len([key for key in kept if key.startswith("atiha:bob:j:")]) == 1
    assert len([key for key in kept if key.startswith("atiha::aside:")]) == 1
