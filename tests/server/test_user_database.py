"""Accounts from the client's side, against the real API."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

import atiha_web
from atiha_web import (
    Client,
    InvalidDataError,
    NetworkError,
    PendingOperationsError,
    ProblemError,
    UserAccount,
    WrongUserError,
)
from atiha_web.backends.base import Request, Response
from atiha_web.backends.httpx import HttpxTransport
from atiha_web.backends.memory import MemoryOrigin, memory_backend
from atiha_web.sync.pages import is_erased
from tests.server.fixtures import PASSWORD

EMAIL = "ada@example.test"
NEW_PASSWORD = "staple battery horse"


class Line:
    """The real transport, with a plug to pull."""

    keeps_cookies = False

    def __init__(self) -> None:
        self.plugged = True
        self._transport = HttpxTransport()

    async def request(self, request: Request) -> Response:
        if not self.plugged:
            raise NetworkError("the plug is pulled")
        return await self._transport.request(request)

    async def close(self) -> None:
        await self._transport.close()


class Device:
    """A client with storage and a line of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.origin = MemoryOrigin()
        self.line = Line()
        self.client: Client

    async def open(self) -> Client:
        backend = memory_backend(self.line, self.origin)
        self.client = await atiha_web.connect(self.url, backend=backend, background=False)
        return self.client

    def stored(self) -> dict[str, str]:
        """What is in this device's storage, but for the marks of what was given up."""
        return {
            key: text
            for key, text in self.origin.items.items()
            if not (key.startswith("atiha::forgotten:") or is_erased(text))
        }


@pytest.fixture
async def device(api_url: str) -> AsyncIterator[Device]:
    device = Device(api_url)
    await device.open()
    yield device
    await device.client.close()


@pytest.fixture
async def second(api_url: str) -> AsyncIterator[Device]:
    device = Device(api_url)
    await device.open()
    yield device
    await device.client.close()


async def register(device: Device, email: str = EMAIL) -> str:
    user = await device.client.users.register_user(email=email, password=PASSWORD, name="Ada")
    return user.id


async def refusal(work: Any) -> tuple[int, str]:
    with pytest.raises(ProblemError) as raised:
        await work
    return raised.value.status, raised.value.code


# -- reading ---------------------------------------------------------------------------------


async def test_an_account_carries_its_profile(device: Device) -> None:
    user_id = await register(device)
    await device.client.profiles.update_user_profile(user_id, display_name="Ada", autoplay=True)
    await device.client.sync()
    user = await device.client.users.get_user(user_id)
    assert isinstance(user, UserAccount)
    assert (user.email, user.display_name, user.autoplay) == (EMAIL, "Ada", True)


async def test_ones_own_account_is_read_without_network_after_a_reload_too(device: Device) -> None:
    user_id = await register(device)
    asked = await device.client.users.get_user(user_id)
    device.line.plugged = False
    assert await device.client.users.get_user(user_id) == asked
    await device.client.close()
    client = await device.open()
    assert (await client.users.get_user(user_id)).email == EMAIL
    with pytest.raises(NetworkError):
        await client.users.get_user("somebody-else")


async def test_a_cached_account_holds_no_secret_and_goes_at_logout(device: Device) -> None:
    user_id = await register(device)
    key = f"atiha:{user_id}:account"
    assert json.loads(device.stored()[key])["email"] == EMAIL
    held = str(device.origin.items)
    assert PASSWORD not in held
    assert device.client._session.token is not None
    assert device.client._session.token not in held
    await device.client.users.logout(pending="keep")
    assert key not in device.stored()


async def test_a_refusal_is_told_though_the_account_is_cached(device: Device) -> None:
    user_id = await register(device)
    device.client._session.token = "ended"
    work = device.client.users.get_user(user_id)
    assert await refusal(work) == (401, "not_signed_in")


