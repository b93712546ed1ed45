"""Planting a mistake in the shipped code: a function's own source with some text replaced."""

from __future__ import annotations
import __future__

import inspect
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atiha_web.sync.journal import decode_operation, encode_operation
from atiha_web.sync.local_store import LocalStore
from atiha_web.sync.operation import Operation
from tests.simulation.many import CHUNK
from tests.simulation.runs import plan_of, run, without_collector


@dataclass(frozen=True)
class Edit:
    """In ``owner.name`` (a class's or a module's function) ``old`` is replaced by ``new``."""

    owner: Any
    name: str
    old: str
    new: str


@dataclass(frozen=True)
class Mistake:
    """Something wrong that somebody might write, and in which of the first seeds it was caught."""

    name: str
    edits: tuple[Edit, ...]


def mistake(name: str, *edits: tuple[Any, str, str, str]) -> Mistake:
    """One line of the table."""
    return Mistake(name, tuple(Edit(*edit) for edit in edits))


@contextmanager
def planted(wrong: Mistake) -> Iterator[None]:
    """Run the block with the mistake in the shipped code.

    Raises:
        LookupError: the text to replace is not there, or not once: the code has changed.
    """
    with ExitStack() as undo:
        for edit in wrong.edits:
            undo.enter_context(_edited(edit))
        yield


@contextmanager
def _edited(edit: Edit) -> Iterator[None]:
    before = inspect.getattr_static(edit.owner, edit.name)
    changed = edit.new if callable(edit.new) else _compiled(edit, before)
    setattr(edit.owner, edit.name, changed)
    try:
        yield
    finally:
        setattr(edit.owner, edit.name, before)


def _compiled(edit: Edit, before: Any) -> Any:
    function = getattr(before, "fget", None) or getattr(before, "func", before)
    function = getattr(function, "__func__", function)
    source = getattr(function, "planted_source", None) or inspect.getsource(function)
    if source.count(edit.old) != 1:
        raise LookupError(f"{edit.name} has {source.count(edit.old)} times: {edit.old}")
    module = sys.modules[function.__module__]
    flags = __future__.annotations.compiler_flag
    changed_source = source.replace(edit.old, edit.new)
    code = compile(textwrap.dedent(changed_source), module.__file__ or "", "exec", flags)
    made: dict[str, Any] = {}
    exec(code, module.__dict__, made)  # noqa: S102 - our own source, changed by our own table
    changed = made[edit.name]
    plain = getattr(changed, "fget", None) or getattr(changed, "func", changed)
    getattr(plain, "__func__", plain).planted_source = changed_source
    if hasattr(changed, "__set_name__"):
        changed.__set_name__(edit.owner, edit.name)
    return changed


SEEN_BY: Mapping[str, int] = json.loads(Path(__file__).with_name("seen_by.json").read_text())
"""A seed for each mistake that saw it the last time: it is tried before all others."""


def first_seed_that_sees(wrong: Mistake, seeds: Iterable[int]) -> tuple[int, int] | None:
    """The first seed that a planted mistake breaks, and the invariant; ``None`` where none does."""
    every = list(seeds)
    with planted(wrong):
        for start in range(0, len(every), CHUNK):
            with without_collector():
                for seed in every[start : start + CHUNK]:
                    found = run(plan_of(seed)).violation
                    if found is not None:
                        return seed, found.number
    return None


# -- the journal as one array that all pages rewrite ---------------------------------------


async def _array(store: LocalStore) -> dict[str, str]:
    [text] = await store._storage.read([f"{store._names.journal}all"])
    return dict(json.loads(text or "{}"))


async def _rewrite(store: LocalStore, array: dict[str, str]) -> None:
    await store._storage.write({f"{store._names.journal}all": json.dumps(array)})


async def append(
    self: LocalStore, operation: Operation, replaces: Sequence[Operation] = ()
) -> None:
    """In place of ``LocalStore.append``."""
    array = await _array(self)
    array[operation.id] = encode_operation(operation)
    await _rewrite(self, {n: t for n, t in array.items() if n not in {o.id for o in replaces}})


async def append_shown(
    self: LocalStore,
    operation: Operation,
    replaces: Sequence[Operation],
    views: Mapping[str, str | None],
) -> None:
    """In place of ``LocalStore.append_shown``."""
    await append(self, operation, replaces)
    await self._storage.write(views)


async def remove(self: LocalStore, operation_ids: Iterable[str]) -> None:
    """In place of ``LocalStore.remove``."""
    names = set(operation_ids)
    await _rewrite(self, {n: t for n, t in (await _array(self)).items() if n not in names})


async def journal_ids(self: LocalStore) -> list[str]:
    """In place of ``LocalStore.journal_ids``."""
    return list(await _array(self))


async def read_operation(self: LocalStore, operation_id: str) -> Operation | None:
    """In place of ``LocalStore.read_operation``."""
    text = (await _array(self)).get(operation_id)
    return None if text is None else decode_operation(operation_id, text)


async def decode(self: LocalStore, prefix: str, decoder: Any, problems: list[str]) -> list[Any]:
    """In place of ``LocalStore._decode``."""
    if prefix == self._names.journal:
        return [decoder(name, text) for name, text in (await _array(self)).items()]
    keys = await self._storage.keys(prefix)
    texts = await self._storage.read(keys)
    return [decoder(k.removeprefix(prefix), t) for k, t in zip(keys, texts, strict=True) if t]


SHARED_ARRAY = tuple(
    Edit(LocalStore, name, "", function)  # type: ignore[arg-type]  # a whole function
    for name, function in [
        ("append", append),
        ("append_shown", append_shown),
        ("remove", remove),
        ("journal_ids", journal_ids),
        ("read_operation", read_operation),
        ("_decode", decode),
    ]
)
