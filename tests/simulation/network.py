"""A network that loses, doubles, delays and forges, between pages and one server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextvars import Context
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from atiha_web.backends.base import Request, Response
from atiha_web.errors import NetworkError, RequestTimeoutError
from atiha_web.sync.calls import user_of
from atiha_web.sync.clock import MAX_ROUND_TRIP_MS
from atiha_web.sync.outcomes import HEADER
from atiha_web.testing.fake_server import FakeServer, Fault
from tests.simulation.promptness import LONGEST_WAIT, check_manners

if TYPE_CHECKING:
    from atiha_web.sync.synchronizer import Synchronizer
    from tests.simulation.browser import Device, Page

NO_FAULT = Fault(after=0.02)


@dataclass(eq=False)
class Message:
    """A request under way: ``reply`` is what its page waits for."""

    request: Request
    fault: Fault
    reply: asyncio.Future[Response]
    arrives: asyncio.Future[None]
    delivery: asyncio.Task[None] | None = None
    lost: bool = False
    acted: bool = False


@dataclass(eq=False)
class Network:
    """All that is under way between the devices and the server."""

    server: FakeServer
    down_until: float = 0.0
    under_way: dict[Message, None] = field(default_factory=dict)

    async def carry(self, device: Device, request: Request, fault: Fault) -> Response:
        """One request and its reply.

        Raises:
            NetworkError: the connection broke.
        """
        loop = asyncio.get_running_loop()
        message = Message(request, fault, loop.create_future(), loop.create_future())
        message.reply.add_done_callback(_seen)
        self.under_way[message] = None
        # The server goes on with what reached it, even if nobody waits for the reply any more.
        message.delivery = loop.create_task(self._deliver(device, message), context=Context())
        return await message.reply

    async def _deliver(self, device: Device, message: Message) -> None:
        fault, loop = message.fault, asyncio.get_running_loop()
        if fault.before:
            loop.call_later(fault.before, _settle, message.arrives)
            await message.arrives
        reply = fault.reply
        for _ in range(fault.acts):
            if message.lost or loop.time() < self.down_until:
                message.lost = True
                break
            answered = await self.server.answer(message.request)
            message.acted = True
            reply = fault.reply or answered
        if fault.lost != "timeout":
            await asyncio.sleep(fault.after)
            broken = message.lost or fault.lost or not device.reachable or reply is None
            if not message.reply.done():
                if broken or reply is None:
                    message.reply.set_exception(NetworkError("the connection broke"))
                else:
                    message.reply.set_result(reply)
        self.under_way.pop(message, None)

    def restart_server(self, seconds: float) -> None:
        """Connections break, what had not been acted on never will be, and nobody listens."""
        self.down_until = asyncio.get_running_loop().time() + seconds
        for message in self.under_way:
            message.lost = True
            _settle(message.arrives)

    @property
    def answered_ids(self) -> set[str]:
        """The operations whose acknowledgement is under way."""
        return {name for each in self.under_way if each.acted for name in ids_in(each.request)}

    def deliver_all(self) -> None:
        """What is under way arrives at once."""
        for message in self.under_way:
            _settle(message.arrives)


class SimulatedTransport:
    """One page's way to the server, with the cookies of its device."""

    keeps_cookies = True

    def __init__(self, page: Page, network: Network) -> None:
        self._page = page
        self._network = network

    async def request(self, request: Request) -> Response:
        """See ``Transport.request``."""
        page, device = self._page, self._page.device
        if page.process.dead:
            await asyncio.get_running_loop().create_future()
        page.device.world.watch.sent(page, request)
        check_manners(page, request)
        page.requests += 1
        carried = ids_in(request)
        page.carrying |= carried
        try:
            return await self._carried_out(page, device, request)
        finally:
            page.carrying -= carried

    async def _carried_out(self, page: Page, device: Device, request: Request) -> Response:
        if not device.reachable:
            raise NetworkError("the network is switched off")
        fault = device.next_fault(request)
        foreign = device.world.foreign
        if says_for_good(request, fault, ours=foreign is None):
            fault = NO_FAULT
        signed = _signed(request, device.cookie)
        known = (page.synchronizer if page._client else None), device.times_set
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(request.timeout):
                reply = await self._network.carry(device, signed, fault)
        except TimeoutError:
            raise RequestTimeoutError("no reply in time") from None
        device.keep_cookie(request, reply)
        if foreign is not None:
            self._note_rest(known[0], request, reply)
        if request.url.endswith("/sync"):
            self._note(known[0], request, reply)
        good = HEADER in reply.headers and reply.status == 200 and request.url.endswith("/sync")
        # An empty one cannot be read, and tells nothing.
        if good and (told := json.loads(reply.body)):
            loop = asyncio.get_running_loop()
            page.told_more = (known[0], loop.time()) if told.get("more") else None
            page.unsaid &= page.told_more is not None
            if page.knows_time != known:
                page.knows_time = None
            if (loop.time() - began) * 1000 <= MAX_ROUND_TRIP_MS:
                loop.call_later(1.0, page.learn_time, known, context=Context())
            loop.call_later(0.005, device.world.look, device, context=Context())
            page.acknowledged = acknowledged_in(told)
            for name in lost_writes(request, reply):
                page.lost_writes[name] = loop.time(), known[0]
        return reply

    def _note(self, asker: Synchronizer | None, request: Request, reply: Response) -> None:
        page, now = self._page, asyncio.get_running_loop().time()
        page.replied.set()
        if HEADER in reply.headers:
            page.statuses.add((request.url.split("/")[-2], reply.status))
        wait = reply.headers.get("retry-after")
        if reply.status == 200:
            page.asked_to_wait = None
        if wait is not None and wait.isdigit() and reply.status in (429, 503):
            page.asked_to_wait = asker, now + min(float(wait), LONGEST_WAIT)
            page.waiting_since = now

    def _note_rest(self, asker: Synchronizer | None, request: Request, reply: Response) -> None:
        page, loop = self._page, asyncio.get_running_loop()
        path = urlsplit(request.url).path
        page.device.world.watch.answered(request, reply.status)
        if request.headers.get("idempotency-key") or path.endswith("/ratings"):
            page.replied.set()
        named = user_of(path)
        if named is None:
            return
        page.statuses.add((named, reply.status))
        wait = reply.headers.get("retry-after")
        if wait is not None and wait.isdigit() and reply.status in (429, 503):
            page.waits[asker, path] = loop.time() + min(float(wait), LONGEST_WAIT)
        loop.call_later(0.005, page.device.world.look, page.device, context=Context())

    def send_last(self, request: Request) -> None:
        """See ``Backend.send_last``: it outlives the page, and nobody learns of the reply."""
        page, device = self._page, self._page.device
        device.world.watch.sent(page, request)
        device.world.watch.flushed(page, ids_in(request))
        device.world.count("keep-alive flush")
        if device.reachable:
            work = self._network.carry(device, _signed(request, device.cookie), device.next_fault())
            last = asyncio.get_running_loop().create_task(work, context=Context())
            last.add_done_callback(_seen)

    async def close(self) -> None:
        """See ``Transport.close``."""


