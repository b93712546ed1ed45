"""One plain REST resource per collection: ``/api/users/{id}/watch-history`` and the like."""

from __future__ import annotations

import secrets
from types import GenericAlias
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, create_model

from atiha_web.collections import Collection
from atiha_web.server.auth import Authenticate
from atiha_web.server.bodies import read_object
from atiha_web.server.decisions import Registry
from atiha_web.server.problems import ProblemRoute
from atiha_web.server.push import delete_record, put_record
from atiha_web.server.routes.parameters import (
    USUAL_REFUSALS,
    Clock,
    UserId,
    json_body,
    owner_only,
    problem_document,
)
from atiha_web.server.rows import Row, RowSource
from atiha_web.sync.operation import dump_json

MAX_ROWS = 10_000

Limit = Annotated[int, Query(ge=1, le=MAX_ROWS, description="At most this many, newest first")]


def lists_router(
    source: RowSource, authenticate: Authenticate, collections: Registry, clock: Clock
) -> APIRouter:
    """The routes of every collection that is a list, without prefix."""
    # These routes write operations as a device does, under a writer of their own.
    writer = secrets.token_hex(6)
    routes = APIRouter(
        route_class=ProblemRoute,
        dependencies=[Depends(owner_only(authenticate))],
        responses=USUAL_REFUSALS,
    )
    for collection in collections.values():
        if collection.single:
            # What a user has one of is part of the account's own route.
            continue
        _add(routes, source, collection, writer, clock)
    return routes


def _add(
    routes: APIRouter, source: RowSource, collection: Collection, writer: str, clock: Clock
) -> None:
    path, name = f"/users/{{user_id}}/{collection.slug}", collection.slug
    model = collection.model

    async def read(user_id: UserId, limit: Limit = MAX_ROWS) -> Response:
        rows = await source.rows.list(user_id, collection.name, limit)
        found = [_as_json(collection, user_id, row) for row in rows]
        return _json({collection.rows_name: found})

    async def put(request: Request, user_id: UserId) -> Response:
        data = await read_object(request)
        row = await put_record(source.rows, collection, user_id, data, writer, clock())
        return _json(_as_json(collection, user_id, row))

    key = Annotated[str, Query(alias=collection.key_alias)]

    async def delete(user_id: UserId, key: str) -> Response:
        await delete_record(source.rows, collection, user_id, key, writer, clock())
        return Response(status_code=204)

    delete.__annotations__["key"] = key
    invalid: dict[int | str, dict[str, Any]] = {422: problem_document("It does not fit the model")}
    routes.add_api_route(
        path,
        read,
        methods=["GET"],
        tags=[name],
        summary=f"Read the {name}",
        responses={200: {"model": _list_model(collection)}},
    )
    routes.add_api_route(
        path,
        put,
        methods=["POST"],
        tags=[name],
        summary=f"Add to the {name}, or replace the entry with the same {collection.key_alias}",
        responses={200: {"model": model}, **invalid},
        openapi_extra=json_body({"$ref": f"#/components/schemas/{model.__name__}"}),
    )
    routes.add_api_route(
        path,
        delete,
        methods=["DELETE"],
        tags=[name],
        summary=f"Remove from the {name}; what is not there stays so",
        status_code=204,
        responses=invalid,
    )


def _list_model(collection: Collection) -> type[BaseModel]:
    rows = GenericAlias(list, (collection.model,))
    fields: dict[str, Any] = {collection.rows_name: (rows, ...)}
    return create_model(f"{collection.model.__name__}List", **fields)


def _as_json(collection: Collection, user_id: str, row: Row) -> dict[str, Any]:
    return collection.row(user_id, row.key, collection.current(row.state, row.schema))


def _json(value: object) -> Response:
    return Response(dump_json(value), media_type="application/json")
