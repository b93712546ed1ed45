"""What must hold in every world: while things happen, and once all trouble is over."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import TYPE_CHECKING, Any

from atiha_web.sync import stored_views
from atiha_web.sync.names import ASIDE, GUEST, QUEUE_KEY, Names
from atiha_web.sync.operation import RecordKey
from atiha_web.sync.recovery import is_mirrored
from tests.simulation import replayed
from tests.simulation.collections import BAD, CLIENT
from tests.simulation.promises import as_of, covers, says_all
from tests.simulation.promptness import (
    HEARD,
    check_heard,
    check_sent,
    check_times,
    check_told,
    is_just_awake,
)
from tests.simulation.reference import Fact, joined, known, says, stated
from tests.simulation.violations import ViolationError, require

if TYPE_CHECKING:
    from tests.simulation.browser import Device, Page
    from tests.simulation.promises import Promise, Unsure
    from tests.simulation.world import World


def check_pages(pages: Iterable[Page]) -> None:
    """Each page shows each of its accepted writes, or something later, all the time."""
    for page in pages:
        if page.usable and page._client is not None and page.synchronizer is not None:
            check_page(page)
            check_sent(page)
            check_heard(page)
            check_times(page)
            check_told(page)


def check_page(page: Page) -> None:
    """What a page shows is what its base and its pending operations amount to."""
    if page.device.world.plan.rest:
        replayed.check_page(page)
        return
    synchronizer = page.synchronizer
    assert synchronizer is not None
    memory, user_id = synchronizer.engine.local.memory, synchronizer.user_id
    records = {operation.record for operation in memory.pending.values()}
    for record in records:
        base = memory.base.rows.get(record)
        facts = [] if base is None else [known(record.collection, *base.state)]
        facts += [
            stated(record.collection, operation.timestamp, operation.data)
            for operation in memory.pending.values()
            if operation.record == record
        ]
        due = joined(record.collection, facts)
        live = None if due is None or due.data is None else due
        shows = shown(page, record)
        # While it learns, what it shows follows what it knows by some turns.
        learns = synchronizer.engine.local.mutex.locked()
        if not learns and (record.collection != "memos" or page.release == 2):
            require(shows == live, 5, "%s shows %s, not %s", page.name, shows, live)
    if page.device.spec.latency is not None and any(map(is_just_awake, page.device.pages)):
        # It hears one by one of what other processes did meanwhile, and they of what it does.
        return
    now = asyncio.get_running_loop().time()
    hidden: dict[Promise, float] = {}
    for promise in page.written:
        adopted = user_id == GUEST and promise.stored_in != GUEST
        if promise.user_id == user_id and not promise.excused and not adopted:
            try:
                check_shown(page, promise)
            except ViolationError:
                hidden[promise] = since = page.hidden.get(promise, now)
                if not _may_flicker(page) or now - since > HEARD:
                    raise
    page.hidden = hidden


def _may_flicker(page: Page) -> bool:
    """Whether two processes may store what they learn at once, and a third hear of one first.

    Who finds room again stores what it has as soon as it gets the lock, before it hears of what the
    last one to have it stored.
    """
    device = page.device
    at_once = not device.spec.locks or device.was_full
    return device.spec.latency is not None and at_once and device.was_crowded


def check_opened(page: Page) -> None:
    """A page shows at once all that this device promised to keep."""
    synchronizer = page.synchronizer
    if synchronizer is None:
        return
    for promise in page.device.world.ledger.of(page.device):
        on_server_only = promise.stored_in is None and page.device.blurred
        mine = promise.user_id == synchronizer.user_id and not promise.excused
        here = (GUEST,) if promise.user_id == GUEST else (None, promise.user_id)
        if mine and not on_server_only and promise.stored_in in here:
            check_shown(page, promise)


def check_shown(page: Page, promise: Promise) -> None:
    """A page shows an accepted write, or something later."""
    collection = promise.operation.collection
    if promise.device.world.plan.rest:
        replayed.check_shown(page, promise)
        return
    if promise.refused or promise.device.world.skewed:
        # Timestamps move there; what a person sees is checked at the end.
        return
    if collection == "memos" and page.release == 1:
        return
    assert page.synchronizer is not None
    device = page.device
    lacked_room = device.was_full and device.was_crowded and device.world.was_restored
    unsaid = page.unsaid or any(map(lacks_room, device.pages))
    if promise.stored_in is None and (unsaid or lacked_room):
        # A page had it acknowledged and found no room to say what it became: the next pull of
        # each tells. After a restore the others' base, with room again, may be of before.
        return
    local = page.synchronizer.engine.local
    state = local.memory.state(promise.operation.record)
    held = None if state is None else known(collection, *state)
    holds = says(collection, held, promise.fact)
    require(
        holds or replaced_by_refused(promise.device.world, promise),
        5,
        "%s hides %s: it shows %s",
        page.name,
        promise.operation,
        held,
    )


def lacks_room(page: Page) -> bool:
    """Whether a page keeps in memory what storage has no room for."""
    opened = None if page._client is None else page.synchronizer
    return opened is not None and opened.engine.local.store.room.is_short


def shown(page: Page, record: RecordKey) -> Fact | None:
    """A live record as a page shows it."""
    assert page.synchronizer is not None
    state = page.synchronizer.engine.view(record.collection).get(record.key)
    return None if state is None else known(record.collection, *state)


def view_of(page: Page) -> dict[RecordKey, Fact]:
    """Every live record a page shows."""
    assert page.synchronizer is not None
    engine = page.synchronizer.engine
    return {
        RecordKey(name, key): known(name, *state)
        for name in CLIENT
        for key, state in engine.view(name).items()
    }


def on_server(world: World, user_id: str) -> dict[RecordKey, Fact]:
    """Every live record of a user."""
    _, rows = world.server.rows.now(user_id)
    return {
        record: known(record.collection, *row.state)
        for record, row in rows.items()
        if row.data is not None
    }


def differs(page: Page, allowed: AbstractSet[str] = frozenset()) -> str:
    """In words, what keeps a page from showing exactly what the server holds; empty if nothing.

    ``allowed`` names operations that may be pending.
    """
    if page.device.world.plan.rest:
        return replayed.differs(page, allowed)
    synchronizer = page.synchronizer
    if synchronizer is None or synchronizer.user_id == GUEST:
        return ""
    status = synchronizer.status()
    waiting = synchronizer.engine.local.memory.pending
    if not waiting.keys() <= allowed:
        left = list(waiting.values())[:3]
        return f"{page.name} is {status.state} ({status.message}) with {left} pending"
    held, mine = on_server(page.device.world, synchronizer.user_id), view_of(page)
    if held != mine:
        strange = {record for record in held | mine if held.get(record) != mine.get(record)}
        record = min(strange)
        return (
            f"{page.name} ({status.state} {status.message}) shows {mine.get(record)} "
            f"for {record}, the server has {held.get(record)}"
        )
    return ""


# -- the end -------------------------------------------------------------------------------


def check_end(world: World) -> None:
    """Everything arrived, once; everybody agrees; nobody has what is another's."""
    for device in world.devices:
        for page in device.pages:
            check_refused(page)
        check_only_own(device)
        check_stored(device)
        check_mirror(device)
    everything = world.server.text_of_everything()
    for value in world.ledger.refused:
        require(f"'{value}'" not in everything, 1, "%s raised, and was kept all the same", value)
    for promise in world.ledger.promises:
        if world.plan.rest and not promise.excused:
            gone = promise.user_id == GUEST and taken_back(world, promise)
            replayed.check_kept(world, promise, taken_back=gone)
        else:
            check_kept(world, promise)
    check_last(world)


