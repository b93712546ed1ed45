"""One's own account, as far as it is known without the server."""

import pytest

from atiha_web import Client, NetworkError, ProblemError
from atiha_web.testing.fake_server import FakeDevice, FakeServer, answer

ANN = "user-1"
KEY = f"atiha:{ANN}:account"


async def test_a_server_in_trouble_hides_nobodys_own_account(
    api: FakeServer, client: Client
) -> None:
    api.fail_next(answer(503))
    assert (await client.users.get_user(ANN)).email == "ann@example.org"


async def test_a_refusal_is_no_trouble(api: FakeServer, client: Client) -> None:
    api.fail_next(answer(403))
    with pytest.raises(ProblemError):
        await client.users.get_user(ANN)


async def test_a_damaged_account_is_as_good_as_none(phone: FakeDevice, client: Client) -> None:
    phone.origin.items[KEY] = "{"
    phone.set_online(False)
    with pytest.raises(NetworkError):
        await client.users.get_user(ANN)


async def test_signing_in_as_another_removes_the_first_ones(
    phone: FakeDevice, client: Client
) -> None:
    assert KEY in phone.origin.items
    await client.users.register_user(email="bob@example.org", password="long enough", name="Bob")
    assert KEY not in phone.origin.items
