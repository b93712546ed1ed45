"""What was promised to people: each accepted write, its level, and what excuses a loss."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from atiha_web.errors import AtihaError, OperationRejectedError, SaveError
from atiha_web.sync.engine import Write
from atiha_web.sync.names import GUEST, UP_TO, Names
from atiha_web.sync.operation import Operation, RecordKey
from tests.simulation.collections import BAD
from tests.simulation.reference import Fact, stated
from tests.simulation.violations import ViolationError

if TYPE_CHECKING:
    from tests.simulation.browser import Device, Page


@dataclass(eq=False)
class Promise:
    """One accepted write: it survives the death of its page, and more once it is told so."""

    user_id: str
    device: Device
    operation: Operation
    fact: Fact
    moment: float
    on_disk: bool = False
    on_server: bool = False
    excused: str = ""
    """Why it may be lost; empty while it may not."""
    given_up: bool = False
    """A person discarded it before any request carried it: it must never come back."""
    came_back: bool = False
    """A kill put it back in storage: only the database knows since that it was given up."""
    settled: bool = False
    """The server decided about it at least once: after a kill the next pull may have to tell."""
    dated: bool = True
    """Whether its page knew the server's time as it was stamped, or learned it later."""
    undatable: bool = False
    """The clock was set before anybody learned by how much it had been off."""
    left_to: list[Promise] = field(default_factory=list)
    """What alone says it since a restore took it from the server: lost with the last of these."""

    @property
    def refused(self) -> bool:
        """Whether the server refuses it for good."""
        return is_refused(self.operation)

    @property
    def stored_in(self) -> str | None:
        """The user in whose journal or quarantine the device holds it now."""
        name = self.operation.id
        items = self.device.disk.items
        for user_id in self.device.world.all_users:
            names = _names_of(user_id)
            if names.journal + name in items or names.quarantine + name in items:
                return user_id
        return None

    def is_held_for(self, user_id: str) -> bool:
        """Whether the device holds it as a word of this user's.

        A guest's is none before that user has taken it over: another one may do so, and what a
        guest deletes nobody takes over.
        """
        holder = self.stored_in
        return holder is not None and user_id in (holder, GUEST)

    def is_marked(self, user_id: str) -> bool:
        """Whether the database tells that this user gave it up, whatever storage holds of it."""
        marks, names = self.device.database.entries, _names_of(user_id)
        writer, _, number = self.operation.id.rpartition("-")
        start = names.forgotten(writer + UP_TO)
        numbers = (key.removeprefix(start) for key in marks if key.startswith(start))
        is_within = max(map(int, numbers), default=0) >= int(number)
        return is_within or names.forgotten(self.operation.id) in marks


_names_of = cache(Names)
"""Asked for each promise again and again."""


def is_refused(operation: Operation) -> bool:
    """Whether the server refuses this operation for good."""
    return operation.collection == "notes" and (operation.data or {}).get("text") in BAD


def as_of(user_id: str, record: RecordKey) -> RecordKey:
    """The record as this user's, who took it over: a guest's profile becomes their own."""
    return record._replace(key=user_id) if record == ("profile", GUEST) else record


@dataclass(frozen=True)
class Unsure:
    """A write that nobody was told of."""

    device: Device
    user_id: str
    record: RecordKey
    data: Mapping[str, Any] | None

    @property
    def refused(self) -> bool:
        """Whether the server refuses it for good, if it counts."""
        return self.record.collection == "notes" and (self.data or {}).get("text") in BAD

    def is_about(self, promise: Promise) -> bool:
        """Whether it may have taken the place of a promised write, a guest's too: they adopt it."""
        whose = promise.user_id in (self.user_id, GUEST)
        place = promise.device, as_of(self.user_id, promise.operation.record)
        return whose and place == (self.device, self.record)


