"""What an idle client costs the network, however many collections it has."""

import atiha_web
from atiha_web import Collection, Record
from atiha_web.backends.base import Request, Response
from atiha_web.backends.httpx import HttpxTransport
from atiha_web.backends.memory import memory_backend
from atiha_web.server import create_app
from tests.benchmarks.figures import Figure
from tests.benchmarks.lab import Lab
from tests.server.fixtures import PASSWORD, running

MOST_BYTES = 300
OWN = 10


class Note(Record):
    """A collection of an app."""

    note_id: str
    text: str


class CountingTransport(HttpxTransport):
    """Remembers the size of every body, of requests and replies."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[int] = []

    async def request(self, request: Request) -> Response:
        """See ``Transport.request``."""
        response = await super().request(request)
        self.bodies += [len(request.body or b""), len(response.body)]
        return response


async def measure(lab: Lab) -> list[Figure]:
    """A poll that finds nothing new, with the built-in collections and with ten more."""
    own = [Collection(f"notes_{number}", Note, key="note_id") for number in range(OWN)]
    return [
        *await _poll(await lab.database("poll_built_in"), []),
        *await _poll(await lab.database("poll_own"), own),
    ]


async def _poll(url: str, collections: list[Collection]) -> list[Figure]:
    transport = CountingTransport()
    backend = memory_backend(transport)
    declared = [*atiha_web.collections.BUILT_IN, *collections]
    with running(create_app(url, collections=declared)) as address:
        async with atiha_web.connect(
            address, backend=backend, collections=collections, background=False
        ) as client:
            await client.users.register_user(
                email="ada@example.test", password=PASSWORD, name="Ada"
            )
            await client.sync()
            transport.bodies.clear()
            assert (await client.sync()).ok
    count = len(declared)
    sent, received = transport.bodies[0::2], transport.bodies[1::2]
    return [
        Figure(f"idle poll with {count} collections", len(sent), 1, "request"),
        Figure(
            f"bodies of an idle poll with {count} collections",
            sum(sent) + sum(received),
            MOST_BYTES,
            "B",
            details=f"{sum(sent)} sent, {sum(received)} received",
        ),
    ]
