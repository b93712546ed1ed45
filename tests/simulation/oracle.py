"""What must hold in every world, whatever happened in it."""

from __future__ import annotations

from collections import Counter

from atiha_web.sync.merge import State
from atiha_web.sync.operation import Operation, RecordKey
from atiha_web.sync.protocol import from_wire
from atiha_web.sync.replica import policy_of
from tests.simulation.world import CLIENT, REFUSED, Device, World, absorbed, states


def check_now(world: World) -> None:
    """A page shows each of its accepted writes, or something later, all the time."""
    if world.skewed:
        # Timestamps move there; what a person sees is checked at the end.
        return
    for device in world.devices:
        for tab in device.tabs:
            if tab.storage.dead.is_set():
                continue
            memory = tab.synchronizer.engine.local.memory
            for operation in tab.written:
                state = memory.state(operation.record)
                assert is_refused(operation) or absorbed(operation, state), (
                    f"{device.name} hides {operation}: it shows {state}"
                )


def is_refused(operation: Operation) -> bool:
    """Whether the server refuses this operation for good."""
    return operation.collection == "notes" and (operation.data or {}).get("text") == REFUSED


async def check_end(world: World) -> None:
    """Everything arrived, once; everybody agrees; nobody has what is another's."""
    for user_id in {device.user_id for device in world.devices}:
        on_server = await server_states(world, user_id)
        mine = [device for device in world.devices if device.user_id == user_id]
        for device in mine:
            await check_device(world, device, on_server)
        check_nothing_lost(world, mine, on_server)
        check_only_own(mine, user_id, on_server)
    check_no_effect_twice(world)


async def server_states(world: World, user_id: str) -> dict[RecordKey, State]:
    """Every row of a user, tombstones included."""
    _, rows = await world.server.rows.poll(user_id, 0, 1_000_000)
    return {row.record: row.state for row in rows}


async def check_device(world: World, device: Device, on_server: dict[RecordKey, State]) -> None:
    """Each page, and one opened without network, shows what the server holds."""
    live = {record: state for record, state in on_server.items() if not state.deleted}
    for tab in device.tabs:
        engine = tab.synchronizer.engine
        left = {op.collection for op in engine.local.memory.pending.values()}
        assert left <= {"drafts"}, f"{device.name}: still pending: {left}"
        assert without_drafts(states(engine)) == live, f"{device.name} shows something else"
        refused = [entry.operation for entry in engine.quarantined]
        assert all(map(is_refused, refused)), f"{device.name}: refused without reason: {refused}"
    assert without_drafts(await world.offline_view(device)) == live, (
        f"{device.name} opened offline shows something else"
    )


def without_drafts(found: dict[RecordKey, State]) -> dict[RecordKey, State]:
    """What the server can know of."""
    return {record: state for record, state in found.items() if record.collection != "drafts"}


def check_nothing_lost(
    world: World, devices: list[Device], on_server: dict[RecordKey, State]
) -> None:
    """The server says at least what each accepted write said, and nothing nobody said."""
    for device in devices:
        quarantine = device.tabs[0].synchronizer.engine.local.memory.quarantine
        last: dict[RecordKey, Operation] = {}
        for operation in device.accepted:
            last[operation.record] = operation
            if is_refused(operation) or operation.collection == "drafts" or world.skewed:
                continue
            assert absorbed(operation, on_server.get(operation.record)), (
                f"lost: {operation} of {device.name}: {on_server.get(operation.record)}"
            )
        for record, operation in last.items():
            if is_refused(operation):
                refused = [entry.operation.data for entry in quarantine.values()]
                assert operation.data in refused, f"{operation} is not in quarantine"
            elif f"{device.name}-own" == record.key and record.collection == "ratings":
                check_last(device, operation, on_server.get(record))
    if not world.skewed:
        check_exact(devices, on_server)


def check_last(device: Device, operation: Operation, state: State | None) -> None:
    """Nobody else writes this record: what was written last is what is there."""
    assert state is not None, f"lost: {operation}"
    review = (state.data or {}).get("review")
    same = (operation.data or {}).get("review") == review
    assert (
        same or not device.attempted.isdisjoint({review}) or (state.deleted and device.attempted)
    ), f"{device.name} wrote {operation} last, but {state} is there"


def check_exact(devices: list[Device], on_server: dict[RecordKey, State]) -> None:
    """Where every write returned, the server holds exactly their merge."""
    if any(device.attempted for device in devices):
        return
    expected: dict[RecordKey, State] = {}
    operations = [operation for device in devices for operation in device.accepted]
    for operation in operations:
        if not is_refused(operation) and operation.collection != "drafts":
            policy = policy_of(CLIENT, operation.collection)
            lifted = policy.lift(operation.timestamp, operation.data)
            known = expected.get(operation.record)
            expected[operation.record] = policy.merge(known, lifted) if known else lifted
    assert on_server == expected, "the server holds something else than was written"


def check_only_own(devices: list[Device], user_id: str, on_server: dict[RecordKey, State]) -> None:
    """A user's rows and storage hold nothing of another's."""
    other = "bob" if user_id == "ann" else "ann"
    assert other not in repr(on_server)
    for device in devices:
        assert not [key for key in device.fake.origin.items if other in key]
        assert not [key for key, text in device.fake.origin.items.items() if other in text]


def check_no_effect_twice(world: World) -> None:
    """An operation changes a record at most once in each form it was sent."""
    changed: Counter[tuple[str, str, str]] = Counter()
    for exchange in world.server.exchanges:
        before = exchange.counter
        for raw, result in zip(exchange.request.operations, exchange.reply.results, strict=True):
            if result.status == "applied" and (result.version or 0) > before:
                operation = from_wire(raw)
                changed[exchange.user_id, operation.id, operation.timestamp] += 1
    assert max(changed.values(), default=1) == 1, "an operation took effect twice"
