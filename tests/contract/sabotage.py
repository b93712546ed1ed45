"""Shows that checks fail where a promise is broken: a check that cannot fail checks nothing."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from atiha_web.errors import AtihaError
from atiha_web.testing.contracts import Check

GIVEN_UP = 2.0
NOTICED = (AssertionError, AtihaError, LookupError, RuntimeError, TimeoutError)
"""How a broken promise shows; anything else, such as a TypeError, is a fault of the test."""


def named(checks: Iterable[Check[Any]], names: str) -> list[Check[Any]]:
    """The checks of these names, which stand in one text."""
    by_name = {check.__name__: check for check in checks}
    return [by_name[name] for name in names.split()]


def unbroken(checks: Iterable[Check[Any]], expected: Mapping[Any, str]) -> set[str]:
    """The names of the checks that no broken adapter is expected to fail."""
    return {check.__name__ for check in checks} - set(" ".join(expected.values()).split())


async def passing(checks: Iterable[Check[Any]], broken: Callable[[], Any]) -> list[str]:
    """The names of the checks that a broken adapter passes."""
    passed = []
    for check in checks:
        with suppress(*NOTICED):
            async with asyncio.timeout(GIVEN_UP):
                await check(broken())
            passed.append(check.__name__)
    return passed
