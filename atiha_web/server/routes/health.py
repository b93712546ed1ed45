"""Whether the process lives, and whether it can serve."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from atiha_web.server.database import Database
from atiha_web.server.problems import ProblemRoute
from atiha_web.server.routes.parameters import problem_document


class Health(BaseModel):
    """All is well; what is not is a problem."""

    status: str = "ok"


def health_router(database: Database) -> APIRouter:
    """``/healthz`` and ``/readyz``."""
    routes = APIRouter(route_class=ProblemRoute, tags=["health"])

    @routes.get("/healthz", summary="The process answers")
    async def healthz() -> Health:
        return Health()

    @routes.get(
        "/readyz",
        summary="The database answers too",
        responses={503: problem_document("It does not")},
    )
    async def readyz() -> Health:
        await database.ping()
        return Health()

    return routes
