"""Whether a merge policy is one: the order and number of merges must not matter.

A policy that breaks one of these laws makes devices disagree for good. ``check`` finds out, for
the states it is given::

    samples = [{"theme": "dark"}, {"theme": "light", "size": 2}]
    merge_laws.check(MyPolicy(), merge_laws.states_of(MyPolicy(), samples))
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from copy import deepcopy
from functools import reduce
from itertools import pairwise, product

from atiha_web.sync import hlc
from atiha_web.sync.merge import Data, MergePolicy, State

_START_MS = 1_750_000_000_000
_WRITERS = ("0123456789ab", "ba9876543210")
_ROUNDS = 3
_ORDERS = 12


def states_of(policy: MergePolicy, samples: Iterable[Data]) -> list[State]:
    """States that records of these data can come to: written, deleted, and merged from two.

    ``samples`` are data of single writes, as JSON objects. Each is written at several times and
    by two devices, in changing order, and so is a deletion. Pass few: checking takes time with
    the third power.
    """
    kinds: list[Data | None] = [*samples, None]
    orders = [kinds[::-1] if turn % 2 else kinds for turn in range(_ROUNDS)]
    stated = [data for order in orders for data in order]
    single = [policy.lift(_stamp(number), data) for number, data in enumerate(stated)]
    neighbours = pairwise(single)
    distant = zip(single, single[len(single) // 2 :], strict=False)
    merged = [policy.merge(*deepcopy(pair)) for pair in [*neighbours, *distant]]
    return _distinct([*single, *merged])


def check(policy: MergePolicy, states: Iterable[State]) -> None:
    """Merge all pairs and triples of ``states``, and all of them in batches.

    Merging must be idempotent (``a + a == a``), commutative (``a + b == b + a``) and associative
    (``(a + b) + c == a + (b + c)``). So whoever merges some of many states first, in whatever
    order, and sends some again, must come to the same. It must leave alone what it is given, and
    give what survives a round trip as JSON.

    Raises:
        AssertionError: a law is broken; the message names it and the states.
        ValueError: there are fewer than two different states, of which nothing could be learnt.
    """
    given = deepcopy(_distinct(states))
    if len(given) < 2:
        raise ValueError("merging is checked on two different states or more")
    _check_pairs(policy, given)
    _check_triples(policy, given)
    for size in (4, 5, len(given)):
        _check_batches(policy, given, min(size, len(given)))


def _check_pairs(policy: MergePolicy, states: Sequence[State]) -> None:
    for a, b in product(states, repeat=2):
        before = deepcopy((a, b))
        one, other = policy.merge(a, b), policy.merge(b, a)
        _hold((a, b) == before, "leave its arguments alone", *before)
        _hold(one == other, "be commutative", a, b)
        _hold(a != b or one == a, "be idempotent", a)
        _hold(policy.merge(one, b) == one, "be idempotent", one, b)
        _hold(_is_json(one), "give data that is JSON", a, b)


def _check_triples(policy: MergePolicy, states: Sequence[State]) -> None:
    numbers = range(len(states))
    pairs = {(i, k): policy.merge(states[i], states[k]) for i, k in product(numbers, repeat=2)}
    for i, j, k in product(numbers, repeat=3):
        left = policy.merge(pairs[i, j], states[k])
        right = policy.merge(states[i], pairs[j, k])
        _hold(left == right, "be associative", states[i], states[j], states[k])


def _check_batches(policy: MergePolicy, states: Sequence[State], size: int) -> None:
    """Fold in two batches, which share a state, what was merged one by one before."""
    orders = random.Random(size)  # noqa: S311 - repeatable, not secret
    for _ in range(_ORDERS):
        chosen = orders.sample(states, size)
        one_by_one = reduce(policy.merge, chosen)
        order, cut = orders.sample(chosen, size), orders.randrange(1, size)
        batches = reduce(policy.merge, order[:cut]), reduce(policy.merge, order[cut - 1 :])
        _hold(policy.merge(*batches) == one_by_one, "be the same in batches", *chosen)


def _is_json(state: State) -> bool:
    try:
        return bool(json.loads(json.dumps(state.data, allow_nan=False)) == state.data)
    except (TypeError, ValueError):
        return False


def _hold(holds: bool, law: str, *states: State) -> None:
    if not holds:
        shown = "\n".join(f"  {state!r}" for state in states)
        raise AssertionError(f"merging must {law}; broken by\n{shown}")


def _distinct(states: Iterable[State]) -> list[State]:
    found: list[State] = []
    for state in states:
        if state not in found:
            found.append(state)
    return found


def _stamp(number: int) -> str:
    return hlc.tick(_START_MS + number, _WRITERS[number % len(_WRITERS)])
