"""The profile: each field is synced on its own."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from atiha_web import Client, InvalidDataError, LocalProfile, WrongUserError
from atiha_web.testing.fake_server import FakeDevice, FakeServer

ANN = "user-1"
OpenClient = Callable[..., Awaitable[Client]]


@pytest.fixture
async def elsewhere(api: FakeServer, client: Client, open_client: OpenClient) -> Client:
    """Ann's second device."""
    made = await open_client(FakeDevice(api, random=random.Random(2)))
    await made.users.login(email="ann@example.org", password="long enough")
    return made


async def profile(client: Client) -> LocalProfile:
    return await client.profiles.get_user_profile(ANN)


async def test_every_field_is_there_at_once_and_on_the_server_soon(
    client: Client, api: FakeServer
) -> None:
    fields: dict[str, Any] = {
        "display_name": "Ann",
        "avatar": "/avatars/7.png",
        "language": "fr",
        "subtitles": "en",
        "autoplay": False,
        "maturity_limit": 16,
        "preferences": {"theme": "dark"},
    }
    write = await client.profiles.update_user_profile(ANN, **fields)
    assert write.record is not None
    known = await profile(client)
    assert {name: getattr(known, name) for name in fields} == fields
    await client.sync()
    [row] = await api.rows_of(ANN, "profile")
    assert (row["displayName"], row["maturityLimit"]) == ("Ann", 16)
    assert row["preferences"] == {"theme": "dark"}


async def test_two_devices_that_change_different_fields_offline_both_keep_theirs(
    client: Client, elsewhere: Client
) -> None:
    await client.profiles.update_user_profile(
        ANN, display_name="Ann", language="fr", preferences={"theme": "dark"}
    )
    await elsewhere.profiles.update_user_profile(
        ANN, language="de", autoplay=True, preferences={"size": 3}
    )
    for device in (client, elsewhere, client):
        assert (await device.sync()).ok
    found = [await profile(device) for device in (client, elsewhere)]
    assert found[0].model_dump() == found[1].model_dump()
    assert (found[0].display_name, found[0].autoplay) == ("Ann", True)
    assert found[0].preferences == {"theme": "dark", "size": 3}
    assert found[0].language == "de", "of one field the later change counts"


async def test_none_clears_a_field_everywhere(client: Client, elsewhere: Client) -> None:
    await client.profiles.update_user_profile(ANN, display_name="Ann", language="fr")
    await client.sync()
    await elsewhere.profiles.update_user_profile(ANN, display_name=None)
    await elsewhere.sync()
    await client.sync()
    known = await profile(client)
    assert (known.display_name, known.language) == (None, "fr")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preferences": {}},
        {"id": "x"},
        {"": 1},
        {"preferences.theme": "dark"},
        {"preferences": None},
        {"maturity_limit": 22},
        {"maturity_limit": True},
        {"display_name": "x" * 201},
    ],
)
async def test_a_statement_of_no_field_or_of_a_bad_one_is_refused(
    client: Client, phone: FakeDevice, changes: dict[str, Any]
) -> None:
    before = dict(phone.origin.items)
    with pytest.raises(InvalidDataError):
        await client.profiles.update_user_profile(ANN, **changes)
    assert phone.origin.items == before
    assert client.status.pending == 0


async def test_nobody_changes_another_ones_profile(client: Client) -> None:
    with pytest.raises(WrongUserError):
        await client.profiles.update_user_profile("user-2", display_name="Eve")
