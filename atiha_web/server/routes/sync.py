"""``POST /api/users/{id}/sync``: one round trip for both directions."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from atiha_web.server.auth import Authenticate
from atiha_web.server.bodies import parse, read_body
from atiha_web.server.decisions import Registry
from atiha_web.server.problems import Problem, ProblemRoute
from atiha_web.server.push import synchronise
from atiha_web.server.routes.parameters import (
    USUAL_REFUSALS,
    Clock,
    UserId,
    json_body,
    owner_only,
    problem_document,
)
from atiha_web.server.rows import RowSource
from atiha_web.sync.protocol import (
    MAX_BATCH_BYTES,
    MAX_BATCH_OPERATIONS,
    PROTOCOL,
    SyncReply,
    SyncRequest,
)

# A batch is measured without what surrounds it.
_ENVELOPE_BYTES = 4 * 1024

_RESPONSES: dict[int | str, dict[str, Any]] = {
    **USUAL_REFUSALS,
    200: {"model": SyncReply},
    413: problem_document("Too many operations or bytes at once"),
    426: problem_document("The protocol number is not supported"),
    503: problem_document("Busy; see Retry-After"),
}


def sync_router(
    source: RowSource,
    authenticate: Authenticate,
    collections: Registry,
    clock: Clock,
    poll_after: float | None = None,
) -> APIRouter:
    """The sync route alone, without prefix; see ``router`` for ``poll_after``."""
    routes = APIRouter(route_class=ProblemRoute, tags=["sync"])

    @routes.post(
        "/users/{user_id}/sync",
        summary="Send operations, receive changes",
        dependencies=[Depends(owner_only(authenticate))],
        responses=_RESPONSES,
        openapi_extra=json_body(SyncRequest.model_json_schema()),
    )
    async def sync(request: Request, user_id: UserId) -> Response:
        asked = await _read(request)
        reply = await synchronise(source.rows, collections, user_id, asked, clock())
        told = reply.model_copy(update={"poll_after": poll_after})
        return Response(told.to_json(), media_type="application/json")

    return routes


class _Numbered(BaseModel):
    """What a request of any protocol has."""

    protocol: int


async def _read(request: Request) -> SyncRequest:
    body = await read_body(request, MAX_BATCH_BYTES + _ENVELOPE_BYTES)
    try:
        asked = parse(body, SyncRequest)
    except Problem as problem:
        # A later protocol may have another shape; its number is what is wrong with it then.
        _check_protocol(parse(body, _Numbered).protocol)
        raise problem from None
    _check_protocol(asked.protocol)
    if len(asked.operations) > MAX_BATCH_OPERATIONS:
        raise Problem(
            413,
            "too_large",
            f"{len(asked.operations)} operations at once; send at most {MAX_BATCH_OPERATIONS}.",
        )
    return asked


def _check_protocol(number: int) -> None:
    if number != PROTOCOL:
        raise Problem(
            426,
            "unsupported_protocol",
            f"This server speaks protocol {PROTOCOL}, not {number}: update the older end.",
        )
