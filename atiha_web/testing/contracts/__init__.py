"""What every adapter must keep, as plain async functions.

Each check takes a small object through which it gets at the adapter, raises ``AssertionError``
where a promise of ``atiha_web.backends.base`` is broken, and needs no test framework, so that the
same functions run under pytest and inside a browser. With pytest and pytest-asyncio::

    from atiha_web.testing.contracts import STORAGE_CHECKS

    class MyOrigin:
        def __init__(self, folder): self.folder = folder
        async def open(self): return MyStorage(self.folder)
        async def clear(self): shutil.rmtree(self.folder)

    @pytest.mark.parametrize("check", STORAGE_CHECKS, ids=lambda check: check.__name__)
    async def test_my_storage(check, tmp_path):
        await check(MyOrigin(tmp_path))
"""

from atiha_web.testing.contracts.environment import ENVIRONMENT_CHECKS, World
from atiha_web.testing.contracts.expect import Check
from atiha_web.testing.contracts.storage import (
    QUOTA_CHECKS,
    STORAGE_CHECKS,
    BoundedOrigin,
    Origin,
)
from atiha_web.testing.contracts.transport import TRANSPORT_CHECKS, Network

__all__ = [
    "ENVIRONMENT_CHECKS",
    "QUOTA_CHECKS",
    "STORAGE_CHECKS",
    "TRANSPORT_CHECKS",
    "BoundedOrigin",
    "Check",
    "Network",
    "Origin",
    "World",
]
