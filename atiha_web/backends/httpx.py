"""HTTP on CPython, through httpx."""

from __future__ import annotations

import asyncio
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from atiha_web.backends.base import Request, Response
from atiha_web.errors import NetworkError, RequestTimeoutError


class HttpxTransport:
    """See ``Transport``. One connection pool, opened at the first request."""

    keeps_cookies = False

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        self._client = client

    async def request(self, request: Request) -> Response:
        """See ``Transport.request``."""
        if self._client is None:
            self._client = httpx.AsyncClient(follow_redirects=True, cookies=_no_cookies())
        try:
            # One bound for the whole reply: httpx's own timeout starts again with every chunk.
            async with asyncio.timeout(request.timeout):
                reply = await self._client.request(
                    request.method,
                    request.url,
                    headers=dict(request.headers),
                    content=request.body,
                    timeout=None,
                )
        except TimeoutError as error:
            raise RequestTimeoutError(f"no answer within {request.timeout:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NetworkError(
                f"the server cannot be reached: {str(error) or type(error).__name__}"
            ) from error
        return Response(
            status=reply.status_code,
            headers={name.lower(): value for name, value in reply.headers.items()},
            body=reply.content,
            url=str(reply.url),
        )

    async def close(self) -> None:
        """See ``Transport.close``."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def _no_cookies() -> CookieJar:
    """A jar that stays empty: who asks is said by each request alone."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))
