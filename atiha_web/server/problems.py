"""Problem responses (RFC 9457), and the headers that every reply of this API carries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

import asyncpg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from atiha_web.errors import InvalidDataError
from atiha_web.server.rows import BusyError, UnknownUserError
from atiha_web.sync.outcomes import HEADER
from atiha_web.sync.protocol import PROTOCOL

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2
HEADERS = {HEADER: str(PROTOCOL), "Cache-Control": "no-store"}

_ADVICE = {
    404: "There is nothing at this address; see /docs for the addresses there are.",
    405: "This address does not take this method; see /docs.",
}


class ProblemDocument(BaseModel):
    """What every error reply looks like; ``code`` is for programs, ``detail`` for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str


class Problem(Exception):  # noqa: N818 - the RFC's word for it
    """A refusal. ``code`` is for programs, ``detail`` tells people what to do."""

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The reply (``application/problem+json``)."""
        document = ProblemDocument(
            type=f"urn:atiha:problem:{self.code}",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            code=self.code,
            detail=self.detail,
        )
        return JSONResponse(
            document.model_dump(),
            self.status,
            {**self.headers, **HEADERS},
            "application/problem+json",
        )


class ProblemRoute(APIRoute):
    """A route whose refusals are problems and whose replies carry our headers, in any app."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, wrapped."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                response = await handle(request)
            except Exception as error:
                problem = problem_of(error)
                if problem is None:
                    raise
                return problem.response()
            response.headers.update(HEADERS)
            return response

        return handler


def problem_of(error: Exception) -> Problem | None:
    """The problem an exception amounts to; ``None`` for one that nobody foresaw."""
    retry = {"Retry-After": str(RETRY_SECONDS)}
    problem = None
    match error:
        case Problem():
            problem = error
        case RequestValidationError():
            problem = Problem(422, "invalid", _describe(error))
        case InvalidDataError():
            problem = Problem(422, "invalid", str(error))
        case HTTPException():
            problem = _of_framework(error)
        case UnknownUserError():
            problem = Problem(404, "no_account", "There is no such account any more.")
        case BusyError():
            problem = Problem(503, "busy", str(error), retry)
        case asyncpg.LockNotAvailableError():
            problem = Problem(503, "busy", "Another device is writing; try again.", retry)
        case OSError() | asyncpg.PostgresConnectionError() | asyncpg.InterfaceError():
            logger.warning("the database does not answer: %s", error)
            advice = "The database does not answer; try again in a moment."
            problem = Problem(503, "database_unavailable", advice, retry)
    return problem


def _of_framework(error: HTTPException) -> Problem:
    detail = _ADVICE.get(error.status_code, str(error.detail))
    code = HTTPStatus(error.status_code).name.lower()
    return Problem(error.status_code, code, detail, error.headers)


def _describe(error: RequestValidationError) -> str:
    """Each wrong part of a request; never the input itself, which may be a password."""
    parts = []
    for item in error.errors():
        place = ".".join(str(step) for step in item["loc"])
        parts.append(f"{place}: {item['msg']}")
    return "; ".join(parts)


def install(app: FastAPI) -> None:
    """Answer what happens outside of our routes (404, 405, a bug) with problems too."""

    async def refuse(_request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        if problem is None:
            problem = Problem(
                500, "internal_error", "The server made a mistake; its log has the details."
            )
        return problem.response()

    for kind in (HTTPException, RequestValidationError, Problem, Exception):
        app.add_exception_handler(kind, refuse)
