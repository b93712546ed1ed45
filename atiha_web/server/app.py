"""Put the API together: an app of its own, or a router for somebody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from atiha_web.collections import BUILT_IN, Collection, Registry
from atiha_web.server import problems
from atiha_web.server.accounts import Accounts
from atiha_web.server.auth import Authenticate
from atiha_web.server.database import Database
from atiha_web.server.desk import Desk
from atiha_web.server.errors import ServerError
from atiha_web.server.routes.accounts import accounts_router
from atiha_web.server.routes.docs import add_docs
from atiha_web.server.routes.health import health_router
from atiha_web.server.routes.lists import lists_router
from atiha_web.server.routes.own_account import own_account_router
from atiha_web.server.routes.parameters import Clock, wall_clock
from atiha_web.server.routes.sync import sync_router
from atiha_web.server.rows import RowSource

PREFIX = "/api"


def router(
    source: RowSource,
    *,
    authenticate: Authenticate,
    collections: Iterable[Collection] = BUILT_IN,
    clock: Clock = wall_clock,
    poll_after: float | None = None,
) -> APIRouter:
    """The sync route and each collection's REST routes, for any FastAPI app.

    ``authenticate`` tells who sends a request (``None``: nobody); ids in paths are compared with
    its answer. ``source`` is a ``Database``, open while the app runs. ``poll_after`` asks clients
    that have nothing to send to come again after so many seconds, 1 to 900; without it each client
    follows its own interval.

    Raises:
        ServerError: ``poll_after`` is out of bounds.
    """
    if poll_after is not None and not 1 <= poll_after <= 900:
        raise ServerError(f"poll_after is 1 to 900 seconds, not {poll_after!r}")
    registry = Registry(collections)
    routes = APIRouter(prefix=PREFIX)
    routes.include_router(sync_router(source, authenticate, registry, clock, poll_after))
    routes.include_router(lists_router(source, authenticate, registry, clock))
    return routes


def create_app(
    database_url: str,
    *,
    collections: Iterable[Collection] = BUILT_IN,
    poll_after: float | None = None,
) -> FastAPI:
    """The whole API with accounts; it migrates the database and connects when it starts.

    Static files may be mounted on it afterwards. See ``router`` for ``poll_after``.
    """
    declared = tuple(collections)
    database = Database(database_url, declared, registered_only=True)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with database:
            yield

    app = FastAPI(
        title="atiha-web",
        description="A user's data, in the browser and in PostgreSQL.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    problems.install(app)
    desk = Desk(Accounts(database))
    own_account = own_account_router(desk, database, Registry(declared), wall_clock)
    app.include_router(health_router(database))
    app.include_router(accounts_router(desk), prefix=PREFIX)
    app.include_router(own_account, prefix=PREFIX)
    routes = router(database, authenticate=desk.caller, collections=declared, poll_after=poll_after)
    app.include_router(routes)
    add_docs(app)
    return app
