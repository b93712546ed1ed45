"""Runs the page of the checks once in each browser that is here, and shares what it found.

With `ATIHA_ENGINES=all` a browser that is not installed fails its tests; without, they are skipped
and pytest's last lines say that nothing is known of it (`-rs`, set in pyproject.toml).
"""

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from atiha_web.server import EmbeddedPostgres
from atiha_web.testing.server import ContractServer
from demo.assets import build
from tests.engines.engines import ENGINES, Engine
from tests.engines.origin import Origin
from tests.engines.webkit import Seen
from tests.server.fixtures import postgres

__all__ = ["postgres"]

DEMANDED = os.environ.get("ATIHA_ENGINES") == "all"


@pytest.fixture(scope="session")
def page_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Where the page of the checks is, with all that it needs running."""
    with Origin(postgres.url, build("test")) as origin, ContractServer() as contract:
        query = {"contract": contract.url, "dead": contract.dead_url, "control": origin.control}
        yield f"{origin.url}/engines/?{urlencode(query)}"


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each of the browsers."""
    engine = ENGINES[request.param]
    if engine.absence and DEMANDED:
        pytest.fail(engine.absence, pytrace=False)
    if engine.absence:
        pytest.skip(engine.absence)
    return engine


@pytest.fixture(scope="session")
def seen(engine: Engine, page_url: str) -> Seen:
    """What one browser showed."""
    return engine.visit(page_url)


@pytest.fixture(scope="session")
def report(engine: Engine, seen: Seen) -> dict[str, Any]:
    """What the page found in one browser: `checks` and `measured`."""
    assert seen.title == "done", seen.report
    found: dict[str, Any] = json.loads(seen.report)
    print(f"{engine.name}: {json.dumps(found['measured'], ensure_ascii=False)}")  # noqa: T201
    return found
