"""Who asks: bearer tokens, the session cookie, and where a cookie's request may come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from fastapi import Request, Response

from atiha_web.server.problems import Problem

COOKIE = "__Host-atiha"

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


def set_cookie(response: Response, token: str, seconds: int) -> None:
    """Hand the token to the browser, out of reach of scripts."""
    response.set_cookie(
        COOKIE, token, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax"
    )


def delete_cookie(response: Response) -> None:
    """Have the browser forget it."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