@dataclass
class Ledger:
    """All promises of a world."""

    promises: list[Promise] = field(default_factory=list)
    unsure: list[Unsure] = field(default_factory=list)
    """Writes under way as their page died: they may or may not count."""
    refused: set[str] = field(default_factory=set)
    """Values of writes that raised: nothing of them was to be kept."""
    dropped: set[tuple[str, str]] = field(default_factory=set)
    """Refused operations that somebody gave up, by device."""

    def accept(self, page: Page, write: Write, user_id: str) -> Promise | None:
        """A write returned."""
        operation = write.operation
        if operation is None:
            return None
        fact = stated(operation.collection, operation.timestamp, operation.data)
        moment = asyncio.get_running_loop().time()
        promise = Promise(user_id, page.device, operation, fact, moment, dated=page.is_right)
        self.promises.append(promise)
        page.written.append(promise)
        return promise

    def clock_set(self, device: Device) -> None:
        """What nobody has learned of the clock until now nobody can."""
        for promise in self.of(device):
            promise.undatable |= not (promise.dated or promise.settled)

    def of(self, device: Device) -> Iterable[Promise]:
        """What was promised on a device."""
        return (promise for promise in self.promises if promise.device is device)

    def browser_killed(self, device: Device, seconds: float) -> None:
        """Only what reached the disk is safe: before that moment, or in the database."""
        moment = asyncio.get_running_loop().time() - seconds
        if not device.spec.mirror:
            # Nothing but localStorage said that these were given up.
            self.dropped = {name for name in self.dropped if name[0] != device.name}
            for promise in self.of(device):
                promise.given_up = False
        for promise in self.of(device):
            promise.came_back |= promise.given_up and promise.stored_in is not None
            if promise.moment > moment and not (promise.on_disk or promise.on_server):
                promise.excused = promise.excused or "the browser was killed"
        self._forget_heirs(device, device.disk.items)
        self._lose_what_was_left_to_others(device)

    def opened_without_database(self, device: Device) -> None:
        """A page reads what storage holds, and nothing tells it what a person had given up.

        Nor does anything tell it what a guest's heir had taken over before a kill put it back.
        """
        for promise in self.of(device):
            if promise.came_back and promise.stored_in is not None:
                promise.given_up = False
            mark = Names(GUEST).forgotten(promise.operation.id)
            if promise.stored_in == GUEST and mark in device.database.entries:
                device.world.watch.forget_heir(promise.operation.id)

    def storage_cleared(self, device: Device, witnessed: Container[str]) -> None:
        """The person's own doing: the database has it, or a page that is open for the user."""
        for promise in self.of(device):
            safe = promise.on_disk or promise.on_server or promise.stored_in in witnessed
            if not safe:
                promise.excused = promise.excused or "storage was cleared"
        self._forget_heirs(device, ())
        self._lose_what_was_left_to_others(device)
        # Pages restore what they are open for; what others left there the next start finds, and
        # what was damaged, which no page could read.
        device.wants_start |= device.spec.mirror and any(
            key.startswith((Names(user_id).journal, Names(user_id).quarantine))
            for user_id in device.world.all_users
            for key, text in device.disk.items.items()
            if user_id not in witnessed or device.spoilt.get(key) == text
        )

    def damaged(self, device: Device, key: str, text: str) -> None:
        """An entry cannot be read any more: nor can what it alone said, all it had replaced."""
        for promise in self.of(device):
            own = key.endswith(f":{promise.operation.id}")
            replaced = promise.stored_in is None and not promise.settled
            if own or (replaced and _covers_stored(text, promise.operation)):
                promise.excused = promise.excused or "its entry was damaged"

    def device_lost(self, device: Device) -> None:
        """Only the server has it."""
        for promise in self.of(device):
            if not promise.on_server:
                promise.excused = promise.excused or "the device was lost"

    def _forget_heirs(self, device: Device, stored: Iterable[str]) -> None:
        """What a guest wrote is there again, and nothing tells who took it over: the next one does.

        Of that localStorage alone knew, where there is no database or it failed.
        """
        if device.spec.mirror and not device.database_failed:
            return
        names, held = Names(GUEST), {*stored, *device.database.entries}
        for name in device.world.watch.carried:
            if names.journal + name in held and names.forgotten(name) not in held:
                device.world.watch.forget_heir(name)

    def _lose_what_was_left_to_others(self, device: Device) -> None:
        for promise in self.of(device):
            if promise.left_to and not promise.excused:
                taken = device.world.taken_ids
                lost = [each.excused for each in promise.left_to if each.operation.id not in taken]
                if len(lost) == len(promise.left_to) and all(lost):
                    promise.excused = lost[0]

    def restored(self, before: set[str], after: set[str], answered: set[str]) -> None:
        """The server knew the operations ``before`` and knows those ``after``.

        What it had acknowledged meanwhile is gone, unless a device still holds what says as much
        and will hold it: for those ``answered`` the acknowledgement is under way, and what a killed
        browser put back after a discard goes again.
        """
        for promise in self.promises:
            later = (p for p in self.of(promise.device) if covers(p, promise))
            same = [promise, *(each for each in later if not each.refused)]
            names = {each.operation.id for each in same}
            if not names & before or names & after:
                continue
            holders = [
                each
                for each in same
                if each.is_held_for(promise.user_id)
                and each.operation.id not in answered
                and not each.is_marked(promise.user_id)
            ]
            if not holders:
                promise.excused = promise.excused or "the server was restored from a backup"
            promise.left_to = [] if promise in holders else holders

    def given_up(self, operation_ids: set[str], device: Device, *, for_good: bool) -> None:
        """A person discarded these on a device."""
        for promise in self.of(device):
            if promise.operation.id in operation_ids:
                promise.excused = promise.excused or "it was discarded"
                carried = promise.operation.id in device.world.watch.carried
                promise.given_up = for_good and not carried
        self._lose_what_was_left_to_others(device)


