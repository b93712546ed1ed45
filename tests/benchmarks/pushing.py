"""Operations through the whole server, beside what PostgreSQL takes through pgbench."""

import asyncio
import json
import re
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx

from atiha_web.collections import BUILT_IN
from atiha_web.server.embedded import find_binaries
from atiha_web.server.schema import upgrade
from atiha_web.sync import hlc
from tests.benchmarks.figures import Figure, middle
from tests.benchmarks.lab import BATCH, Lab
from tests.server.fixtures import Account

CLIENTS = (1, 4)
ROUNDS = 3
REQUESTS = 12
"""Of each client in each round."""
PGBENCH_SECONDS = 2
PER_COMMIT = 100
LEAST_SHARE = 0.10
# What a push does, a hundred rows to a commit: a new version for each row, every row changes.
SCRIPT = """
\\set start random(0, 4) * 100
BEGIN;
UPDATE sync_state SET counter = counter + 100 WHERE user_id = 'user-' || :client_id::text
RETURNING counter \\gset
INSERT INTO records (user_id, collection, key, version, timestamp, deleted, data)
SELECT 'user-' || :client_id::text, 'ratings', 'film-' || g, :counter::bigint - 100 + g,
    lpad(to_hex(:counter::bigint), 12, '0') || '00005eed5eed5eed', false,
    jsonb_build_object(
        'contentType', 'movie', 'title', 'Film ' || g, 'rating', 1 + :counter::bigint % 5
    )
FROM generate_series(:start::int + 1, :start::int + 100) g
ON CONFLICT (user_id, collection, key) DO UPDATE SET version = excluded.version,
    timestamp = excluded.timestamp, deleted = excluded.deleted, data = excluded.data;
COMMIT;
"""


@dataclass
class Pusher:
    """One device that sends full batches, in each of which every record changes."""

    account: Account
    collection: str
    epoch: str
    sent: int = 0
    bodies: list[bytes] = field(default_factory=list)

    def prepare(self) -> None:
        """Make the bodies of a round, which takes no part in what is measured."""
        self.bodies = [self._body(self.sent + number) for number in range(REQUESTS)]
        self.sent += REQUESTS

    async def send(self, http: httpx.AsyncClient) -> None:
        """Send them all, one after the other."""
        headers = {"content-type": "application/json", **self.account.headers}
        path = f"/api/users/{self.account.id}/sync"
        for body in self.bodies:
            reply = (await http.post(path, content=body, headers=headers)).raise_for_status()
            assert reply.content.count(b'"applied"') == BATCH, reply.text[:500]

    def _body(self, number: int) -> bytes:
        """Batch ``number``; the cursor is where every row of those before was counted."""
        operations = [self._operation(number, key) for key in range(BATCH)]
        cursor = number * BATCH
        epoch = self.epoch if cursor else None
        return json.dumps(
            {"protocol": 1, "epoch": epoch, "cursor": cursor, "operations": operations}
        ).encode()

    def _operation(self, number: int, key: int) -> dict[str, Any]:
        writer = "5eed5eed5eed"
        timestamp = str(hlc.Timestamp(1_760_000_000_000 + number, key, writer))
        watched = {"progress": number, "duration": 7200, "completed": False, "session": "0" * 28}
        data = watched if self.collection == "watch_history" else {"rating": 1 + number % 5}
        return {
            "id": f"{writer}-{number * BATCH + key + 1}",
            "collection": self.collection,
            "key": f"film-{key}",
            "type": "put",
            "timestamp": timestamp,
            "data": {"contentType": "movie", "title": f"Film {key}", **data},
        }


async def measure(lab: Lab) -> list[Figure]:
    """Ratings, then watch history, with one and with four devices."""
    database = await lab.database("pgbench")
    await upgrade(database, BUILT_IN)
    await _fill(database)
    figures = []
    for clients in CLIENTS:
        pushers = {
            collection: [await _pusher(lab, collection) for _ in range(clients)]
            for collection in ("ratings", "watch_history")
        }
        rates: dict[str, list[float]] = {name: [] for name in ("pgbench", *pushers)}
        for _ in range(ROUNDS):
            rates["pgbench"].append(await asyncio.to_thread(_pgbench, lab, database, clients))
            for collection, devices in pushers.items():
                rates[collection].append(await _push(lab, devices))
        figures += _figures(clients, {name: middle(found) for name, found in rates.items()})
    return figures


def _figures(clients: int, rates: dict[str, float]) -> list[Figure]:
    with_clients = f"{clients} client{'s' if clients > 1 else ''}"
    own, history, limit = rates["ratings"], rates["watch_history"], rates["pgbench"]
    return [
        Figure(
            f"push of ratings through HTTP, one worker, {with_clients} ÷ pgbench",
            own / limit,
            LEAST_SHARE,
            at_least=True,
            details=f"{own:,.0f} and {limit:,.0f} operations/s",
        ),
        Figure(
            f"push of watch history, {with_clients} ÷ pgbench",
            history / limit,
            details=f"{history:,.0f} operations/s",
        ),
    ]


async def _pusher(lab: Lab, collection: str) -> Pusher:
    account = await lab.account()
    async with httpx.AsyncClient(base_url=await lab.server()) as http:
        reply = await http.post(
            f"/api/users/{account.id}/sync",
            json={"protocol": 1, "cursor": 0},
            headers=account.headers,
        )
        pusher = Pusher(account, collection, reply.raise_for_status().json()["epoch"])
        pusher.prepare()
        await pusher.send(http)
    return pusher


async def _push(lab: Lab, pushers: list[Pusher]) -> float:
    """Operations per second."""
    for pusher in pushers:
        pusher.prepare()
    async with httpx.AsyncClient(base_url=await lab.server(), timeout=60) as http:
        begin = time.perf_counter()
        await asyncio.gather(*(pusher.send(http) for pusher in pushers))
        return len(pushers) * REQUESTS * BATCH / (time.perf_counter() - begin)


async def _fill(database: str) -> None:
    connection = await asyncpg.connect(database)
    users = [(f"user-{number}", "0") for number in range(max(CLIENTS))]
    await connection.executemany("INSERT INTO sync_state (user_id, epoch) VALUES ($1, $2)", users)
    await connection.close()


def _pgbench(lab: Lab, database: str, clients: int) -> float:
    """Operations per second."""
    script = lab.folder / "push.sql"
    script.write_text(SCRIPT)
    command = [str(find_binaries() / "pgbench"), "--no-vacuum", "-M", "prepared"]
    command += ["-c", str(clients), "-j", str(min(clients, 2)), "-T", str(PGBENCH_SECONDS)]
    done = subprocess.run(
        [*command, "-f", str(script), database],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    return float(found[1]) * PER_COMMIT
