"""The seed's ``UserDatabase``: accounts, over ``/api/users`` and ``/api/sessions``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from urllib.parse import quote

from pydantic import ValidationError

from atiha_web.backends.base import Request, Response, Transport
from atiha_web.errors import (
    InvalidDataError,
    NetworkError,
    PendingOperationsError,
    ProblemError,
    TransportError,
    WrongUserError,
)
from atiha_web.models import User, UserAccount
from atiha_web.services.account_cache import AccountCache
from atiha_web.sync.outcomes import HEADER, problem
from atiha_web.sync.rest_outcomes import is_elsewhere
from atiha_web.sync.synchronizer import Synchronizer

Pending = Literal["drain", "keep", "discard"]

TIMEOUT = 10.0
EXPORT_TIMEOUT = 120.0
LIST_PAGE = 1000


class AccountApi:
    """Requests to the account routes; the one place that knows their form.

    ``ours`` tells that the server is this package's, whose replies carry our header.
    """

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        headers: Callable[[], dict[str, str]],
        *,
        ours: bool = True,
    ) -> None:
        self._transport = transport
        self._base_url = base_url
        self._headers = headers
        self._ours = ours

    async def call(
        self, method: str, path: str, body: object = None, seconds: float = TIMEOUT
    ) -> Any:
        """Send one request, with ``seconds`` to answer; returns the reply's JSON, ``None`` for 204.

        Raises:
            ProblemError: the server refused; ``code`` says why.
            TransportError: no usable answer.
        """
        headers = {"accept": "application/json", **self._headers()}
        content = None
        if body is not None:
            headers["content-type"] = "application/json"
            content = json.dumps(body).encode()
        request = Request(method, self._base_url + path, headers, content, seconds)
        response = await self._transport.request(request)
        if HEADER in response.headers if self._ours else not is_elsewhere(request, response):
            return _read(response)
        raise NetworkError(
            f"something else than the server answered (status {response.status}); try again later"
        )

    @property
    def session_kind(self) -> str:
        """``cookie`` where the platform keeps cookies, else ``token``."""
        return "cookie" if self._transport.keeps_cookies else "token"


def _read(response: Response) -> Any:
    if response.status == 204:
        return None
    if response.status >= 400:
        code, detail = problem(response)
        raise ProblemError(
            detail or f"the server refused ({response.status})", response.status, code
        )
    try:
        return json.loads(response.body)
    except ValueError as error:
        raise NetworkError("the server's answer cannot be read; try again") from error


class UserDatabase:
    """Register, log in and out, look up, change, delete. Passwords are never stored locally.

    Online only, save for reading the signed-in user's own account.
    """

    def __init__(
        self,
        api: AccountApi,
        *,
        sign_in: Callable[[str, str | None], Awaitable[None]],
        sign_out: Callable[[Pending], Awaitable[None]],
        pending: Callable[[], Awaitable[int]],
        current: Callable[[], Synchronizer | None],
        cache: AccountCache,
    ) -> None:
        self._api = api
        self._current = current
        self._cache = cache
        self._sign_in = sign_in
        self._sign_out = sign_out
        self._pending = pending

    async def register_user(self, *, email: str, password: str, name: str) -> User:
        """Make an account and sign in.

        Raises:
            ProblemError: ``email_taken``, ``weak_password`` or ``invalid``.
            TransportError: the server cannot be reached; making an account needs it.
        """
        body = {"email": email, "password": password, "name": name}
        return await self._enter("/api/users", body)

    async def login(self, *, email: str, password: str) -> User:
        """Sign in; this user's data opens at once and syncs in the background.

        Raises:
            ProblemError: ``wrong_credentials`` or too many tries.
            TransportError: the server cannot be reached.
        """
        return await self._enter("/api/sessions", {"email": email, "password": password})

    async def logout(self, *, pending: Pending = "drain") -> None:
        """Sign out and remove what this device shows of the user.

        Changes not yet on the server: ``drain`` sends them first, ``keep`` leaves them for the
        next sign-in on this device, ``discard`` gives them up.

        Raises:
            PendingOperationsError: with ``drain``, when some could not be sent; still signed in.
        """
        if pending == "drain":
            left = await self._pending()
            if left:
                raise PendingOperationsError(
                    f"{left} changes have not reached the server; "
                    "sign out with pending='keep' or pending='discard', or try again online",
                    left,
                )
        await self._sign_out(pending)

    async def get_user(self, user_id: str) -> UserAccount:
        """One account with its profile: one's own, or any for an admin.

        Where the server cannot be reached, one's own is what it last said on this device.

        Raises:
            ProblemError: not allowed, or not there.
            TransportError: the server cannot be reached, and the account is not known here.
        """
        try:
            return await self._answered(await self._api.call("GET", _path(user_id)))
        except TransportError as error:
            refused = isinstance(error, ProblemError) and error.status < 500
            if refused or user_id != self._current_id():
                raise
            known = await self._cache.get(user_id)
            if known is None:
                raise
            return known

    async def find_user_by_email(self, email: str) -> User | None:
        """The account with this address: one's own, or any for an admin.

        Raises:
            ProblemError: ``not_yours``, whether or not there is another user with this address.
        """
        found = await self._api.call("GET", f"/api/users?email={quote(email, safe='')}")
        users = found.get("users", [])
        return _user(users[0]) if users else None

    async def list_users(self, *, after: str = "", limit: int | None = None) -> list[User]:
        """Accounts in order of id, those after the id ``after``; all unless limited. For admins.

        Raises:
            ProblemError: ``not_yours`` for everybody else.
        """
        users: list[User] = []
        while limit is None or len(users) < limit:
            size = LIST_PAGE if limit is None else min(LIST_PAGE, limit - len(users))
            path = f"/api/users?after={quote(after, safe='')}&limit={size}"
            page = [_user(item) for item in (await self._api.call("GET", path))["users"]]
            users += page
            if len(page) < size:
                break
            after = page[-1].id
        return users

    async def update_user(
        self, user_id: str, *, name: str | None = None, email: str | None = None
    ) -> UserAccount:
        """Change the account's name, its e-mail address, or both.

        Raises:
            InvalidDataError: neither was named.
            ProblemError: ``email_taken`` or ``invalid``; nothing was changed.
        """
        changes = {"name": name, "email": email}
        body = {field: value for field, value in changes.items() if value is not None}
        if not body:
            raise InvalidDataError("name what to change: name=, email= or both")
        return await self._answered(await self._api.call("PATCH", _path(user_id), body))

    async def change_password(self, user_id: str, *, current: str, new: str) -> None:
        """Choose another password; every other session of the account ends.

        Raises:
            ProblemError: ``wrong_password``, ``weak_password`` or ``too_many_attempts``;
                nothing was changed.
        """
        body = {"password": new, "currentPassword": current}
        await self._answered(await self._api.call("PATCH", _path(user_id), body))

    async def delete_user(self, user_id: str, *, password: str, discard: bool = False) -> None:
        """Delete the signed-in user's account with everything kept of it, here and on the server.

        Then nobody is signed in. Other devices are asked to sign in again, and keep what they
        have until somebody discards it there. Where no answer comes, the account may be gone all
        the same: the next call says ``not_signed_in`` then, and ``logout(pending="discard")``
        clears this device.

        Raises:
            PendingOperationsError: some changes never reached the server; ``discard`` gives them
                up, and ``client.export()`` shows them. Nothing was changed.
            ProblemError: ``wrong_password`` or ``too_many_attempts``; nothing was changed.
            WrongUserError: another user is signed in, or nobody.
        """
        current = self._current()
        if current is None or current.user_id != user_id:
            raise WrongUserError(f"sign in as {user_id!r} first: one deletes one's own account")
        if not discard:
            _refuse_to_lose(current)
        await self._api.call("DELETE", _path(user_id), {"password": password})
        await self._sign_out("discard")

    async def export(self, user_id: str) -> dict[str, Any]:
        """All the server keeps of a user: ``account``, and ``collections`` of rows by name.

        Raises:
            ProblemError: it is not one's own.
        """
        path = f"{_path(user_id)}/export"
        found = await self._api.call("GET", path, seconds=EXPORT_TIMEOUT)
        return dict(found)

    def _current_id(self) -> str | None:
        current = self._current()
        return None if current is None else current.user_id

    async def _answered(self, raw: object) -> UserAccount:
        user = _user(raw)
        if user.id == self._current_id():
            await self._cache.put(user)
        return user

    async def _enter(self, path: str, body: dict[str, str]) -> User:
        answer = await self._api.call("POST", path, {**body, "session": self._api.session_kind})
        user = answer.get("user")
        await self._sign_in(_user(user).id, answer.get("token"))
        # Where storage was cleared meanwhile nobody is signed in.
        return await self._answered(user)


def _path(user_id: str) -> str:
    return f"/api/users/{quote(user_id, safe='')}"


def _refuse_to_lose(current: Synchronizer) -> None:
    memory = current.engine.local.memory
    refused = [entry.operation for entry in memory.quarantine.values()]
    unsent = Counter(item.collection for item in [*memory.pending.values(), *refused])
    if unsent:
        total = unsent.total()
        names = ", ".join(f"{name}: {number}" for name, number in sorted(unsent.items()))
        raise PendingOperationsError(
            f"{total} changes are only on this device ({names}); "
            "sync them, save client.export(), or delete with discard=True",
            total,
        )


def _user(raw: object) -> UserAccount:
    try:
        return UserAccount.model_validate(raw)
    except ValidationError as error:
        raise NetworkError("the server's answer cannot be read; try again") from error