def check_refused(page: Page) -> None:
    """Only what deserves it is in quarantine."""
    if page.device.world.plan.rest:
        replayed.check_refused(page)
        return
    if page.client.user_id is None:
        return
    for entry in page.client.quarantined:
        operation = entry.operation
        due = operation.collection == "notes" and (operation.data or {}).get("text") in BAD
        require(due, 6, "%s: %s was refused without reason", page.name, entry)


def check_kept(world: World, promise: Promise) -> None:
    """What was promised is on the server, or in quarantine, or excused."""
    operation, device = promise.operation, promise.device
    if promise.excused:
        name = device.name, operation.id
        sure = name in world.ledger.dropped and not device.cleared_asleep
        back = sure and promise.stored_in is not None
        require(not back, 1, "%s was dropped, and came back", operation)
        return
    if promise.refused:
        kept = promise.stored_in is not None or is_replaced(world, promise)
        require(kept, 1, "the refused %s is not in quarantine", operation)
        return
    if replaced_by_refused(world, promise):
        return
    if promise.user_id == GUEST and operation.data is None:
        # What a guest took back is no word about what the account has under the same key.
        return
    if world.skewed:
        require(arrived(world, promise), 1, "lost: %s of %s", operation, device.name)
        return
    users = world.users if promise.user_id == GUEST else [promise.user_id]
    record = operation.record
    found = [world.watch.accounts[user_id].held(as_of(user_id, record)) for user_id in users]
    if any(says(record.collection, held, promise.fact) for held in found):
        return
    ended = promise.user_id == GUEST and taken_back(world, promise)
    require(ended, 1, "lost: %s of %s, the server has %s", operation, device.name, found)


