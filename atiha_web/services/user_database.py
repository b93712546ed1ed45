"""The seed's ``UserDatabase``: accounts, over ``/api/users`` and ``/api/sessions``."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from urllib.parse import quote

from pydantic import ValidationError

from atiha_web.backends.base import Request, Response, Transport
from atiha_web.errors import NetworkError, PendingOperationsError, ProblemError
from atiha_web.models import User
from atiha_web.sync.outcomes import problem
from atiha_web.sync.protocol import HEADER

Pending = Literal["drain", "keep", "discard"]


class AccountApi:
    """Requests to the account routes; the one place that knows their form."""

    def __init__(
        self, transport: Transport, base_url: str, headers: Callable[[], dict[str, str]]
    ) -> None:
        self._transport = transport
        self._base_url = base_url
        self._headers = headers

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """Send one request; returns the JSON of the reply, ``None`` for 204.

        Raises:
            ProblemError: the server refused; ``code`` says why.
            TransportError: no usable answer.
        """
        headers = {"accept": "application/json", **self._headers()}
        content = None
        if body is not None:
            headers["content-type"] = "application/json"
            content = json.dumps(body).encode()
        request = Request(method, self._base_url + path, headers, content)
        return _read(await self._transport.request(request))

    @property
    def session_kind(self) -> str:
        """``cookie`` where the platform keeps cookies, else ``token``."""
        return "cookie" if self._transport.keeps_cookies else "token"


def _read(response: Response) -> Any:
    if HEADER not in response.headers:
        raise NetworkError(
            f"something else than the server answered (status {response.status}); try again later"
        )
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
    """Register, log in and out, look up. Online only; passwords are never stored locally."""

    def __init__(
        self,
        api: AccountApi,
        *,
        sign_in: Callable[[str, str | None], Awaitable[None]],
        sign_out: Callable[[Pending], Awaitable[None]],
        pending: Callable[[], Awaitable[int]],
    ) -> None:
        self._api = api
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

    async def get_user(self, user_id: str) -> User:
        """One account; one's own, or any for an admin.

        Raises:
            ProblemError: not allowed, or not there.
        """
        return _user(await self._api.call("GET", f"/api/users/{quote(user_id, safe='')}"))

    async def find_user_by_email(self, email: str) -> User | None:
        """The account with this address: one's own, or any for an admin."""
        found = await self._api.call("GET", f"/api/users?email={quote(email, safe='')}")
        users = found.get("users", [])
        return _user(users[0]) if users else None

    async def list_users(self) -> list[User]:
        """Every account; for admins."""
        return [_user(item) for item in (await self._api.call("GET", "/api/users"))["users"]]

    async def _enter(self, path: str, body: dict[str, str]) -> User:
        answer = await self._api.call("POST", path, {**body, "session": self._api.session_kind})
        user = _user(answer.get("user"))
        await self._sign_in(user.id, answer.get("token"))
        return user


def _user(raw: object) -> User:
    try:
        return User.model_validate(raw)
    except ValidationError as error:
        raise NetworkError("the server's answer cannot be read; try again") from error
