"""Who is signed in on this device, and the synchronizer of their data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

from atiha_web.backends.base import Backend, StorageChange, Unsubscribe
from atiha_web.errors import SaveError, StorageError, StorageFullError
from atiha_web.loading import load_in_turns
from atiha_web.sign_outs import SignOuts
from atiha_web.sync.hub import Hub
from atiha_web.sync.names import GUEST, QUEUE_KEY, SESSION_KEY, is_view
from atiha_web.sync.persistence import Persistence
from atiha_web.sync.protocols import Protocol
from atiha_web.sync.signed_in import SignedIn, session_user
from atiha_web.sync.status import Status
from atiha_web.sync.usage import StorageUsage

if TYPE_CHECKING:
    from atiha_web.collections import Registry
    from atiha_web.services.user_database import AccountApi, Pending
    from atiha_web.sync.reconciler import Conflict
    from atiha_web.sync.synchronizer import Synchronizer

logger = logging.getLogger("atiha_web")


class Session:
    """Opens, switches and closes one user's data, in step with all tabs of this device.

    What that needs is imported on use: a start on which nobody is signed in does without.
    """

    def __init__(
        self,
        backend: Backend,
        registry: Callable[[], Registry],
        base_url: str,
        *,
        interval: float,
        token: str | None,
        background: bool,
        guest: bool,
        protocol: Protocol,
    ) -> None:
        self.current: Synchronizer | None = None
        """Whose data is open: the signed-in user's, or the guest's."""
        self.on_conflict: Callable[[Conflict], object] | None = None
        """Called with each write of whoever is signed in that lost; set it before ``open``."""
        self.token = token
        self.statuses: Hub[Status] = Hub(self.status)
        self._backend = backend
        self._stored = SignedIn(backend)
        self._sign_outs = SignOuts(
            lambda token: self._account_api(lambda: _bearer(token)), self._stored
        )
        self._telling: asyncio.Task[None] | None = None
        self._registry = registry
        self._base_url = base_url
        self._interval = interval
        self._background = background
        self._guest = guest
        self._protocol = protocol
        self._unfollow: Unsubscribe | None = None
        self._left: str | None = None
        """Who was signed in here last, and left."""
        self._switching = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsubscribe = backend.storage.subscribe(self._on_storage)
        self._unlisten = backend.environment.subscribe(self._on_signal)
        self._persistence = Persistence(backend)
        self._usage = StorageUsage(backend)

    @cached_property
    def api(self) -> AccountApi:
        """The account routes, asked by whoever is signed in."""
        return self._account_api(self.headers)

    @property
    def signed_in(self) -> Synchronizer | None:
        """The signed-in user's; ``None`` for nobody, and for a guest."""
        return None if self.current is None or self.current.user_id == GUEST else self.current

    def status(self) -> Status:
        """How things stand now."""
        persisted = self._persistence.granted
        if self.current is None:
            return Status(
                online=self._backend.environment.online(),
                persisted=persisted,
                usage=self._usage.last,
                problems=self._backend.storage_problems(),
            )
        status = self.current.status()
        user_id = None if self.signed_in is None else status.user_id
        return replace(status, user_id=user_id, persisted=persisted, usage=self._usage.last)

    async def close(self) -> None:
        """Stop syncing and follow nothing more; what is pending stays stored."""
        self._unsubscribe()
        self._unlisten()
        for task in self._tasks:
            task.cancel()
        async with self._switching:
            await self._stop()
        self.statuses.close()

    async def open(self, user_id: str | None) -> None:
        """Open the data of ``user_id``, or of the last signed-in user. Makes no request."""
        async with self._switching:
            if user_id is None:
                await self._switch(await self._stored.user())
            else:
                await self._switch(user_id, is_given=True)
        if self._background:
            self._spawn(load_in_turns())
            if self.signed_in is None:
                self._tell_of_sign_outs()

    async def sign_in(self, user_id: str, token: str | None) -> None:
        """Remember who is signed in on this device, and open their data."""
        async with self._switching:
            previous = await self._stop()
            if previous is not None and previous.user_id != user_id:
                await self._take_out_of_view(previous)
            try:
                await self._stored.remember(user_id)
            except StorageError:
                await self._switch(await self._stored.user())
                raise
            self.token = token
            self._sign_outs.somebody_signed_in()
            await self._switch(user_id)

    async def sign_out(self, pending: Pending) -> None:
        """Close and hide the user's data, erase it if it is discarded, end the session."""
        async with self._switching:
            await self._hide()
            current = await self._stop()
            if current is not None and current.user_id != GUEST:
                await self._take_out_of_view(current)
                if pending == "discard":
                    await current.engine.local.erase()
            await self._switch(None)
            with suppress(SaveError):
                await self._backend.storage.flush("disk")
            self._sign_outs.add(self.token)
            self.token = None
            is_told = await self._sign_outs.tell()
        if not is_told and self._background:
            self._tell_of_sign_outs()

    async def _hide(self) -> None:
        """Nobody is signed in from now on, nor to be read of; where that fails all is as it was.

        What any page can read goes first: who dies over this leaves nothing of who is not here.
        """
        signed_in = self.signed_in
        if signed_in is None:
            return await self._forget()
        local = signed_in.engine.local
        # A cycle that goes on meanwhile shows nothing again.
        local.hidden = True
        await self._take_out_of_view(signed_in)
        try:
            await self._forget()
        except StorageError:
            local.hidden = False
            async with local.mutex:
                await local.render(local.registry, anew=True)
            raise

    async def _take_out_of_view(self, synchronizer: Synchronizer) -> None:
        local = synchronizer.engine.local
        if local.session is not None:
            self._left = local.user_id
        await local.remove_views()

    async def _forget(self) -> None:
        """Nobody is signed in from now on; cached data of who was makes room for that."""
        while True:
            try:
                return await self._stored.forget()
            except StorageFullError:
                signed_in = self.signed_in
                if signed_in is None or not await signed_in.engine.local.make_room():
                    raise

    async def drain(self) -> int:
        """Send what is pending; returns how many operations are left."""
        current = self.signed_in
        if current is None:
            return 0
        if current.status().pending:
            await current.sync()
        return current.status().pending

    async def _switch(self, user_id: str | None, *, is_given: bool = False) -> None:
        """Open the data of ``user_id``, of the guest where there is none and the app keeps one.

        Unless the app gave it, what counts is whom storage names by now: where it was cleared
        since, nobody would ever take away what any page can read of them.
        """
        adopted = await self._adopt_guest(user_id)
        if user_id is None:
            # A killed browser may have brought it back.
            await self._clean_queue()
        if user_id is not None:
            [session] = await self._backend.storage.read([SESSION_KEY])
            named = session_user(session)
            if named != user_id and not is_given:
                self.token = None
                await self._switch(named)
                return
            await self._open(user_id, self._protocol, session if named == user_id else None)
            if not adopted and self.current is not None:
                self.current.engine.local.note_problem(
                    "local storage has no room to take over what was done before signing in; "
                    "it is tried again at the next start"
                )
        elif self._guest and adopted:
            from atiha_web.sync.guest import GuestProtocol  # noqa: PLC0415 - see above

            await self._open(GUEST, GuestProtocol(self._protocol.name), None)
        self.statuses.notify()

    async def _clean_queue(self) -> None:
        if await self._backend.storage.read([QUEUE_KEY]) != [None]:
            from atiha_web.sync.adoption import remove_our_items  # noqa: PLC0415 - see above

            await remove_our_items(self._backend.storage)

    async def _adopt_guest(self, user_id: str | None) -> bool:
        if not self._guest:
            return True
        from atiha_web.sync.guest import GuestAdoption  # noqa: PLC0415 - see above

        resolution = self._protocol.resolution
        return await GuestAdoption(self._backend, self._registry(), resolution).run(user_id)

    async def _open(self, user_id: str, protocol: Protocol, session: str | None) -> None:
        from atiha_web.sync.synchronizer import Synchronizer  # noqa: PLC0415 - see above

        synchronizer = Synchronizer(
            self._backend,
            self._registry(),
            user_id,
            base_url=self._base_url,
            headers=self.headers,
            interval=self._interval,
            protocol=protocol,
        )
        synchronizer.engine.local.session = session
        background = self._background and user_id != GUEST
        await synchronizer.start(background=background)
        if user_id == GUEST:
            # Makes no request; from then on the status says why nothing is sent.
            await synchronizer.sync()
        self.current = synchronizer
        self._spawn(self._settle_persistence())
        # No task follows: waking one after each write would cost a worker as much as the write.
        self._unfollow = synchronizer.engine.local.changes.subscribe(self._on_change)
        self._on_change()
        if self.on_conflict is not None:
            self._spawn(self._relay_conflicts(synchronizer, self.on_conflict))

    async def _settle_persistence(self) -> None:
        await self._persistence.settle()
        self.statuses.notify()

    async def _stop(self) -> Synchronizer | None:
        """Returns what was stopped."""
        current, self.current = self.current, None
        # What ends is measured no more.
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None
        if current is not None:
            await current.stop()
        self.statuses.notify()
        return current

    def _on_change(self, _: None = None) -> None:
        self.statuses.notify()
        if self._usage.claim():
            self._spawn(self._settle_usage())

    async def _settle_usage(self) -> None:
        await self._usage.settle()
        self.statuses.notify()

    @staticmethod
    async def _relay_conflicts(
        synchronizer: Synchronizer, listener: Callable[[Conflict], object]
    ) -> None:
        async for conflict in synchronizer.engine.reconciler.conflicts.follow():
            try:
                listener(conflict)
            except Exception:
                # The app's mistake must not end what tells it of the next one.
                logger.exception("on_conflict failed")

    def _on_storage(self, change: StorageChange) -> None:
        if change.key == SESSION_KEY:
            self._spawn(self._follow_session())
        elif change.key and change.value and self._left and is_view(change.key, self._left):
            self._spawn(self._remove_view(change.key, self._left))

    async def _remove_view(self, key: str, user_id: str) -> None:
        """A tab that had not heard yet that they left showed them again, and may be gone."""
        async with self._switching:
            if await self._stored.user() != user_id:
                with suppress(StorageError):
                    await self._backend.storage.write({key: None})

    async def _follow_session(self) -> None:
        """Another tab signed somebody in or out; what counts is who is signed in by now."""
        async with self._switching:
            user_id = await self._stored.user()
            if self._serves(user_id) and not await self._was_discarded():
                return
            previous = await self._stop()
            if previous is not None and previous.user_id != user_id:
                # What this tab wrote of them before it heard of it must not stay.
                await self._take_out_of_view(previous)
            self.token = None
            await self._switch(user_id)

    def _serves(self, user_id: str | None) -> bool:
        return user_id == (None if self.signed_in is None else self.signed_in.user_id)

    async def _was_discarded(self) -> bool:
        """Whether what is open belongs to a session whose data another tab gave up.

        That user may have signed in again since, all while this tab slept.
        """
        signed_in = self.signed_in
        return signed_in is not None and await signed_in.engine.local.store.base.was_given_up()

    def _on_signal(self, name: str) -> None:
        self.statuses.notify()
        if name == "online":
            self._tell_of_sign_outs()

    def _tell_of_sign_outs(self) -> None:
        """Begin to tell the server of them, at once."""
        if self._telling is not None:
            self._telling.cancel()
        self._telling = self._spawn(self._tell_until_told())

    async def _tell_until_told(self) -> None:
        for failures in count():
            async with self._switching:
                if self.signed_in is None:
                    await self._sign_outs.recall()
                if await self._sign_outs.tell() or not self._background:
                    return
            from atiha_web.sync.outcomes import backoff  # noqa: PLC0415 - see above

            await asyncio.sleep(backoff(failures, self._backend.random()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        """Nobody awaits it, and what asyncio says of that goes into somebody's output."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("work in the background failed", exc_info=error)

    def _account_api(self, headers: Callable[[], dict[str, str]]) -> AccountApi:
        from atiha_web.services.user_database import AccountApi  # noqa: PLC0415 - see above

        ours = self._protocol.name == "sync"
        return AccountApi(self._backend.transport, self._base_url, headers, ours=ours)

    def headers(self) -> dict[str, str]:
        """The request headers that say who asks."""
        return _bearer(self.token)


def _bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"authorization": f"Bearer {token}"}
