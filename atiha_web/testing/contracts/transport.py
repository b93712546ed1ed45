"""The contract of ``Transport``, against a ``ContractServer``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from atiha_web.backends.base import Request, Response, Transport
from atiha_web.errors import NetworkError, RequestTimeoutError
from atiha_web.testing.contracts.expect import Checks, equal, raises

SHORT = 0.3
"""Seconds until an answer that never comes is given up."""


class Network(Protocol):
    """Where the checks send their requests."""

    @property
    def url(self) -> str:
        """The origin of a running ``ContractServer``, without a slash at its end."""
        ...

    @property
    def dead_url(self) -> str:
        """A URL at which nothing listens."""
        ...

    async def open(self) -> Transport:
        """A new transport; the check closes it."""
        ...


TRANSPORT_CHECKS: Checks[Network] = Checks()
"""Checks for every transport."""


@asynccontextmanager
async def _opened(network: Network) -> AsyncIterator[Transport]:
    transport = await network.open()
    try:
        yield transport
    finally:
        await transport.close()


async def _described(transport: Transport, request: Request) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads((await transport.request(request)).body)
    return seen


@TRANSPORT_CHECKS.add
async def a_reply_of_any_status_is_returned(network: Network) -> None:
    async with _opened(network) as transport:
        for status in (200, 201, 400, 401, 404, 409, 429, 500, 503):
            reply = await transport.request(Request("GET", f"{network.url}/status/{status}"))
            equal(reply.status, status, "the status")
            equal(reply.body, f"body of /status/{status}".encode(), f"the body of a {status}")


@TRANSPORT_CHECKS.add
async def a_reply_without_content_has_an_empty_body(network: Network) -> None:
    async with _opened(network) as transport:
        reply = await transport.request(Request("POST", f"{network.url}/status/204"))
        equal((reply.status, reply.body), (204, b""), "a 204")


@TRANSPORT_CHECKS.add
async def header_names_of_a_reply_are_lower_case(network: Network) -> None:
    async with _opened(network) as transport:
        reply = await transport.request(Request("GET", f"{network.url}/describe"))
        equal(reply.headers.get("x-answer-header"), "Value With Case", "a header of the reply")
        equal([name for name in reply.headers if name != name.lower()], [], "upper-case names")


@TRANSPORT_CHECKS.add
async def method_query_and_headers_arrive(network: Network) -> None:
    async with _opened(network) as transport:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            url = f"{network.url}/describe?contentId=a%2Fb&limit=5"
            seen = await _described(transport, Request(method, url, {"X-Asked": "Some Value"}))
            equal(seen["method"], method, "the method")
            equal(seen["path"], "/describe?contentId=a%2Fb&limit=5", "path and query")
            equal(seen["headers"].get("x-asked"), "Some Value", "a header of the request")


@TRANSPORT_CHECKS.add
async def bytes_come_back_unchanged(network: Network) -> None:
    every_byte = bytes(range(256))
    async with _opened(network) as transport:
        for body in (b"", every_byte, "é🎬".encode(), every_byte * 4096):
            reply = await transport.request(Request("POST", f"{network.url}/body", body=body))
            equal(reply.body, body, f"a body of {len(body)} bytes")


@TRANSPORT_CHECKS.add
async def a_compressed_reply_is_unpacked(network: Network) -> None:
    async with _opened(network) as transport:
        reply = await transport.request(Request("GET", f"{network.url}/gzip"))
        equal(reply.body, b"plain text", "a body sent with gzip")


@TRANSPORT_CHECKS.add
async def a_redirect_is_followed_and_told(network: Network) -> None:
    async with _opened(network) as transport:
        reply = await transport.request(Request("GET", f"{network.url}/redirect"))
        equal(reply.status, 200, "the status after a redirect")
        equal(reply.url, f"{network.url}/describe?redirected", "the final URL")


@TRANSPORT_CHECKS.add
async def not_modified_is_returned(network: Network) -> None:
    async with _opened(network) as transport:
        first = await transport.request(Request("GET", f"{network.url}/tagged"))
        equal((first.status, first.body), (200, b"tagged"), "the first reply")
        known = {"If-None-Match": first.headers["etag"]}
        again = await transport.request(Request("GET", f"{network.url}/tagged", known))
        equal((again.status, again.body), (304, b""), "the reply to who knows it")


@TRANSPORT_CHECKS.add
async def no_reply_in_time_is_a_timeout(network: Network) -> None:
    async with (
        _opened(network) as transport,
        raises(RequestTimeoutError, "a server that never answers"),
    ):
        await transport.request(Request("GET", f"{network.url}/hang", timeout=SHORT))


@TRANSPORT_CHECKS.add
async def a_reply_that_does_not_end_in_time_is_a_timeout(network: Network) -> None:
    async with (
        _opened(network) as transport,
        raises(RequestTimeoutError, "a server that answers byte by byte"),
    ):
        await transport.request(Request("GET", f"{network.url}/drip", timeout=SHORT))


@TRANSPORT_CHECKS.add
async def a_refused_connection_is_a_network_error(network: Network) -> None:
    async with _opened(network) as transport, raises(NetworkError, "a port where nothing listens"):
        await transport.request(Request("GET", network.dead_url))


@TRANSPORT_CHECKS.add
async def a_broken_reply_is_a_network_error(network: Network) -> None:
    async with _opened(network) as transport:
        for path in ("/broken", "/drop"):
            async with raises(NetworkError, f"a connection that breaks at {path}"):
                await transport.request(Request("POST", network.url + path))


@TRANSPORT_CHECKS.add
async def requests_at_once_get_their_own_replies(network: Network) -> None:
    bodies = [f"body {n}".encode() for n in range(20)]
    async with _opened(network) as transport:
        requests = [Request("POST", f"{network.url}/body", body=body) for body in bodies]
        replies: list[Response] = await asyncio.gather(*map(transport.request, requests))
        equal([reply.body for reply in replies], bodies, "bodies of requests made at once")


@TRANSPORT_CHECKS.add
async def requests_go_on_after_failures(network: Network) -> None:
    hanging = Request("GET", f"{network.url}/hang", timeout=SHORT)
    async with _opened(network) as transport:
        async with raises(RequestTimeoutError, "a server that never answers"):
            await transport.request(hanging)
        async with raises(NetworkError, "a connection that breaks"):
            await transport.request(Request("POST", f"{network.url}/broken"))
        reply = await transport.request(Request("GET", f"{network.url}/status/200"))
        equal(reply.status, 200, "the status after failures")


@TRANSPORT_CHECKS.add
async def a_cancelled_request_ends_and_others_go_on(network: Network) -> None:
    async with _opened(network) as transport:
        hanging = asyncio.ensure_future(transport.request(Request("GET", f"{network.url}/hang")))
        await asyncio.sleep(SHORT)
        hanging.cancel()
        await asyncio.wait([hanging])
        equal(hanging.cancelled(), True, "whether the request was cancelled")
        reply = await transport.request(Request("GET", f"{network.url}/status/200"))
        equal(reply.status, 200, "the status after a cancelled request")


@TRANSPORT_CHECKS.add
async def closing_again_is_no_error(network: Network) -> None:
    transport = await network.open()
    await transport.request(Request("GET", f"{network.url}/status/200"))
    await transport.close()
    await transport.close()
