"""Every check of transports fails for a transport that breaks its promise."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from atiha_web.backends.base import Request, Response
from atiha_web.backends.httpx import HttpxTransport
from atiha_web.errors import NetworkError, RequestTimeoutError
from atiha_web.testing.contracts import TRANSPORT_CHECKS
from atiha_web.testing.server import ContractServer
from tests.contract.sabotage import named, passing, unbroken


class RaisesStatus(HttpxTransport):
    async def request(self, request: Request) -> Response:
        reply = await super().request(request)
        if reply.status >= 400:
            raise NetworkError
        return reply


class Alters(HttpxTransport):
    """Changes requests and replies by the given functions."""

    def __init__(self, **changes: Callable[[Any], Any]) -> None:
        super().__init__()
        self._changes = changes

    async def request(self, request: Request) -> Response:
        reply = await super().request(self._changed(request))
        return self._changed(reply)

    def _changed(self, message: Any) -> Any:
        changes = {
            name.partition("_")[2]: change(getattr(message, name.partition("_")[2]))
            for name, change in self._changes.items()
            if name.startswith("request_" if isinstance(message, Request) else "reply_")
        }
        return replace(message, **changes)


class Stays(HttpxTransport):
    def __init__(self) -> None:
        super().__init__(httpx.AsyncClient())


class Confuses(HttpxTransport):
    """Takes every failure for the other kind."""

    async def request(self, request: Request) -> Response:
        try:
            return await super().request(request)
        except RequestTimeoutError as error:
            raise NetworkError from error
        except NetworkError as error:
            raise RequestTimeoutError from error


class Breaks(HttpxTransport):
    """Can do nothing after a failure."""

    _broken = False

    async def request(self, request: Request) -> Response:
        if self._broken:
            raise NetworkError
        try:
            return await super().request(request)
        except BaseException:
            self._broken = True
            raise


class Shares(HttpxTransport):
    """Mixes up the replies of requests made at once."""

    _last: Response | None = None

    async def request(self, request: Request) -> Response:
        self._last = await super().request(request)
        await asyncio.sleep(0.05)
        return self._last


class ClosesOnce(HttpxTransport):
    async def close(self) -> None:
        if self._client is None:
            raise RuntimeError
        await super().close()


class BrokenNetwork:
    def __init__(self, server: ContractServer, kind: Callable[[], HttpxTransport]) -> None:
        self.url = server.url
        self.dead_url = server.dead_url
        self._kind = kind

    async def open(self) -> HttpxTransport:
        return self._kind()


def altering(**changes: Callable[[Any], Any]) -> Callable[[], HttpxTransport]:
    return lambda: Alters(**changes)


BROKEN: dict[str, Callable[[], HttpxTransport]] = {
    "breaks": Breaks,
    "closes once": ClosesOnce,
    "confuses": Confuses,
    "drops headers": altering(request_headers=lambda _: {}),
    "no body": altering(reply_body=lambda body: body or None),
    "packed": altering(reply_body=gzip.compress),
    "raises": RaisesStatus,
    "shares": Shares,
    "stays": Stays,
    "text": altering(reply_body=lambda body: body.decode("utf-8", "replace").encode()),
    "upper case": altering(
        reply_headers=lambda headers: {name.title(): value for name, value in headers.items()}
    ),
}

FAILED = {
    "breaks": "requests_go_on_after_failures a_cancelled_request_ends_and_others_go_on",
    "closes once": "closing_again_is_no_error",
    "confuses": "no_reply_in_time_is_a_timeout a_reply_that_does_not_end_in_time_is_a_timeout "
    "a_refused_connection_is_a_network_error a_broken_reply_is_a_network_error",
    "drops headers": "method_query_and_headers_arrive not_modified_is_returned",
    "no body": "a_reply_without_content_has_an_empty_body",
    "packed": "a_compressed_reply_is_unpacked",
    "raises": "a_reply_of_any_status_is_returned",
    "shares": "requests_at_once_get_their_own_replies",
    "stays": "a_redirect_is_followed_and_told",
    "text": "bytes_come_back_unchanged",
    "upper case": "header_names_of_a_reply_are_lower_case",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_transport_fails(name: str, contract_server: ContractServer) -> None:
    checks = named(TRANSPORT_CHECKS, FAILED[name])
    assert await passing(checks, lambda: BrokenNetwork(contract_server, BROKEN[name])) == []


def test_every_check_is_failed_by_somebody() -> None:
    assert unbroken(TRANSPORT_CHECKS, FAILED) == set()
