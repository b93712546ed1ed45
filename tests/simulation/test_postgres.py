"""What the rows in memory answer in the simulation, PostgreSQL answers too, call by call.

For more seeds: ``python -m tests.simulation --rows postgres --seeds 500``.
"""

import asyncio

import pytest

from atiha_web.server.rows_memory import MemoryRows
from tests.simulation.postgres import DisagreementError, Replay, agree, calls_of
from tests.simulation.server import Synced

SEEDS = range(25)


def test_postgres_answers_what_memory_answered(database_url: str) -> None:
    calls = calls_of(SEEDS)
    assert asyncio.run(agree(database_url, calls)) > 5 * len(SEEDS)


def test_another_answer_is_told() -> None:
    [(_, calls)] = calls_of([3])
    first = next(n for n, call in enumerate(calls) if isinstance(call, Synced) and call.wrote)
    with pytest.raises(DisagreementError, match="call"):
        asyncio.run(Replay(MemoryRows()).again(calls[:first] + calls[first + 1 :]))
