"""What happens in a world, drawn from its seed as a list of steps: some can be left out."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from types import MappingProxyType

from tests.simulation.browser import DeviceSpec

PAUSES = [0.0, 0.0, 0.01, 0.3, 0.3, 0.3, 1.0, 5.0, 5.0, 40.0]
"""Seconds after a step."""
SIZES = [4, 8, 8, 12, 12, 20, 36]
WRONG_CLOCKS = {"jump_clock", "clock_set_right", "clock_set_back"}
"""What happens only where clocks may be wrong."""
AT_ONE_MOMENT = {"two_heirs"}
"""What happens only where pages see at once what others store."""
SHARES = {"skewed": 0.25, "rest": 0.05, "worn": 0.12, "late": 0.15}
"""How many of all worlds have wrong clocks, a server that is none of ours, years, and ``late``."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens on one device; ``dice`` seeds all it leaves to chance."""

    kind: str
    device: int
    dice: int
    pause: float


@dataclass(frozen=True)
class Plan:
    """A world and everything that happens in it."""

    seed: int
    devices: tuple[DeviceSpec, ...]
    users: int
    skewed: bool
    server_release: int
    page_limit: int
    page_releases: tuple[int, ...]
    steps: tuple[Step, ...]
    tight: bool = False
    """Whether pages, batches and parts of long work are as small as the world."""
    poll_after: float | None = None
    """When the server tells clients to ask again, in seconds."""
    unseen: bool = False
    """Whether nobody looks at a page as trouble ends: timers alone must do."""
    rest: str = ""
    """What updates are sent with, where the server is none of ours; empty for ours."""
    worn: bool = False
    """Whether devices are in use for long: browsers ask, storage is damaged, people look."""


def to_text(plan: Plan) -> str:
    """A plan in one line, to be kept: what a seed stands for changes with what may happen."""
    return json.dumps(astuple(plan), separators=(",", ":"))


def from_text(text: str) -> Plan:
    """The plan that ``to_text`` wrote."""
    seed, devices, users, skewed, release, limit, releases, steps, *rest = json.loads(text)
    return Plan(
        seed,
        tuple(DeviceSpec(*each) for each in devices),
        users,
        skewed,
        release,
        limit,
        tuple(releases),
        tuple(Step(*each) for each in steps),
        *rest,
    )


def draw(
    seed: int,
    weights: Mapping[str, float],
    rest: Mapping[str, float] = MappingProxyType({}),
    wear: Mapping[str, float] = MappingProxyType({}),
    late: Mapping[str, float] = MappingProxyType({}),
    shares: Mapping[str, float] = MappingProxyType(SHARES),
) -> Plan:
    """The plan of a seed; ``weights`` says what may happen, and how often.

    So does ``rest``, where the server is none of ours, and ``wear``, in some worlds; and
    ``late``, in worlds of two users whose devices have a database. ``shares`` is like ``SHARES``.
    """
    chance = random.Random(seed)
    skewed = chance.random() < shares["skewed"]
    devices = tuple(
        _device(chance, skewed=skewed) for _ in range(chance.choice([1, 1, 1, 2, 2, 3]))
    )
    mixed = chance.random() < 0.15
    releases = tuple(chance.choice([1, 2]) if mixed else 2 for _ in devices)
    # Each world knows some kinds of trouble and not others: rare ones meet each other that way.
    odds = {
        kind: weight * (1 if kind == "write" else chance.choice([0, 0, 1, 1, 4]))
        for kind, weight in weights.items()
        if skewed or kind not in WRONG_CLOCKS
    }
    odds["write"] *= chance.choice([0.5, 1, 2])
    kinds = chance.choices(list(odds), list(odds.values()), k=chance.choice(SIZES))
    steps = tuple(
        Step(kind, chance.randrange(len(devices)), chance.getrandbits(32), chance.choice(PAUSES))
        for kind in kinds
    )
    users = chance.choice([1, 1, 2])
    limit = chance.choice([500, 500, 3, 1])
    release = chance.choice([1, 2, 2])
    tight = chance.random() < 0.3
    poll_after = chance.choice([None, None, None, 5.0, 120.0])
    unseen = chance.random() < 0.5
    plan = Plan(
        seed, devices, users, skewed, release, limit, releases, steps, tight, poll_after, unseen
    )
    # What is drawn from here on came later: it leaves alone what was drawn before.
    method = chance.choice(["PATCH", "PATCH", "PUT"])
    plan = replace(plan, rest=method if rest and chance.random() < shares["rest"] else "")
    plan = replace(plan, worn=bool(wear) and chance.random() < shares["worn"])
    more = _some(rest, 4, chance, skewed=skewed) if plan.rest else []
    more += _some(wear, chance.randint(1, 4), chance, skewed=skewed) if plan.worn else []
    plan = replace(plan, steps=_among(steps, more, len(devices), chance))
    if not late or plan.rest or chance.random() >= shares["late"]:
        return plan
    return _lately(plan, late, chance)


def _lately(plan: Plan, late: Mapping[str, float], chance: random.Random) -> Plan:
    devices = tuple(
        replace(device, mirror=True, guest=chance.random() < 0.6) for device in plan.devices
    )
    more = _some(late, chance.randint(1, 2), chance, skewed=plan.skewed)
    steps = _among(plan.steps, more, len(devices), chance)
    if not {*more}.isdisjoint(AT_ONE_MOMENT):
        devices = tuple(replace(device, locks=True, latency=None) for device in devices)
    return replace(plan, steps=steps, devices=devices, users=2)


def _some(
    weights: Mapping[str, float], number: int, chance: random.Random, *, skewed: bool
) -> list[str]:
    possible = {
        kind: weight for kind, weight in weights.items() if skewed or kind not in WRONG_CLOCKS
    }
    if not any(possible.values()):
        return []
    return chance.choices(list(possible), list(possible.values()), k=number)


def _among(
    steps: tuple[Step, ...], more: Iterable[str], devices: int, chance: random.Random
) -> tuple[Step, ...]:
    """Some more steps at any place among those that were drawn before."""
    mixed = list(steps)
    for kind in more:
        step = Step(kind, chance.randrange(devices), chance.getrandbits(32), chance.choice(PAUSES))
        mixed.insert(chance.randint(0, len(mixed)), step)
    return tuple(mixed)


def _device(chance: random.Random, *, skewed: bool) -> DeviceSpec:
    skew = chance.choice([0, -1500, 1500])
    if skewed:
        skew = chance.choice([0, -40_000, 40_000, 7_200_000, -7_200_000, 86_400_000, -86_400_000])
    return DeviceSpec(
        latency=chance.choice([None, None, 0.0, 0.02]),
        locks=chance.random() < 0.65,
        mirror=chance.random() < 0.7,
        guest=chance.random() < 0.3,
        skew=skew,
        slow_database=chance.choice([0, 0, 0, 0.3]),
    )
