"""Alive and ready, before, during and after an outage of the database."""

from pathlib import Path

import httpx

from atiha_web.server import EmbeddedPostgres, create_app
from tests.server.fixtures import FAST, PASSWORD, running


async def test_a_healthy_server_says_so(api: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/readyz"):
        reply = await api.get(path)
        assert (reply.status_code, reply.json()) == (200, {"status": "ok"})


def test_an_outage_is_503_and_passes(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "postgres", FAST)
    postgres.start()
    # Another start has another socket, as another machine would have another address; the app
    # must find the one it knows again.
    known = tmp_path / "socket"
    known.symlink_to(_socket_folder(postgres))
    url = postgres.url.replace(str(_socket_folder(postgres)), str(known))
    try:
        with running(create_app(url)) as api:
            body = {"email": "ada@example.test", "password": PASSWORD, "session": "token"}
            account = httpx.post(f"{api}/api/users", json=body).json()
            address = f"{api}/api/users/{account['user']['id']}/ratings"
            headers = {"Authorization": f"Bearer {account['token']}"}
            postgres.stop()
            for path in (f"{api}/readyz", address):
                reply = httpx.get(path, headers=headers)
                assert (reply.status_code, reply.json()["code"]) == (503, "database_unavailable")
                assert int(reply.headers["retry-after"]) > 0
                assert reply.headers["atiha-protocol"] == "1"
            assert httpx.get(f"{api}/healthz").status_code == 200
            postgres.start()
            known.unlink()
            known.symlink_to(_socket_folder(postgres))
            assert httpx.get(f"{api}/readyz").status_code == 200
            assert httpx.get(address, headers=headers).json() == {"ratings": []}
    finally:
        postgres.stop()


def _socket_folder(postgres: EmbeddedPostgres) -> Path:
    return Path(postgres.url.partition("?host=")[2])
