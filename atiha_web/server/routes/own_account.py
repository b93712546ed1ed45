"""One's own account: read, change, export, delete."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from atiha_web.collections import Collection, Registry
from atiha_web.models import User, UserAccount
from atiha_web.server.accounts import EmailTakenError
from atiha_web.server.auth import delete_cookie, require, require_owner, token_of
from atiha_web.server.bodies import read_model
from atiha_web.server.desk import Desk, Email, Name, Text, email_taken, no_account
from atiha_web.server.export import exported
from atiha_web.server.problems import Problem, ProblemRoute
from atiha_web.server.push import put_record
from atiha_web.server.routes.parameters import (
    USUAL_REFUSALS,
    Clock,
    UserId,
    json_body,
    problem_document,
)
from atiha_web.server.rows import RowSource, RowStore
from atiha_web.sync.operation import dump_json

PROFILE = "profile"
_FILLED_IN = frozenset({"id", "userId", "createdAt", "updatedAt"})


class AccountChanges(BaseModel):
    """What to change of an account; a new password needs the current one. More is the profile's."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow", hide_input_in_errors=True)

    name: Name = ""
    email: Email = ""
    password: Text = ""
    current_password: Text = ""


class Confirmation(BaseModel):
    """The password of whoever asks for something that cannot be undone."""

    model_config = ConfigDict(hide_input_in_errors=True)

    password: Text


class Export(BaseModel):
    """Everything that is kept of a user: the account, and each collection's live rows."""

    account: User
    collections: dict[str, list[dict[str, Any]]]


def own_account_router(
    desk: Desk, source: RowSource, collections: Registry, clock: Clock
) -> APIRouter:
    """The routes, without prefix."""
    routes = APIRouter(route_class=ProblemRoute, tags=["accounts"], responses=USUAL_REFUSALS)
    office = _Office(desk, source, collections, clock)
    _add_reading(routes, desk, office)
    _add_changing(routes, desk, office)
    return routes


class _Office:
    """Accounts together with their records."""

    def __init__(self, desk: Desk, source: RowSource, collections: Registry, clock: Clock) -> None:
        self._desk = desk
        self._source = source
        self._clock = clock
        self._writer = secrets.token_hex(6)
        self._profile: Collection | None = collections.get(PROFILE)
        self.collections = collections

    @property
    def rows(self) -> RowStore:
        return self._source.rows

    async def tell(self, user: User) -> Response:
        """The account with its profile; what the account says counts."""
        account = user.model_dump(mode="json", by_alias=True, exclude_none=True)
        return _json({**await self._profile_of(user.id), **account})

    async def _profile_of(self, user_id: str) -> dict[str, Any]:
        if self._profile is None:
            return {}
        rows = await self.rows.list(user_id, PROFILE, 1)
        if not rows:
            return {}
        state = self._profile.current(rows[0].state, rows[0].schema)
        known = self._profile.row(user_id, rows[0].key, state)
        return {name: value for name, value in known.items() if name not in _FILLED_IN}

    def profile_changes(self, asked: AccountChanges) -> dict[str, Any]:
        """The changed fields of the profile; what is neither its nor the account's is refused."""
        fields = self._profile.model.model_fields if self._profile else {}
        known = {field.alias or name for name, field in fields.items()} - _FILLED_IN
        changes = asked.model_extra or {}
        unknown = sorted(changes.keys() - known)
        if unknown:
            raise Problem(
                422, "invalid", f"{unknown[0][:80]!r} is no field of an account; see /docs."
            )
        if not asked.model_fields_set - {"current_password"} and not changes:
            raise Problem(422, "invalid", "Name at least one field to change.")
        return changes

    async def account_changes(
        self, user: User, asked: AccountChanges, request: Request
    ) -> dict[str, str]:
        changes = asked.model_dump(include={"name", "email"} & asked.model_fields_set)
        if "password" in asked.model_fields_set:
            if not asked.current_password:
                raise Problem(
                    422, "invalid", "currentPassword: a new password needs the current one too."
                )
            hashed = await self._desk.hash(asked.password)
            await self._desk.confirm(user, asked.current_password, request)
            changes["password_hash"] = hashed
        return changes

    async def change(
        self, user: User, account: dict[str, str], profile: Mapping[str, Any], keep: str | None
    ) -> User:
        """Change both or neither."""
        updated = self._desk.accounts.updated(user.id, account, keep)
        try:
            async with updated if account else nullcontext(user) as changed:
                if changed is None:
                    raise no_account()
                if profile and self._profile is not None:
                    data = {**profile, self._profile.key_alias: user.id}
                    now = self._clock()
                    await put_record(self.rows, self._profile, user.id, data, self._writer, now)
        except EmailTakenError as error:
            raise email_taken() from error
        return changed


def _add_reading(routes: APIRouter, desk: Desk, office: _Office) -> None:
    @routes.get(
        "/users/{user_id}",
        summary="Read one's own account and profile, or any as an administrator",
        responses={200: {"model": UserAccount}},
    )
    async def read(request: Request, user_id: UserId) -> Response:
        caller = require(await desk.caller(request))
        if caller.role != "admin":
            require_owner(caller, user_id)
        return await office.tell(await desk.get(user_id))

    @routes.get(
        "/users/{user_id}/export",
        summary="Read everything that is kept of oneself",
        responses={200: {"model": Export}},
    )
    async def export(request: Request, user_id: UserId) -> Response:
        require_owner(await desk.caller(request), user_id)
        texts = exported(await desk.get(user_id), office.rows, office.collections)
        # What can go wrong at the start is a problem reply; later only the connection can tell.
        first = await anext(texts)

        async def body() -> AsyncIterator[str]:
            yield first
            async for text in texts:
                yield text

        name = f'attachment; filename="{user_id}.json"'
        headers = {"Content-Disposition": name}
        return StreamingResponse(body(), headers=headers, media_type="application/json")


def _add_changing(routes: APIRouter, desk: Desk, office: _Office) -> None:
    refusals: dict[int | str, dict[str, Any]] = {
        403: problem_document("It belongs to another user, or the password is wrong"),
        422: problem_document("Something is wrong with what was sent; nothing was changed"),
        429: problem_document("Too many wrong passwords; see Retry-After"),
    }

    @routes.patch(
        "/users/{user_id}",
        summary="Change one's own account and profile, field by field",
        responses={
            200: {"model": UserAccount},
            409: problem_document("Another account has the address"),
            **refusals,
        },
        openapi_extra=json_body(AccountChanges.model_json_schema()),
    )
    async def change(request: Request, user_id: UserId) -> Response:
        require_owner(await desk.caller(request), user_id)
        asked = await read_model(request, AccountChanges)
        profile = office.profile_changes(asked)
        user = await desk.get(user_id)
        account = await office.account_changes(user, asked, request)
        return await office.tell(await office.change(user, account, profile, token_of(request)))

    @routes.delete(
        "/users/{user_id}",
        summary="Delete one's own account and everything that is kept of it",
        status_code=204,
        responses=refusals,
        openapi_extra=json_body(Confirmation.model_json_schema()),
    )
    async def delete(request: Request, user_id: UserId) -> Response:
        require_owner(await desk.caller(request), user_id)
        asked = await read_model(request, Confirmation)
        await desk.confirm(await desk.get(user_id), asked.password, request)
        await desk.accounts.delete(user_id)
        reply = Response(status_code=204)
        delete_cookie(request, reply)
        return reply


def _json(value: object) -> Response:
    return Response(dump_json(value), media_type="application/json")
