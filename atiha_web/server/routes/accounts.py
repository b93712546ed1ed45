"""Accounts and sessions: register, sign in, sign out, and who one is."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from atiha_web.models import User
from atiha_web.server.accounts import TOKEN_LIFE, Accounts, normalise_email
from atiha_web.server.auth import (
    Caller,
    delete_cookie,
    refuse_foreign_page,
    require,
    require_owner,
    set_cookie,
    token_of,
)
from atiha_web.server.bodies import read_model
from atiha_web.server.passwords import MAX_LENGTH, MIN_LENGTH, Passwords
from atiha_web.server.problems import Problem, ProblemDocument, ProblemRoute
from atiha_web.server.routes.parameters import OWNER_ONLY, UserId, json_body
from atiha_web.server.throttle import LoginThrottle
from atiha_web.sync.operation import check_text


def _storable(text: str) -> str:
    check_text(text, "the text")
    return text


Text = Annotated[str, AfterValidator(_storable)]
Email = Annotated[
    Text, AfterValidator(normalise_email), Field(max_length=254, pattern=r"^\s*[^@\s]+@[^@\s]+\s*$")
]


class Credentials(BaseModel):
    """What signs in; ``session`` says whether as a cookie or as a token in the reply."""

    model_config = ConfigDict(hide_input_in_errors=True)

    email: Email
    password: Text
    session: Literal["cookie", "token"] = "cookie"


class Registration(Credentials):
    """A new account; passwords have 8 to 128 characters."""

    name: Annotated[Text, Field(max_length=200)] = ""


class SignedIn(BaseModel):
    """The account, and the token where one was asked for."""

    user: User
    token: str | None = None


class UserList(BaseModel):
    """Accounts, in order of id."""

    users: list[User]


def _problem(description: str) -> dict[str, Any]:
    return {"model": ProblemDocument, "description": description}


class _Desk:
    """What the routes share."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.passwords = Passwords()
        self.throttle = LoginThrottle(time.monotonic)

    async def caller(self, request: Request) -> Caller | None:
        """Whose token or cookie the request carries."""
        token = token_of(request)
        return None if token is None else await self.accounts.resolve(token)

    async def register(self, asked: Registration) -> User:
        _check_length(asked.password)
        hashed = await self.passwords.hash(asked.password)
        user = await self.accounts.create(asked.email, asked.name, hashed)
        if user is None:
            raise Problem(
                409, "email_taken", "There is an account with this e-mail address; sign in."
            )
        return user

    async def check(self, asked: Credentials, address: str) -> User:
        """The account these credentials open."""
        wait = self.throttle.begin(asked.email, address)
        if wait:
            raise Problem(
                429,
                "too_many_attempts",
                f"Too many failed attempts; try again in {wait} seconds.",
                {"Retry-After": str(wait)},
            )
        hashed = await self.accounts.password_hash(asked.email)
        fits = await self.passwords.verify(asked.password[: MAX_LENGTH + 1], hashed)
        user = await self.accounts.find(asked.email) if fits else None
        if user is None:
            raise Problem(401, "wrong_credentials", "The e-mail address or the password is wrong.")
        self.throttle.succeed(asked.email, address)
        return user

    async def signed_in(self, user: User, asked: Credentials, status: int) -> Response:
        token = await self.accounts.issue_token(user.id)
        in_body = asked.session == "token"
        reply = _json(SignedIn(user=user, token=token if in_body else None), status)
        if not in_body:
            set_cookie(reply, token, int(TOKEN_LIFE.total_seconds()))
        return reply


def accounts_router(accounts: Accounts) -> tuple[APIRouter, _Desk]:
    """The routes without prefix, and the desk whose ``caller`` tells who asks."""
    desk = _Desk(accounts)
    routes = APIRouter(route_class=ProblemRoute, tags=["accounts"])
    _add_sessions(routes, desk)
    _add_users(routes, desk)
    return routes, desk


def _add_sessions(routes: APIRouter, desk: _Desk) -> None:
    @routes.post(
        "/users",
        summary="Register, and sign in",
        status_code=201,
        responses={
            201: {"model": SignedIn},
            409: _problem("The address has an account"),
            422: _problem("Something is wrong with what was sent"),
        },
        openapi_extra=json_body(Registration.model_json_schema()),
    )
    async def register(request: Request) -> Response:
        refuse_foreign_page(request)
        asked = await read_model(request, Registration)
        return await desk.signed_in(await desk.register(asked), asked, 201)

    @routes.post(
        "/sessions",
        summary="Sign in",
        responses={
            200: {"model": SignedIn},
            401: _problem("Wrong address or password"),
            429: _problem("Too many failures; see Retry-After"),
        },
        openapi_extra=json_body(Credentials.model_json_schema()),
    )
    async def sign_in(request: Request) -> Response:
        refuse_foreign_page(request)
        asked = await read_model(request, Credentials)
        address = request.client.host if request.client else ""
        return await desk.signed_in(await desk.check(asked, address), asked, 200)

    @routes.delete(
        "/sessions/current",
        summary="Sign out",
        status_code=204,
        responses={401: OWNER_ONLY[401]},
    )
    async def sign_out(request: Request) -> Response:
        require(await desk.caller(request))
        await desk.accounts.revoke(token_of(request) or "")
        reply = Response(status_code=204)
        delete_cookie(reply)
        return reply


def _add_users(routes: APIRouter, desk: _Desk) -> None:
    @routes.get(
        "/users/{user_id}",
        summary="Read one's own account, or any as an administrator",
        responses={200: {"model": User}, **OWNER_ONLY},
    )
    async def read(request: Request, user_id: UserId) -> Response:
        caller = require(await desk.caller(request))
        if caller.role != "admin":
            require_owner(caller, user_id)
        user = await desk.accounts.get(user_id)
        if user is None:
            raise Problem(404, "not_found", "There is no such account.")
        return _json(user)

    @routes.get(
        "/users",
        summary="List accounts (admin), or find one's own by e-mail address",
        responses={200: {"model": UserList}, **OWNER_ONLY},
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
        user = await desk.accounts.find(normalise_email(_storable(email)))
        if user is None or user.id != caller.user_id:
            _require_admin(caller)
        return _json(UserList(users=[user] if user else []))


def _require_admin(caller: Caller) -> None:
    if caller.role != "admin":
        raise Problem(403, "not_yours", "Only an administrator may see other accounts.")


def _check_length(password: str) -> None:
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise Problem(
            422,
            "weak_password",
            f"Choose a password of {MIN_LENGTH} to {MAX_LENGTH} characters.",
        )


def _json(model: BaseModel, status: int = 200) -> Response:
    body = model.model_dump_json(by_alias=True, exclude_none=True)
    return Response(body, status, media_type="application/json")
