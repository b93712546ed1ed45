"""Pages are waited for in virtual time: nothing sleeps."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.simulation.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual time": VirtualTimeLoop}
