"""Settings that all tests share."""

from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

# Two busy cores make single examples slow; and a failure found here is found again everywhere.
settings.register_profile("atiha", deadline=None, derandomize=True)
settings.load_profile("atiha")

_numbers = count()


@pytest.fixture(autouse=True)
def user_data(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where clients keep their data unless told otherwise: never in the real home folder.

    Made by who writes into it first; most tests do not.
    """
    folder = tmp_path_factory.getbasetemp() / f"user-data-{next(_numbers)}"
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the type check: it takes longest of all, and no process shall wait for it."""
    items.sort(key=lambda item: item.path.name != "test_lint.py")
