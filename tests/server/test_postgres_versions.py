"""An older PostgreSQL than the embedded one, where the machine has one."""

from pathlib import Path

import pytest

from atiha_web.collections import BUILT_IN
from atiha_web.server import Database, EmbeddedPostgres
from atiha_web.server.rows import Row, SyncState, Transaction
from tests.server.fixtures import FAST

INSTALLED = sorted(
    path
    for number in (14, 15, 16, 17)
    for path in Path("/usr/lib/postgresql").glob(f"{number}/bin")
)


@pytest.mark.skipif(not INSTALLED, reason="no PostgreSQL of the system's own is installed")
async def test_an_older_postgresql_serves_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atiha_web.server.embedded.find_binaries", lambda: INSTALLED[0])
    row = Row("ratings", "m1", 1, "0197a0c3d5e000000123456789ab", {"rating": 5})

    async def work(transaction: Transaction) -> None:
        await transaction.write([row], SyncState(transaction.state.epoch, 1))

    with EmbeddedPostgres(tmp_path / "postgres", FAST) as postgres:
        async with Database(postgres.url, BUILT_IN) as database:
            await database.rows.push("ada", work)
            assert (await database.rows.poll("ada", 0, 10))[1] == [row]
            assert await database.pool.fetchval("SELECT rating FROM ratings") == 5
