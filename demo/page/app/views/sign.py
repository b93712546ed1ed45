"""Log in and register."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from atiha_web import AtihaError, User

from ..browser import set_attribute, set_shown, set_text
from ..routes import Route
from .view import Handler, Page, View


class Sign(View):
    """The form that both share."""

    template = "view-sign"
    words: ClassVar[Mapping[str, str]]
    other: ClassVar[str]
    password: ClassVar[str]
    new = False

    def __init__(self, page: Page, route: Route) -> None:
        super().__init__(page, route)
        for name, words in self.words.items():
            set_text(self.parts[name], words)
        self.parts["other"].href = self.other
        set_attribute(self.parts["password"], "autocomplete", self.password)
        for name in ("name-field", "hint"):
            set_shown(self.parts[name], self.new)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """See `View.handlers`."""
        return {"sign": self._submit}

    async def _submit(self, _form: Any) -> None:
        if missing := self._missing():
            self._complain(*missing)
            return
        self._wait(True)
        try:
            self.page.welcome(await self._send())
        except AtihaError as error:
            self._complain("email", str(error))
        else:
            self.page.go("#/")
        finally:
            self._wait(False)

    def _entered(self, field: str) -> str:
        text = str(self.parts[field].value)
        return text if field == "password" else text.strip()

    def _missing(self) -> tuple[str, str] | None:
        if self.new and not self._entered("name"):
            return "name", "Please tell us what to call you."
        if "@" not in self._entered("email"):
            return "email", "Please enter your email address."
        if len(self._entered("password")) < (8 if self.new else 1):
            return "password", "The password needs at least 8 characters."
        return None

    async def _send(self) -> User:
        raise NotImplementedError

    def _complain(self, field: str, words: str) -> None:
        for name in ("name", "email", "password"):
            self.parts[name].removeAttribute("aria-invalid")
        self.parts[field].setAttribute("aria-invalid", "true")
        set_shown(self.parts["alert"], True)
        set_text(self.parts["alert"], words)
        self.parts[field].focus()

    def _wait(self, waiting: bool) -> None:
        self.parts["submit"].disabled = waiting
        set_attribute(self.parts["submit"], "aria-busy", "true" if waiting else "false")


class Login(Sign):
    """For those who have an account."""

    title = "Log in · Atiha"
    words: ClassVar[Mapping[str, str]] = {
        "title": "Welcome back",
        "submit": "Log in",
        "other-words": "New here?",
        "other": "Join free",
    }
    other = "#/register"
    password = "current-password"  # noqa: S105 - what browsers call this field, no secret

    async def _send(self) -> User:
        return await self.page.client.users.login(
            email=self._entered("email"), password=self._entered("password")
        )


class Register(Sign):
    """For those who have none."""

    title = "Join · Atiha"
    words: ClassVar[Mapping[str, str]] = {
        "title": "Join Atiha",
        "submit": "Create my account",
        "other-words": "Already a member?",
        "other": "Log in",
    }
    other = "#/login"
    password = "new-password"  # noqa: S105 - what browsers call this field, no secret
    new = True

    async def _send(self) -> User:
        return await self.page.client.users.register_user(
            email=self._entered("email"),
            password=self._entered("password"),
            name=self._entered("name"),
        )
