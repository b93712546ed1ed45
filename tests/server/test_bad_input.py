"""Bad input, before it leaves a client: an error that says what to do, and nothing is changed."""

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

import atiha_web
from atiha_web import Client, InvalidDataError, OperationTooLargeError, UnknownCollectionError
from atiha_web.backends.httpx import HttpxTransport
from atiha_web.backends.memory import MemoryOrigin, memory_backend
from atiha_web.errors import ProblemError
from tests.server.bad_input import BadRecord, contents, record_cases
from tests.server.fixtures import PASSWORD, Account

EMAIL = "ada@example.test"


@pytest.fixture
def origin() -> MemoryOrigin:
    return MemoryOrigin()


@pytest.fixture
async def client(origin: MemoryOrigin) -> AsyncIterator[Client]:
    backend = memory_backend(HttpxTransport(), origin)
    made = atiha_web.connect("http://127.0.0.1:9", user_id="ada", backend=backend, background=False)
    async with made as client:
        await client.put("favorites", "kept", {"title": "Kept"})
        yield client


@record_cases
async def test_a_write_of_bad_data_raises_and_changes_nothing(
    client: Client,
    origin: MemoryOrigin,
    case: BadRecord,
) -> None:
    collection, key, data, named, code = case
    before, status = dict(origin.items), client.status
    expected = {
        "unknown_collection": UnknownCollectionError,
        "too_large": OperationTooLargeError,
    }.get(code, InvalidDataError)
    with pytest.raises(expected, match=named.replace(".", r"\.")):
        await client.put(collection, "ada" if key == "me" else key, data)
    assert origin.items == before
    assert client.status == status
    assert list(client["favorites"]) == ["kept"]


# -- accounts, on both ends ------------------------------------------------------------------

Ask = Callable[[Client], Awaitable[object]]
ACCOUNTS: dict[str, tuple[Ask, int, str, str]] = {
    "taken address": (
        lambda client: client.users.register_user(email=EMAIL, password=PASSWORD, name="Eve"),
        409,
        "email_taken",
        "sign in",
    ),
    "weak password": (
        lambda client: client.users.register_user(email="e@b.test", password="1234567", name=""),
        422,
        "weak_password",
        "8 to 128",
    ),
    "no address": (
        lambda client: client.users.register_user(email="eve", password=PASSWORD, name=""),
        422,
        "invalid",
        "email",
    ),
    "half a pair": (
        lambda client: client.users.register_user(
            email="e@b.test", password=PASSWORD, name="\ud83c"
        ),
        400,
        "malformed_json",
        "JSON",
    ),
    "unknown user": (
        lambda client: client.users.login(email="nobody@example.test", password=PASSWORD),
        401,
        "wrong_credentials",
        "wrong",
    ),
    "nobody": (lambda client: client.users.get_user("nobody"), 401, "not_signed_in", "Sign in"),
    "no id": (lambda client: client.users.get_user("a b/c"), 404, "not_found", "address"),
}


@pytest.mark.parametrize(("ask", "status", "code", "hint"), ACCOUNTS.values(), ids=ACCOUNTS.keys())
async def test_what_accounts_cannot_do_is_told_and_changes_nothing(
    api_url: str,
    sign_up: Callable[[str], Account],
    database_url: str,
    origin: MemoryOrigin,
    ask: Ask,
    status: int,
    code: str,
    hint: str,
) -> None:
    connection = await asyncpg.connect(database_url)
    backend = memory_backend(HttpxTransport(), origin)
    async with atiha_web.connect(api_url, backend=backend) as client:
        await client.users.register_user(email=EMAIL, password=PASSWORD, name="Ada")
        await client.users.logout()
        device, server = dict(origin.items), await contents(connection)
        with pytest.raises(ProblemError, match=hint) as raised:
            await ask(client)
        assert (raised.value.status, raised.value.code) == (status, code)
        assert origin.items == device
        assert await contents(connection) == server
        assert client.user_id is None
    await connection.close()
