"""What several routes take."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Path, Request

from atiha_web.server.auth import Authenticate, require_owner
from atiha_web.server.problems import ProblemDocument

UserId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The caller's own id")]
Clock = Callable[[], int]
"""The time in ms since 1970."""

_PROBLEM = {"application/problem+json": {"schema": ProblemDocument.model_json_schema()}}


def problem_document(description: str) -> dict[str, Any]:
    """OpenAPI's words for a refusal.

    Not as a ``model``: FastAPI would make a validator for each of a hundred, each time it starts.
    """
    return {"content": _PROBLEM, "description": description}


USUAL_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: problem_document("Nobody is signed in"),
    403: problem_document("It belongs to another user"),
    422: problem_document("Something in the address or the body is not valid"),
}


def wall_clock() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


def owner_only(authenticate: Authenticate) -> Callable[[Request, str], Awaitable[None]]:
    """A dependency that lets in only the user named in the path."""

    async def check(request: Request, user_id: UserId) -> None:
        require_owner(await authenticate(request), user_id)

    return check


def json_body(schema: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's words for a JSON body that the route reads itself, within its limits."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
