"""Where a request with the session cookie may come from."""

import httpx
import pytest

from tests.server.fixtures import PASSWORD

BODY = {"email": "ada@example.test", "password": PASSWORD, "name": "Ada"}
ENTRY = {"contentId": "m1"}


@pytest.fixture
async def address(api: httpx.AsyncClient) -> str:
    """A list of somebody whose cookie the client holds from now on."""
    user = (await api.post("/api/users", json=BODY)).json()["user"]
    return f"/api/users/{user['id']}/favorites"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://atiha.test"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://atiha.test", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_a_page_of_this_origin_writes_with_the_cookie(
    api: httpx.AsyncClient, address: str, headers: dict[str, str]
) -> None:
    assert (await api.post(address, json=ENTRY, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.test"},
        {"Origin": "https://atiha.test.evil.test"},
        {"Origin": "https://atiha.test:8443"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://atiha.test"},
    ],
)
async def test_any_other_page_cannot_write_with_the_cookie(
    api: httpx.AsyncClient, address: str, headers: dict[str, str]
) -> None:
    reply = await api.post(address, json=ENTRY, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (403, "cross_origin")


async def test_reading_with_the_cookie_needs_no_origin(
    api: httpx.AsyncClient, address: str
) -> None:
    assert (await api.get(address)).json() == {"favorites": []}


async def test_a_bearer_token_needs_no_origin(api: httpx.AsyncClient) -> None:
    reply = (await api.post("/api/users", json={**BODY, "session": "token"})).json()
    written = await api.post(
        f"/api/users/{reply['user']['id']}/favorites",
        json=ENTRY,
        headers={"Authorization": f"Bearer {reply['token']}", "Origin": "https://evil.test"},
    )
    assert written.status_code == 200


async def test_a_bad_bearer_token_is_not_saved_by_a_good_cookie(
    api: httpx.AsyncClient, address: str
) -> None:
    for header in ("Bearer nonsense", "Bearer", "Basic YTpi", "Bearer \xe9"):
        reply = await api.get(address, headers={b"Authorization": header.encode("latin-1")})
        assert reply.status_code == 401


async def test_a_foreign_page_cannot_sign_a_browser_in(api: httpx.AsyncClient) -> None:
    reply = await api.post("/api/users", json=BODY, headers={"Origin": "https://evil.test"})
    assert (reply.status_code, reply.json()["code"]) == (403, "cross_origin")
