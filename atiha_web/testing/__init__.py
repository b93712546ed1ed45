"""For tests of apps that use this package, and of adapters written for it.

The names below need no test framework. The fixtures of ``atiha_web.testing.plugin`` are for pytest
with pytest-asyncio, which ``pip install 'atiha-web[pytest]'`` brings::

    # conftest.py
    pytest_plugins = ["atiha_web.testing.plugin"]

Then no test needs a network, a browser or a database::

    # test_ratings.py
    import pytest
    from atiha_web import LastWriteWins
    from atiha_web.testing import lost_reply, merge_laws

    @pytest.mark.asyncio
    async def test_a_rating_made_offline_reaches_the_laptop(atiha_device, atiha_connect):
        phone, laptop = atiha_device(), atiha_device()
        here, there = await atiha_connect(phone), await atiha_connect(laptop)
        phone.set_online(False)
        await here.profiles.add_rating("ann", "the-general", 5)
        assert not (await here.sync()).ok
        phone.set_online(True)
        await here.sync()
        await there.sync()
        assert there["ratings"]["the-general"].rating == 5

    @pytest.mark.asyncio
    async def test_a_favorite_is_kept_once_though_the_reply_is_lost(atiha_server, atiha_client):
        await atiha_client.sync()
        await atiha_client.profiles.add_favorite("ann", "the-general")
        atiha_server.fail_next(lost_reply())
        report = await atiha_client.sync()
        assert (report.ok, report.requests) == (True, 2)
        assert len(await atiha_server.rows_of("ann", "favorites")) == 1

    class HighestScore(LastWriteWins):  # for Collection(…, policy=HighestScore())
        def merge(self, a, b):
            return max(a, b, key=self.rank)

        def rank(self, state):
            return state.deleted, (state.data or {}).get("score", 0), state.timestamp

    def test_scores_merge_alike_on_every_device():
        policy = HighestScore()
        merge_laws.check(policy, merge_laws.states_of(policy, [{"score": 1}, {"score": 3}]))

``atiha_web.testing.contracts`` says how a storage, transport or environment of your own is checked.
"""

from atiha_web.testing import merge_laws
from atiha_web.testing.contracts import (
    ENVIRONMENT_CHECKS,
    QUOTA_CHECKS,
    STORAGE_CHECKS,
    TRANSPORT_CHECKS,
)
from atiha_web.testing.fake_server import (
    Exchange,
    FakeDevice,
    FakeServer,
    FakeTransport,
    Fault,
    ManualClock,
    answer,
    captive_portal,
    lost_reply,
    lost_request,
    silence,
    slow,
    twice,
)
from atiha_web.testing.makers import NewDevice, OpenClient

__all__ = [
    "ENVIRONMENT_CHECKS",
    "QUOTA_CHECKS",
    "STORAGE_CHECKS",
    "TRANSPORT_CHECKS",
    "Exchange",
    "FakeDevice",
    "FakeServer",
    "FakeTransport",
    "Fault",
    "ManualClock",
    "NewDevice",
    "OpenClient",
    "answer",
    "captive_portal",
    "lost_reply",
    "lost_request",
    "merge_laws",
    "silence",
    "slow",
    "twice",
]
