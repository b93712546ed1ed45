"""HTTP on CPython, through httpx."""

from __future__ import annotations

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
            self._client = httpx.AsyncClient(follow_redirects=True)
        try:
            reply = await self._client.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.body,
                timeout=request.timeout,
            )
        except httpx.TimeoutException as error:
            raise RequestTimeoutError(f"no answer within {request.timeout:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NetworkError(f"the server cannot be reached: {error or type(error).__name__}") from error
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
