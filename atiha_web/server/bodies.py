"""Read request bodies: bounded, JSON, and never a crash on what somebody sends."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from atiha_web.collections import describe
from atiha_web.server.problems import Problem

MAX_BODY_BYTES = 64 * 1024

ModelT = TypeVar("ModelT", bound=BaseModel)


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """The body, at most ``limit`` bytes of JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "not_json", "Send JSON, with Content-Type: application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Problem(
                413, "too_large", f"The body is larger than {limit:,} bytes; send less at a time."
            )
    return bytes(body)


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object."""
    body = await read_body(request)
    try:
        found = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, "malformed_json", f"The body is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise Problem(422, "invalid", "The body must be a JSON object.")
    return found


async def read_model(request: Request, model: type[ModelT]) -> ModelT:
    """The body as an instance of ``model``."""
    return parse(await read_body(request), model)


def parse(body: bytes, model: type[ModelT]) -> ModelT:
    """An instance of ``model`` from JSON."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        if first["type"] == "json_invalid":
            raise Problem(
                400, "malformed_json", f"The body is not JSON: {first['msg']}."
            ) from error
        raise Problem(422, "invalid", describe(error)) from error
