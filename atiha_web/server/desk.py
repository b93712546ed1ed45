"""What the account routes share: who asks, and the checks of names, addresses and passwords."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Request
from pydantic import AfterValidator, Field

from atiha_web.models import User
from atiha_web.server.accounts import Accounts, normalise_email
from atiha_web.server.auth import Caller, token_of
from atiha_web.server.passwords import MAX_LENGTH, MIN_LENGTH, Passwords
from atiha_web.server.problems import Problem
from atiha_web.server.throttle import LoginThrottle
from atiha_web.sync.operation import check_text


def storable(text: str) -> str:
    """The text, unless PostgreSQL cannot hold it."""
    check_text(text, "the text")
    return text


Text = Annotated[str, AfterValidator(storable)]
Name = Annotated[Text, Field(max_length=200)]
Email = Annotated[
    Text, AfterValidator(normalise_email), Field(max_length=254, pattern=r"^\s*[^@\s]+@[^@\s]+\s*$")
]


class Desk:
    """Registers people, and finds out who they are."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self._passwords = Passwords()
        self._throttle = LoginThrottle(time.monotonic)

    async def caller(self, request: Request) -> Caller | None:
        """Whose token or cookie the request carries."""
        token = token_of(request)
        return None if token is None else await self.accounts.resolve(token)

    async def register(self, email: str, name: str, password: str) -> User:
        """A new account."""
        user = await self.accounts.create(email, name, await self.hash(password))
        if user is None:
            raise email_taken()
        return user

    async def hash(self, password: str) -> str:
        """What is stored of a password that somebody chose."""
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise Problem(
                422,
                "weak_password",
                f"Choose a password of {MIN_LENGTH} to {MAX_LENGTH} characters.",
            )
        return await self._passwords.hash(password)

    async def check(self, email: str, password: str, request: Request) -> User | None:
        """The account these credentials open; guessing is slowed down."""
        address = request.client.host if request.client else ""
        wait = self._throttle.begin(email, address)
        if wait:
            raise Problem(
                429,
                "too_many_attempts",
                f"Too many failed attempts; try again in {wait} seconds.",
                {"Retry-After": str(wait)},
            )
        hashed = await self.accounts.password_hash(email)
        fits = await self._passwords.verify(password[: MAX_LENGTH + 1], hashed)
        user = await self.accounts.find(email) if fits else None
        if user is not None:
            self._throttle.succeed(email, address)
        return user

    async def confirm(self, user: User, password: str, request: Request) -> None:
        """Refuse whoever is signed in but does not know the account's password."""
        if await self.check(user.email, password, request) is None:
            raise Problem(403, "wrong_password", "The current password is not this one.")

    async def get(self, user_id: str) -> User:
        """The account with this id."""
        user = await self.accounts.get(user_id)
        if user is None:
            raise no_account()
        return user


def email_taken() -> Problem:
    """The refusal of an address that another account has."""
    return Problem(409, "email_taken", "There is an account with this e-mail address; sign in.")


def no_account() -> Problem:
    """The refusal where there is nobody of this id."""
    return Problem(404, "not_found", "There is no such account.")