def replaced_by_refused(world: World, promise: Promise) -> bool:
    """Whether what the server refuses took the place of this, in a way that keeps some of it only.

    Of many writes that one took the place of, the first and the latest are kept; where there was no
    room, none.
    """
    refused = [
        other
        for other in world.ledger.of(promise.device)
        if other.refused and covers(other, promise)
    ]
    maybe = [each for each in world.ledger.unsure if each.refused and each.is_about(promise)]
    return len(refused) + len(maybe) > 1 or bool(refused and promise.device.was_full)


def is_replaced(world: World, promise: Promise) -> bool:
    """Whether another write of the device may have taken the place of this one."""
    return any(covers(other, promise) for other in world.ledger.of(promise.device)) or any(
        other.is_about(promise) for other in world.ledger.unsure
    )


def taken_back(world: World, promise: Promise) -> bool:
    """Whether a guest deleted later what this says."""
    record = promise.operation.record
    maybe = (each for each in world.ledger.unsure if each.data is None and each.is_about(promise))
    return any(maybe) or any(
        other.operation.data is None
        and other.user_id == GUEST
        and other.device is promise.device
        and other.operation.record == record
        and other.moment > promise.moment
        for other in world.ledger.promises
    )


def arrived(world: World, promise: Promise) -> bool:
    """Whether the server took an operation in, or one of the same device that says all it said."""
    operation = promise.operation
    taken = world.taken_ids
    if operation.id in taken:
        return True
    if promise.user_id == GUEST and taken_back(world, promise):
        return True
    return any(
        other.operation.id in taken and covers(other, promise)
        for other in world.ledger.of(promise.device)
    ) or any(
        each.is_about(promise) and says_all(each.data, operation) and has_come(world, each)
        for each in world.ledger.unsure
    )


def has_come(world: World, unsure: Unsure) -> bool:
    """Whether the server took in what a page wrote as it died."""
    told = (
        account.taken.get(as_of(user_id, unsure.record), {})
        for user_id, account in world.watch.accounts.items()
    )
    return any(
        name not in world.promises_by_id and contains(fact.data, unsure.data)
        for each in told
        for (name, _), fact in each.items()
    )


def contains(data: Mapping[str, Any] | None, part: Mapping[str, Any] | None) -> bool:
    """Whether a record's data says what somebody wrote of it."""
    if data is None or part is None:
        return data is part
    return all(data.get(name) == value for name, value in part.items())


def check_last(world: World) -> None:
    """Of a record that only one device writes, what it wrote last is what is there."""
    last: dict[tuple[str, RecordKey], Promise] = {}
    of_record = ((each.user_id, each.operation.record, each) for each in world.ledger.promises)
    undatable = {(user_id, record) for user_id, record, each in of_record if each.undatable}
    for promise in world.ledger.promises if not world.plan.rest else ():
        if promise.operation.key == f"{promise.device.name}-own" and not promise.refused:
            last[promise.user_id, promise.operation.record] = promise
    for (user_id, record), promise in last.items():
        device = promise.device
        if promise.excused or user_id == GUEST or device.guests_wrote or device.died_writing:
            continue
        if record.collection != "ratings" or (world.skewed and device.blurred):
            continue
        if (user_id, record) in undatable:
            continue
        held = world.watch.accounts[user_id].held(record)
        same = held is not None and (held.data or {}).get("review") == (
            promise.operation.data or {}
        ).get("review")
        require(same, 5, "%s wrote %s last, and %s is there", device.name, promise.operation, held)


