"""What a reply of a REST server that does not know us means, decided without I/O."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from atiha_web.backends.base import Request, Response
from atiha_web.errors import NetworkError
from atiha_web.sync.outcomes import Kind, Outcome, problem, wait_asked

_TRANSIENT = frozenset({407, 408, 425})
"""4xx that say nothing of the request itself; 407 comes from a proxy only."""

_GONE = frozenset({404, 410})


def classify_rest(request: Request, response: Response, now: datetime) -> Outcome:
    """What ``response`` means for what ``request`` wanted.

    Success is a 2xx of the server we asked, with JSON or without content. A page in HTML at 200
    is a captive portal's, an answer from another origin somebody else's: both may pass.
    """
    status = response.status
    if is_elsewhere(request, response):
        return Outcome(Kind.TRANSIENT, "another server answered; trying again")
    if 200 <= status < 300:
        return _success(request, response)
    if request.method == "DELETE" and status in _GONE:
        return Outcome(Kind.OK)
    return _failure(response, now)


def is_elsewhere(request: Request, response: Response) -> bool:
    """Whether another origin than the one asked answered.

    A request with a relative URL, of a page, never leaves the page's origin: the browser refuses.
    """
    if not response.url or request.url.startswith("/"):
        return False
    return _origin(response.url) != _origin(request.url)


def read_json(response: Response) -> Any:
    """The JSON of a reply; ``None`` where it has no content.

    Raises:
        NetworkError: it holds something else, such as a captive portal's page.
    """
    if response.status == 204:
        return None
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.loads(response.body)
        except ValueError:
            pass
    raise NetworkError("something else than the server answered: no JSON")


def _failure(response: Response, now: datetime) -> Outcome:
    status = response.status
    code, detail = problem(response)
    if status == 401:
        return Outcome(Kind.NEEDS_AUTH, detail or "sign in again to go on syncing")
    if status in (429, 503):
        words = detail or f"the server is busy (status {status})"
        return Outcome(Kind.BUSY, words, code, wait_asked(response, now))
    if 400 <= status < 500 and status not in _TRANSIENT:
        words = detail or f"the server refuses it (status {status})"
        return Outcome(Kind.REFUSED, words, code or f"http_{status}")
    return Outcome(Kind.TRANSIENT, f"the server failed (status {status}); trying again")


def _success(request: Request, response: Response) -> Outcome:
    # Most redirects turn a POST into a GET: a list at 200 then says nothing of the write.
    if request.method != "GET" and response.status == 200 and _was_redirected(request, response):
        words = f"the server leads {request.method} to {urlsplit(response.url).path}; trying again"
        return Outcome(Kind.TRANSIENT, words)
    try:
        read_json(response)
    except NetworkError as error:
        return Outcome(Kind.TRANSIENT, f"{error}; trying again")
    return Outcome(Kind.OK)


def _was_redirected(request: Request, response: Response) -> bool:
    return bool(response.url) and _place(request.url) != _place(response.url)


def _place(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return unquote(parts.path), unquote(parts.query)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port
