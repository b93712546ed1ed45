"""Who asks: bearer tokens, the session cookie, and where a cookie's request may come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from fastapi import Request, Response

from atiha_web.server.problems import Problem

COOKIE = "__Host-atiha"
LOOPBACK_COOKIE = "atiha-loopback"
"""Takes its place where a page came from this very machine without TLS: WebKit keeps no Secure
cookie there. Nothing of such a page travels over a network."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    user_id: str
    role: Literal["user", "admin"] = "user"


Authenticate = Callable[[Request], Awaitable[Caller | None]]
"""Tells who asks: ``None`` for nobody. It may raise ``Problem`` to refuse in its own words."""


def token_of(request: Request) -> str | None:
    """The token a request carries. One in a cookie counts only from a page of this origin."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None
    cookie = request.cookies.get(COOKIE)
    if cookie is None and _is_on_loopback(request):
        # Only where the guarded one is not there: a proxy that hides the host from us must not
        # let a neighbouring subdomain replace it.
        cookie = request.cookies.get(LOOPBACK_COOKIE)
    if cookie and request.method not in _SAFE_METHODS and not is_same_origin(request):
        raise Problem(
            403,
            "cross_origin",
            "A request with the session cookie must come from a page of this origin; "
            "programs send a bearer token instead.",
        )
    return cookie


def is_same_origin(request: Request) -> bool:
    """Whether a browser says that one of our own pages sent this."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if origin is None:
        return site == "same-origin"
    # The scheme is left out: behind a proxy that ends TLS we do not know our own. The cookie is
    # Secure and SameSite, so a page of the same host without TLS cannot send it.
    host = origin.partition("://")[2]
    return host == request.headers.get("host") and site in {None, "same-origin"}


def refuse_foreign_page(request: Request) -> None:
    """Refuse a browser's request from another origin; for routes that set a cookie."""
    if request.headers.get("origin") is not None and not is_same_origin(request):
        raise Problem(403, "cross_origin", "Sign in from a page of this origin.")


def require(caller: Caller | None) -> Caller:
    """Refuse nobody."""
    if caller is None:
        raise Problem(
            401,
            "not_signed_in",
            "Sign in with POST /api/sessions, then send the token or the cookie.",
            {"WWW-Authenticate": "Bearer"},
        )
    return caller


def require_owner(caller: Caller | None, user_id: str) -> Caller:
    """Refuse everybody but the user whose data it is; the same whether or not that one exists."""
    caller = require(caller)
    if caller.user_id != user_id:
        raise Problem(403, "not_yours", "This belongs to another user; use your own id.")
    return caller


def set_cookie(request: Request, response: Response, token: str, seconds: int) -> None:
    """Hand the token to the browser, out of reach of scripts."""
    # That nobody ended TLS before us is the browser's own word: a proxy may replace the host.
    open_page = request.headers.get("origin") == f"http://{request.headers.get('host')}"
    secure = not (open_page and _is_on_loopback(request))
    if not secure:
        response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    response.set_cookie(
        COOKIE if secure else LOOPBACK_COOKIE,
        token,
        max_age=seconds,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def delete_cookie(request: Request, response: Response) -> None:
    """Have the browser forget it."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    if _is_on_loopback(request):
        response.delete_cookie(LOOPBACK_COOKIE, path="/", httponly=True, samesite="lax")


def _is_on_loopback(request: Request) -> bool:
    """Whether this came without TLS to an address that no other machine reaches."""
    if request.url.scheme != "http":
        return False
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