# -- what devices keep ---------------------------------------------------------------------


def check_only_own(device: Device) -> None:
    """What a device keeps of a user is under that user's keys."""
    users = device.world.users
    current = {page.client.user_id for page in device.pages}
    for key, text in device.disk.items.items():
        for user_id in users:
            if f"{user_id}/" in text:
                own = user_id in key or (key == QUEUE_KEY and user_id in current)
                # What an earlier app left is kept as it was.
                own |= key.startswith(ASIDE) or (bool(device.world.leftovers) and key == QUEUE_KEY)
                require(own, 7, "%s keeps data of %s under %s: %s", device.name, user_id, key, text)
    # Who cleared storage may have taken the session from a page that is open.
    here = {device.stored_user, *(page.client.user_id for page in device.pages)}
    gone = tuple(f"_{user_id}" for user_id in users if user_id not in here)
    views = [key for key in device.disk.items if key.startswith("atiha_") and key.endswith(gone)]
    known = not views or bool(device.world.leftovers)
    require(known, 7, "%s is signed in, and %s shows %s", device.stored_user, device.name, views)
    for page in device.pages:
        if page.client.user_id is not None:
            seen = repr(view_of(page))
            for user_id in users:
                strange = user_id != page.client.user_id and f"{user_id}/" in seen
                require(not strange, 7, "%s shows data of %s", page.name, user_id)


def check_stored(device: Device) -> None:
    """The views that any page can read are those of the client; nothing is left in the journal."""
    for page in device.pages:
        user_id = page.client.user_id
        if user_id is None or page.synchronizer is None:
            continue
        names, items = Names(user_id), device.disk.items
        spoilt = device.spoilt
        left = [key for key in items if key.startswith(names.journal) and key not in spoilt]
        require(not left, 1, "%s: the journal still holds %s", device.name, left)
        if page.synchronizer.engine.local.store.room.is_short:
            continue
        require(items.get(QUEUE_KEY) == "[]", 5, "the queue's view is %s", items.get(QUEUE_KEY))
        for name in CLIENT:
            text, due = items.get(names.view(name)), rendered(page, name)
            told = None if text is None else json.loads(text)
            require(told == due, 5, "the view of %s is %s, not %s", name, told, due)


def rendered(page: Page, name: str) -> Any:
    """What other pages should be able to read of a collection."""
    assert page.synchronizer is not None
    view, collection = page.synchronizer.engine.view(name), CLIENT[name]
    entries = page.synchronizer.engine.entries(name)
    require(entries.keys() == view.keys(), 5, "%s: %s reads as %s", page.name, name, entries)
    newest = islice(view.items(), stored_views.MAX_ENTRIES)
    rows = [collection.row(page.synchronizer.user_id, key, state) for key, state in newest]
    told = json.loads(json.dumps(rows))
    return next(iter(told), None) if collection.single else told


def check_mirror(device: Device) -> None:
    """At rest the database holds what localStorage holds of what must not be lost.

    What a page that died had not carried over yet is found by the next one that opens.
    """
    sound = not (device.mourning or device.database_failed) and all(
        page.mirrored and not page.mirrored.problems() for page in device.pages
    )
    if not sound:
        return
    covered, mirrored = unsent(device.disk.items), unsent(device.database.entries)
    strange = {key for key in covered | mirrored if covered.get(key) != mirrored.get(key)}
    # Two pages' transactions may overtake each other; what comes back that way the server knows.
    strange = {key for key in strange if key in covered or not device.was_crowded}
    require(not strange, 1, "%s: the mirror differs in %s", device.name, sorted(strange))


def unsent(items: Mapping[str, str]) -> dict[str, str]:
    """The operations among stored entries, refused ones too."""
    return {key: text for key, text in items.items() if is_mirrored(key) and _ENTRY.search(key)}


_ENTRY = re.compile(":[jq]:")