async def test_administrators_list_and_find_others(
    device: Device, second: Device, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = await register(device), await register(second, "bob@example.test")
    users = device.client.users
    assert await refusal(users.list_users()) == (403, "not_yours")
    assert await refusal(users.find_user_by_email("bob@example.test")) == (403, "not_yours")
    mine = await users.find_user_by_email(EMAIL)
    assert mine is not None
    assert mine.id == ada
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE users SET role = 'admin' WHERE id = $1", ada)
    await connection.close()
    monkeypatch.setattr("atiha_web.services.user_database.LIST_PAGE", 1)
    everybody = [user.id for user in await users.list_users()]
    assert everybody == sorted([ada, bob])
    assert [user.id for user in await users.list_users(limit=1)] == everybody[:1]
    assert [user.id for user in await users.list_users(after=everybody[0])] == everybody[1:]
    found = await users.find_user_by_email("BOB@example.test")
    assert found is not None
    assert found.id == bob
    assert await users.find_user_by_email("nobody@example.test") is None


# -- changing --------------------------------------------------------------------------------


async def test_name_and_address_change(device: Device) -> None:
    user_id = await register(device)
    user = await device.client.users.update_user(user_id, name="Countess", email="C@example.test")
    assert (user.name, user.email) == ("Countess", "c@example.test")
    device.line.plugged = False
    assert (await device.client.users.get_user(user_id)).name == "Countess"


async def test_what_cannot_be_changed_is_told(device: Device, second: Device) -> None:
    user_id = await register(device)
    await register(second, "bob@example.test")
    users = device.client.users
    with pytest.raises(InvalidDataError, match="name="):
        await users.update_user(user_id)
    taken = users.update_user(user_id, email="bob@example.test")
    assert await refusal(taken) == (409, "email_taken")
    assert await refusal(users.update_user("somebody-else", name="x")) == (403, "not_yours")
    wrong = users.change_password(user_id, current="not this", new=NEW_PASSWORD)
    assert await refusal(wrong) == (403, "wrong_password")
    weak = users.change_password(user_id, current=PASSWORD, new="short")
    assert await refusal(weak) == (422, "weak_password")
    user = await users.get_user(user_id)
    assert (user.email, user.name) == (EMAIL, "Ada")


async def test_a_new_password_signs_other_devices_out_and_loses_none_of_their_changes(
    device: Device, second: Device
) -> None:
    user_id = await register(device)
    await second.client.users.login(email=EMAIL, password=PASSWORD)
    await second.client.profiles.add_rating(user_id, "m1", 4)
    await device.client.users.change_password(user_id, current=PASSWORD, new=NEW_PASSWORD)
    assert (await device.client.sync()).ok
    assert not (await second.client.sync()).ok
    status = second.client.status
    assert (status.state, status.pending) == ("needs_auth", 1)
    await second.client.users.login(email=EMAIL, password=NEW_PASSWORD)
    assert (await second.client.sync()).ok
    await device.client.sync()
    assert list(device.client["ratings"]) == ["m1"]


# -- exporting -------------------------------------------------------------------------------


async def test_the_servers_export_and_the_devices_hold_the_same_rows(device: Device) -> None:
    user_id = await register(device)
    profiles = device.client.profiles
    await profiles.add_rating(user_id, "m1", 4, "Good.")
    await profiles.add_to_watchlist(user_id, "m2", "movie", "Two")
    await profiles.update_user_profile(user_id, language="fr")
    await device.client.sync()
    theirs = await device.client.users.export(user_id)
    mine = device.client.export()
    assert theirs["account"]["email"] == EMAIL
    known = {name: rows for name, rows in mine["collections"].items() if rows}
    assert known == theirs["collections"]


async def test_a_devices_export_holds_what_never_left_it(device: Device) -> None:
    user_id = await register(device)
    write = await device.client.profiles.add_rating(user_id, "m1", 4)
    found = json.loads(json.dumps(device.client.export()))
    [row] = found["collections"]["ratings"]
    assert (row["contentId"], row["rating"]) == ("m1", 4)
    [pending] = found["pending"]
    assert write.operation is not None
    assert (pending["id"], pending["data"]["rating"]) == (write.operation.id, 4)
    assert found["quarantine"] == []


# -- deleting --------------------------------------------------------------------------------


async def test_deleting_clears_this_device_and_signs_out(device: Device) -> None:
    user_id = await register(device)
    await device.client.profiles.add_rating(user_id, "m1", 4)
    await device.client.sync()
    await device.client.users.delete_user(user_id, password=PASSWORD)
    assert device.client.user_id is None
    kept = {key: text for key, text in device.stored().items() if user_id in key + text}
    assert kept == {}
    login = device.client.users.login(email=EMAIL, password=PASSWORD)
    assert await refusal(login) == (401, "wrong_credentials")


async def test_what_only_this_device_has_is_not_deleted_unasked(device: Device) -> None:
    user_id = await register(device)
    await device.client.profiles.add_rating(user_id, "m1", 4)
    await device.client.profiles.add_favorite(user_id, "m1")
    before = device.stored()
    with pytest.raises(PendingOperationsError, match=r"\(favorites: 1, ratings: 1\)") as raised:
        await device.client.users.delete_user(user_id, password=PASSWORD)
    assert raised.value.pending == 2
    assert device.stored() == before
    assert (await device.client.users.get_user(user_id)).email == EMAIL
    await device.client.users.delete_user(user_id, password=PASSWORD, discard=True)
    assert device.client.user_id is None


@pytest.mark.parametrize("plugged", [True, False])
async def test_a_deletion_that_fails_changes_nothing(device: Device, plugged: bool) -> None:
    user_id = await register(device)
    await device.client.profiles.add_rating(user_id, "m1", 4)
    await device.client.sync()
    before = device.stored()
    device.line.plugged = plugged
    error = ProblemError if plugged else NetworkError
    with pytest.raises(error):
        await device.client.users.delete_user(user_id, password="not this one")
    assert device.stored() == before
    device.line.plugged = True
    assert (await device.client.sync()).ok


async def test_nobody_deletes_another(device: Device) -> None:
    await register(device)
    with pytest.raises(WrongUserError):
        await device.client.users.delete_user("somebody-else", password=PASSWORD)


async def test_another_device_of_a_deleted_user_keeps_what_it_has_until_told(
    device: Device, second: Device
) -> None:
    user_id = await register(device)
    await second.client.users.login(email=EMAIL, password=PASSWORD)
    await second.client.profiles.add_rating(user_id, "m1", 4)
    await device.client.users.delete_user(user_id, password=PASSWORD)
    await second.client.sync()
    assert (second.client.status.state, second.client.status.pending) == ("needs_auth", 1)
    with suppress(PendingOperationsError):
        await second.client.users.logout()
    assert second.client.export()["pending"] != []
    await second.client.users.logout(pending="discard")
    assert not any(text for key, text in second.stored().items() if user_id in key)
