"""Accounts from the client's side."""

import pytest

from atiha_web import Client, NetworkError, ProblemError
from atiha_web.testing.fake_server import FakeDevice, FakeServer, captive_portal, lost_request

PASSWORD = "long enough"


async def test_registering_signs_in(client: Client) -> None:
    assert client.user_id == "user-1"
    found = await client.users.get_user("user-1")
    assert (found.email, found.name) == ("ann@example.org", "Ann")


async def test_an_address_is_taken_once(client: Client) -> None:
    with pytest.raises(ProblemError) as caught:
        await client.users.register_user(email="ann@example.org", password=PASSWORD, name="A")
    assert (caught.value.status, caught.value.code) == (409, "email_taken")


async def test_somebody_elses_account_is_refused(client: Client) -> None:
    with pytest.raises(ProblemError) as caught:
        await client.users.get_user("user-2")
    assert caught.value.status == 403


async def test_signing_in_needs_the_network(phone: FakeDevice, client: Client) -> None:
    phone.set_online(online=False)
    with pytest.raises(NetworkError):
        await client.users.login(email="ann@example.org", password=PASSWORD)
    assert client.user_id == "user-1"


async def test_a_hotels_page_is_no_answer(api: FakeServer, client: Client) -> None:
    api.fail_next(captive_portal())
    with pytest.raises(NetworkError, match="something else than the server"):
        await client.users.login(email="ann@example.org", password=PASSWORD)


async def test_a_lost_sign_in_changes_nothing(api: FakeServer, client: Client) -> None:
    api.fail_next(lost_request())
    with pytest.raises(NetworkError):
        await client.users.login(email="ann@example.org", password=PASSWORD)
    assert client.user_id == "user-1"


async def test_no_password_is_ever_stored(phone: FakeDevice, client: Client) -> None:
    await client.users.login(email="ann@example.org", password=PASSWORD)
    assert not [text for text in phone.origin.items.values() if PASSWORD in text]
