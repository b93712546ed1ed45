"""Where a request with the session cookie may come from."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from atiha_web.server.auth import COOKIE, LOOPBACK_COOKIE
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


@pytest.fixture(params=["127.0.0.1:8000", "localhost:8000", "[::1]:8000"])
async def own_machine(
    app: FastAPI, request: pytest.FixtureRequest
) -> AsyncIterator[httpx.AsyncClient]:
    """A browser on the machine that runs the server, without TLS."""
    async with browser_at(app, f"http://{request.param}") as browser:
        yield browser


def browser_at(app: FastAPI, url: str, **headers: str) -> httpx.AsyncClient:
    """What sends its origin, as pages do."""
    headers.setdefault("Origin", url)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url, headers=headers)


async def test_a_page_of_this_machine_stays_signed_in_without_tls(
    api: httpx.AsyncClient, own_machine: httpx.AsyncClient
) -> None:
    reply = await own_machine.post("/api/users", json=BODY)
    removed, cookie = reply.headers.get_list("set-cookie")
    assert removed.startswith(f'{COOKIE}=""')
    assert "Max-Age=0" in removed
    assert cookie.startswith(f"{LOOPBACK_COOKIE}=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    address = f"/api/users/{reply.json()['user']['id']}/favorites"
    assert (await own_machine.post(address, json=ENTRY)).status_code == 200
    assert (await own_machine.delete("/api/sessions/current")).status_code == 204
    assert (await own_machine.get(address)).status_code == 401


async def test_a_guarded_cookie_is_never_replaced_by_an_unguarded_one(
    api: httpx.AsyncClient, own_machine: httpx.AsyncClient, address: str
) -> None:
    await own_machine.post("/api/users", json={**BODY, "email": "bob@example.test"})
    guarded = f"{COOKIE}={api.cookies[COOKIE]}"
    planted = f"{LOOPBACK_COOKIE}={own_machine.cookies[LOOPBACK_COOKIE]}"
    seen = await own_machine.get(address, headers={"Cookie": f"{planted}; {guarded}"})
    assert seen.status_code == 200


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://atiha.test", "https://atiha.test"),
        ("http://atiha.test", "http://atiha.test"),
        ("https://127.0.0.1:8443", "https://127.0.0.1:8443"),
        # A proxy ended TLS.
        ("http://127.0.0.1:8000", "https://127.0.0.1:8000"),
        ("http://127.0.0.1.evil.test", "http://127.0.0.1.evil.test"),
        ("http://192.168.0.2:8000", "http://192.168.0.2:8000"),
    ],
)
async def test_every_other_page_gets_a_cookie_that_travels_encrypted_only(
    api: httpx.AsyncClient, app: FastAPI, url: str, origin: str
) -> None:
    async with browser_at(app, url, Origin=origin) as browser:
        reply = await browser.post("/api/users", json=BODY)
    [cookie] = reply.headers.get_list("set-cookie")
    assert cookie.startswith(f"{COOKIE}=")
    assert "Secure" in cookie


@pytest.mark.parametrize("url", ["https://127.0.0.1", "http://atiha.test", "http://192.168.0.2"])
async def test_a_cookie_of_this_machine_counts_nowhere_else(
    api: httpx.AsyncClient, app: FastAPI, address: str, url: str
) -> None:
    cookie = {"Cookie": f"{LOOPBACK_COOKIE}={api.cookies[COOKIE]}"}
    async with browser_at(app, url) as elsewhere, browser_at(app, "http://127.0.0.1") as here:
        assert (await elsewhere.get(address, headers=cookie)).status_code == 401
        assert (await here.get(address, headers=cookie)).status_code == 200


@pytest.mark.parametrize("host", ["[", "", "127.0.0.1:", "127.0.0.1:port", "999.1.1.1", "::1"])
async def test_a_strange_host_is_no_error(
    api: httpx.AsyncClient, app: FastAPI, address: str, host: str
) -> None:
    async with browser_at(app, "http://127.0.0.1") as browser:
        reply = await browser.get(address, headers={"Host": host})
    assert reply.status_code == 401