def covers(newer: Promise, older: Promise) -> bool:
    """Whether one write of a device said all that another one had said before."""
    if not is_later(newer, older):
        return False
    if newer.operation.record != as_of(newer.user_id, older.operation.record):
        return False
    users = {newer.user_id, older.user_id}
    if len(users) > 1 and GUEST not in users:
        return False
    if newer.device.world.plan.rest:
        # There every write is sent.
        return False
    return says_all(newer.operation.data, older.operation)


def is_later(newer: Promise, older: Promise) -> bool:
    """Whether it was promised later; what a page takes in at one moment has an order, too."""
    if newer.moment != older.moment:
        return newer.moment > older.moment
    writers = {each.operation.id.rpartition("-")[0] for each in (newer, older)}
    return len(writers) == 1 and newer.operation.timestamp > older.operation.timestamp


def says_all(said: Mapping[str, Any] | None, older: Operation) -> bool:
    """Whether a later write of ``said`` leaves nothing of what an operation said."""
    before = older.data
    if said is None or before is None or older.collection not in ("settings", "profile"):
        return True
    return _names(before) <= _names(said)


def _covers_stored(text: str, older: Operation) -> bool:
    try:
        collection, key, data, *_ = json.loads(text)
    except ValueError:
        return False
    # A profile's key is whose it is.
    return (collection, key) == as_of(key, older.record) and says_all(data, older)


def _names(data: Mapping[str, Any]) -> set[str]:
    inner = data.get("preferences") or {}
    return {name for name in data if name != "preferences"} | {f".{name}" for name in inner}


async def follow(page: Page, promise: Promise, write: Write) -> None:
    """Ask for each level; what is promised then is checked at once where it can be."""
    world = promise.device.world
    try:
        await write.saved("disk")
        promise.on_disk = True
        world.count("saved: disk")
    except SaveError as error:
        sound = page.mirrored is not None and not (page.leaving or page.process.dead)
        # What a frozen page waits for comes too late.
        sound = sound and page.process.awake_since < promise.moment
        if sound and not promise.device.database_failed:
            words = f"{page.name} has a database that works, and cannot promise disk: {error}"
            world.broken(ViolationError(1, words))
    if promise.user_id == GUEST:
        return
    try:
        await write.saved("server")
    except OperationRejectedError:
        return
    except AtihaError:
        return
    promise.on_server = True
    world.count("saved: server")
    try:
        world.watch.check_saved(promise)
    except ViolationError as error:
        world.broken(error)
