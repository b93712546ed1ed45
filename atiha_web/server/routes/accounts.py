"""Accounts and sessions: register, sign in, sign out, find accounts."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from atiha_web.models import User
from atiha_web.server.accounts import TOKEN_LIFE, normalise_email
from atiha_web.server.auth import (
    Caller,
    delete_cookie,
    refuse_foreign_page,
    require,
    set_cookie,
    token_of,
)
from atiha_web.server.bodies import read_model
from atiha_web.server.desk import Desk, Email, Name, Text, storable
from atiha_web.server.problems import Problem, ProblemRoute
from atiha_web.server.routes.parameters import USUAL_REFUSALS, json_body, problem_document


class Credentials(BaseModel):
    """What signs in; ``session`` says whether as a cookie or as a token in the reply."""

    model_config = ConfigDict(hide_input_in_errors=True)

    email: Email
    password: Text
    session: Literal["cookie", "token"] = "cookie"


class Registration(Credentials):
    """A new account; passwords have 8 to 128 characters."""

    name: Name = ""


class SignedIn(BaseModel):
    """The account, and the token where one was asked for."""

    user: User
    token: str | None = None


class UserList(BaseModel):
    """Accounts, in order of id."""

    users: list[User]


def accounts_router(desk: Desk) -> APIRouter:
    """The routes of registering, signing in and out, and finding accounts, without prefix."""
    routes = APIRouter(route_class=ProblemRoute, tags=["accounts"])
    _add_sessions(routes, desk)
    _add_users(routes, desk)
    return routes


async def _signed_in(
    desk: Desk, request: Request, user: User, asked: Credentials, status: int
) -> Response:
    token = await desk.accounts.issue_token(user.id)
    in_body = asked.session == "token"
    reply = _json(SignedIn(user=user, token=token if in_body else None), status)
    if not in_body:
        set_cookie(request, reply, token, int(TOKEN_LIFE.total_seconds()))
    return reply


def _add_sessions(routes: APIRouter, desk: Desk) -> None:
    @routes.post(
        "/users",
        summary="Register, and sign in",
        status_code=201,
        responses={
            201: {"model": SignedIn},
            409: problem_document("The address has an account"),
            422: problem_document("Something is wrong with what was sent"),
        },
        openapi_extra=json_body(Registration.model_json_schema()),
    )
    async def register(request: Request) -> Response:
        refuse_foreign_page(request)
        asked = await read_model(request, Registration)
        user = await desk.register(asked.email, asked.name, asked.password)
        return await _signed_in(desk, request, user, asked, 201)

    @routes.post(
        "/sessions",
        summary="Sign in",
        responses={
            200: {"model": SignedIn},
            401: problem_document("Wrong address or password"),
            429: problem_document("Too many failures; see Retry-After"),
        },
        openapi_extra=json_body(Credentials.model_json_schema()),
    )
    async def sign_in(request: Request) -> Response:
        refuse_foreign_page(request)
        asked = await read_model(request, Credentials)
        user = await desk.check(asked.email, asked.password, request)
        if user is None:
            raise Problem(401, "wrong_credentials", "The e-mail address or the password is wrong.")
        return await _signed_in(desk, request, user, asked, 200)

    @routes.delete(
        "/sessions/current",
        summary="Sign out",
        status_code=204,
        responses={401: USUAL_REFUSALS[401]},
    )
    async def sign_out(request: Request) -> Response:
        require(await desk.caller(request))
        await desk.accounts.revoke(token_of(request) or "")
        reply = Response(status_code=204)
        delete_cookie(request, reply)
        return reply


def _add_users(routes: APIRouter, desk: Desk) -> None:
    @routes.get(
        "/users",
        summary="List accounts (admin), or find one's own by e-mail address",
        responses={200: {"model": UserList}, **USUAL_REFUSALS},
    )
    async def find(
        request: Request,
        email: str | None = None,
        after: Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    ) -> Response:
        caller = require(await desk.caller(request))
        if email is None:
            _require_admin(caller)
            return _json(UserList(users=await desk.accounts.page(after, limit)))
        user = await desk.accounts.find(normalise_email(storable(email)))
        if user is None or user.id != caller.user_id:
            _require_admin(caller)
        return _json(UserList(users=[user] if user else []))


def _require_admin(caller: Caller) -> None:
    if caller.role != "admin":
        raise Problem(403, "not_yours", "Only an administrator may see other accounts.")


def _json(model: BaseModel, status: int = 200) -> Response:
    body = model.model_dump_json(by_alias=True, exclude_none=True)
    return Response(body, status, media_type="application/json")