def ids_in(request: Request) -> set[str]:
    """The operations that a request carries."""
    if "idempotency-key" in request.headers:
        return {request.headers["idempotency-key"]}
    if not request.url.endswith("/sync"):
        return set()
    return {raw["id"] for raw in json.loads(request.body or b"{}").get("operations", ())}


def acknowledged_in(told: Mapping[str, Any]) -> frozenset[str]:
    """The operations of which a reply says that the server has them."""
    results = told.get("results", ())
    return frozenset(each["id"] for each in results if each["status"] in ("applied", "superseded"))


def lost_writes(request: Request, reply: Response) -> Iterator[tuple[str, str]]:
    """The operations, with their timestamps, of which a reply says that others won."""
    sent = {
        raw["id"]: raw["timestamp"]
        for raw in json.loads(request.body or b"{}").get("operations", ())
    }
    for result in json.loads(reply.body).get("results", ()):
        if result["status"] == "superseded":
            record = result.get("record") or {"timestamp": sent[result["id"]]}
            if record["timestamp"] != sent[result["id"]]:
                yield result["id"], sent[result["id"]]


def says_for_good(request: Request, fault: Fault, *, ours: bool) -> bool:
    """Whether a fault would mean what no server of ours says that goes on as before.

    That an operation alone is too large, or that there is no session to end; or that a sign-out,
    and over REST a write, is done: any JSON at 200 says so, and nobody could tell that nothing
    came of it.
    """
    if fault.reply is None:
        return False
    too_large = ours and is_single(request) and fault.reply.status == 413
    # Of a server that is none of ours a proxy's word may be its own.
    believed = not ours or HEADER in fault.reply.headers
    gone = believed and fault.reply.status in (401, 404)
    done = (fault.reply.status, fault.reply.body) == (200, b"{}")
    ends_session = request.url.endswith("/api/sessions/current")
    is_write = not ours and "idempotency-key" in request.headers
    return too_large or (done and is_write) or ((done or gone) and ends_session)


def is_single(request: Request) -> bool:
    """Whether a request carries one operation, or none."""
    return (request.body or b"").count(b'"timestamp"') < 2


def _signed(request: Request, cookie: str | None) -> Request:
    headers = {**request.headers, "authorization": f"Bearer {cookie or 'nobody'}"}
    return replace(request, headers=headers)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _seen(ended: asyncio.Future[Response]) -> None:
    if not ended.cancelled():
        ended.exception()
