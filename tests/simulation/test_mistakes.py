"""Mistakes planted in the shipped code: each must be caught within the seeds of every run.

To add one is one line: its name, then where it is: the owner of a function, the function, the text
to replace and the text to put there. ``python -m tests.simulation --mistakes`` tells which seed
sees each, and remembers it: that one is tried first.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from atiha_web.backends.mirror import MirroredStorage
from atiha_web.server import decisions, push, rows_memory
from atiha_web.session import Session
from atiha_web.sync import (
    adoption,
    base_store,
    calls,
    cycle,
    journal,
    local_store,
    outcomes,
    reconciler,
    recovery,
    rest_cycle,
    rest_outcomes,
    results,
)
from atiha_web.sync.acceptance import Acceptance
from atiha_web.sync.agreement import Agreement
from atiha_web.sync.base_cycle import Cycle
from atiha_web.sync.base_store import BaseStore
from atiha_web.sync.batches import BatchLimit
from atiha_web.sync.clock import CorrectedClock
from atiha_web.sync.cycle import SyncCycle
from atiha_web.sync.engine import Engine
from atiha_web.sync.guest import GuestAdoption
from atiha_web.sync.local_replica import LocalReplica
from atiha_web.sync.local_store import LocalStore
from atiha_web.sync.merge import PerField, ViewingSessions
from atiha_web.sync.names import Names
from atiha_web.sync.pages import Manifest
from atiha_web.sync.reconciler import Reconciler
from atiha_web.sync.replica import Base, CollectionView, Replica
from atiha_web.sync.resolution import Merged, Replayed
from atiha_web.sync.rest_cycle import RestCycle
from atiha_web.sync.scheduler import Scheduler
from atiha_web.sync.signed_in import SignedIn
from atiha_web.sync.stored_views import StoredViews
from atiha_web.sync.tabs import TabFollower
from atiha_web.sync.waits import Waits
from tests.simulation.mistakes import (
    SEEN_BY,
    SHARED_ARRAY,
    Edit,
    Mistake,
    first_seed_that_sees,
    mistake,
    planted,
)
from tests.simulation.test_worlds import SEEDS

# fmt: off
# ruff: noqa: E501 - one line for each, however long
MISTAKES = [
    mistake("delete before acknowledge", (SyncCycle, "_exchange", "            answer = await", "            await local.settle([each.id for each in batch.operations], [])\n            answer = await")),
    mistake("cursor by updated_at", (rows_memory._User, "changes", "row.version > cursor", "row.timestamp > max((each.timestamp for each in self.rows.values() if each.version <= cursor), default='')")),
    mistake("no tombstone", (rows_memory._MemoryTransaction, "commit", "self._user.rows |= self._written", "self._user.rows = {name: row for name, row in {**self._user.rows, **self._written}.items() if row.data is not None}")),
    mistake("no tombstone on the client", (Base, "put_changes", "            record = RecordKey(", "            if change.deleted and self.rows.pop(RecordKey(change.collection, change.key), None) is None:\n                continue\n            record = RecordKey(")),
    mistake("retry dropped after 3", (Cycle, "_send", "            if outcome.kind is not", "            if attempt == tries:\n                await self._local.settle(list(self._carried), [])\n            if outcome.kind is not")),
    mistake("base shown without pending", (Replica, "state", "if operations:", "if operations and row is None:")),
    mistake("pending shown over newer base", (Merged, "apply", "if state is None else policy.merge(state, lifted)", "")),
    mistake("acknowledged operation removed before base is stored", (Reconciler, "_apply", "            try:\n", "            await local.store.remove([each.id for each in operations if each.id in verdicts.acknowledged])\n            try:\n")),
    mistake("late reply applied", (Reconciler, "_take_changes", "if asked != self.asked():", "if False:")),
    mistake("clock uncorrected", (CorrectedClock, "measure", "self.offset_ms = offset", "pass")),
    mistake("server re-stamps", (decisions, "_statement", "collection.policy, operation.timestamp", "collection.policy, hlc.shift(operation.timestamp, 1)")),
    Mistake("journal as one shared array", SHARED_ARRAY),
    mistake("view taken for truth", (adoption, "_is_our_row", "return isinstance(key, str) and", "return False and"), (LocalReplica, "_adopt_lists", "if base.epoch is not None or base.rows:", "if False:"), (LocalReplica, "_adopt_lists", "base.put(record, row)\n", "base.put(record, row, force=True)\n")),
    mistake("mirror ignored", (MirroredStorage, "_recover", "stored, mirrored, now_ms", "stored, {}, now_ms")),
    mistake("mirror replayed after drop", (recovery, "_is_over", "        return True\n", "        return False\n")),
    mistake("user not in the key", (Names, "prefix", "_encoded(self.user_id)", "'user'")),
    mistake("result ignored", (Reconciler, "_take_rows", "in verdicts.acknowledged.values()", "in ()")),
    mistake("digest ignored", (Reconciler, "_take_changes", "differs = comparable and", "differs = False and")),
    # Beyond the list that is asked for.
    mistake("cursor one too far", (decisions, "reply", "page[-1].version if more", "page[-1].version + 1 if more")),
    mistake("cursor one too far on the client", (Reconciler, "_take_changes", "reply.epoch, reply.cursor\n", "reply.epoch, reply.cursor + reply.more\n")),
    mistake("the rest of the pages left out", (SyncCycle, "_exchange", "reply.more or reconciler.rebuilding", "reconciler.rebuilding")),
    mistake("the mirror keeps what is gone", (MirroredStorage, "write", "if covers(key)}", "if covers(key) and text}")),
    mistake("disk promised at once", (MirroredStorage, "flush", "range(2)", "range(0)"), (MirroredStorage, "flush", "self._mirror is None or self._confirmed < wanted:", "self._mirror is None:")),
    mistake("server promised at once", (Engine, "wait_saved", "if name not in local.memory.pending:", "if True:")),
    mistake("guest adopted twice", (GuestAdoption, "_adopt", "await store.give_up(each.id for one in pending for each in (one, *one.earlier))", "pass")),
    mistake("guest adopted by nobody", (GuestAdoption, "_hand_over", "await store.append(", "(")),
    mistake("quarantine dropped", (LocalStore, "put_in_quarantine", "await self._write_making_room(", "(")),
    mistake("deleted rows in the digest", (Base, "_digest", "row is None or row.state.deleted", "row is None")),
    mistake("reset loses what is pending", (Reconciler, "_take_changes", "if reply.reset:\n", "if reply.reset:\n            local.memory.remove(list(local.memory.pending))\n")),
    mistake("fields lost on merge", (PerField, "merge", "stamps_a.keys() | stamps_b.keys()", "+stamps_b.keys() if False else set(stamps_b)")),
    mistake("completed lost on merge", (ViewingSessions, "merge", "if loser.data.get(COMPLETED) and not", "if not loser.data.get(COMPLETED) and not")),
    mistake("tombstone resurrected by a late row", (Base, "put", "and not force and", "and not force and not old.state.deleted and")),
    mistake("asked to wait, for ever", (Scheduler, "_failed", "outcome.message, outcome.retry_after", "outcome.message, None")),
    mistake("no way back from needs_auth", (Scheduler, "hurry", 'self._state == "upgrade_required"', 'self._state in ("upgrade_required", "needs_auth")')),
    mistake("kept is discarded", (Session, "sign_out", 'if pending == "discard":', "if True:")),
    mistake("held for ever", (SyncCycle, "_held_now", "until > now", "until > 0")),
    mistake("effect twice", (decisions, "_number", "if old is not None and old.state == new:", "if False:")),
    mistake("no operation is too far ahead", (decisions, "validate", "if hlc.milliseconds(operation.timestamp) >", "if False and hlc.milliseconds(operation.timestamp) >")),
    mistake("an earlier server writes over what it cannot read", (decisions, "_left_alone", "if row is None or row.schema <= collection.schema:", "if True:")),
    mistake("epoch ignored", (decisions, "must_reset", "epoch != state.epoch or", "")),
    mistake("coalesced too much", (Merged, "covers", "policy.merge(policy.lift(older.timestamp, older.data), state) == state", "True")),
    mistake("journal not read again under the lock", (Cycle, "run", "await self._reconciler.catch_up()", "pass")),
    mistake("other tabs' removals ignored", (TabFollower, "_take_over_operation", "gone = None if is_there else await local.gone(operation_id)", "gone = None")),
    mistake("one bad operation blocks the others", (SyncCycle, "_divide", "if len(batch) > 1:", "if len(batch) > 10_000:"), (SyncCycle, "_divide", "if not outcome.ours:", "if len(batch) > 1:\n            return False\n        if not outcome.ours:")),
    mistake("views left behind at sign-out", (Session, "sign_out", "await self._take_out_of_view(current)", "pass"), (Session, "_hide", "await self._take_out_of_view(signed_in)", "pass")),
    mistake("who dies as they sign out is still shown", (Session, "_hide", "await self._take_out_of_view(signed_in)", "pass")),
    mistake("a guest sends", (GuestAdoption, "_live", "operation.timestamp > ended", "True")),
    mistake("REST rows without a version", (push, "_state", "await transaction.write(pushed.rows, pushed.state)", "await transaction.write(pushed.rows, transaction.state)")),
    # Long work in parts.
    mistake("the last part of a reply left out", (reconciler, "in_turns", "        part = list(islice(remaining, size))\n        if part:", "        part = list(islice(remaining, size))\n        if len(part) < size:\n            return\n        if part:")),
    mistake("the last pages left out", (base_store, "in_turns", "        part = list(islice(remaining, size))\n        if part:", "        part = list(islice(remaining, size))\n        if len(part) < size:\n            return\n        if part:")),
    mistake("the first part of the journal only", (local_store, "in_turns", "    while part:", "    if part:")),
    mistake("manifest before its pages", (BaseStore, "_write_in_turns", "        async for some", "        await self._storage.write({self._names.manifest: manifest})\n        stored = manifest\n        async for some")),
    mistake("others write in the middle of a part of a reply", (LocalReplica, "accept", "async with self.mutex.short:", "if True:")),
    # What one operation takes the place of.
    mistake("what a refused write replaced is gone", (Acceptance, "__init__", "in_place_of(operation, self._covered)", "operation")),
    mistake("what a refused write replaced comes back nowhere", (LocalReplica, "settle", "await self._bring_back(operation, apart_from=done)", "pass")),
    mistake("replaced means saved", (Engine, "wait_saved", "local.successor(operation.id)", "operation.id")),
    # Tabs.
    mistake("other tabs' writes unheard", (TabFollower, "_add", "local.memory.add(operation)", "pass")),
    mistake("other tabs' base unheard", (TabFollower, "_take_over", "await local.reload_base()", "pass")),
    mistake("a clear unheard", (TabFollower, "_take_over_clear", "await local.restore()", "pass")),
    mistake("a sign-out in another tab unheard", (Session, "_on_storage", "self._spawn(self._follow_session())", "pass")),
    # Base.
    mistake("pending forgotten as base is swapped", (Replica, "swap_base", "self.refresh(self._by_record)", "pass")),
    mistake("a stale row taken for newer", (Base, "put", "row.version <= old.version", "row.version < old.version - 1")),
    mistake("a base that is incomplete counts as complete", (Manifest, "without_oldest", "Manifest(None, 0, EMPTY,", "Manifest(self.epoch, self.cursor, self.digest,")),
    mistake("no way back from too little room", (BaseStore, "write_back", "not await self._room.is_there()", "True")),
    # The cycle, its timing, what others read of it, and the server.
    mistake("what storage lacks is not put there", (MirroredStorage, "_recover", "await self._storage.write(recovery.storage)", "pass")),
    mistake("sign-out forgotten at the next start", (Session, "sign_out", "await self._hide()", "pass")),
    mistake("a guest's profile under the guest's key", (GuestAdoption, "_restated", "if single else operation", "if False else operation")),
    mistake("nothing sent as a page is hidden", (SyncCycle, "parting_request", "if not batch.operations:", "if True:")),
    mistake("the server's wish ignored", (Scheduler, "_until_next", "if poll_after is None or not poll_after > 0:", "if True:")),
    mistake("no timer after a success", (Scheduler, "_succeeded", "self._due = self._now() + self._until_next(report.poll_after)", "self._due = None")),
    mistake("writes wait for the timer", (Scheduler, "poke", 'if not (self._state == "idle" or self._partly):', "if True:")),
    mistake("looked at, and nothing happens", (Scheduler, "_on_signal", 'in ("online", "visible")', 'in ("online",)')),
    mistake("conflicts told of nobody", (Reconciler, "_note_conflicts", "if row.state.timestamp != operation.timestamp:", "if False:")),
    mistake("conflicts where there are none", (Reconciler, "_note_conflicts", "for name in verdicts.superseded:", "for name in verdicts.acknowledged:"), (Reconciler, "_note_conflicts", "if row.state.timestamp != operation.timestamp:", "if True:")),
    mistake("a lock kept by who failed", (Cycle, "run", "            await self._exchange_all(tally)\n", "            try:\n                await self._exchange_all(tally)\n            except CycleFailedError:\n                await asyncio.sleep(10_000)\n")),
    mistake("held for good", (SyncCycle, "_hold", "time() + HOLD_SECONDS", "time() + 1e9")),
    mistake("an older server's refusal is final", (results, "_judge", "result.code in _SERVER_IS_OLDER", "False")),
    mistake("a view that is rendered once", (StoredViews, "changes", 'if self._written.get(key, "") != text', "if key not in self._written")),
    mistake("the last of several statements of a record counts alone", (decisions, "_merge", "current = merged.get(record)", "current = None")),
    mistake("only one change of a push is numbered", (decisions, "_number", "        counter += 1\n", "        counter = state.counter + 1\n")),
    mistake("a deletion stays in the digest", (decisions, "_number", "if old is not None and old.data is not None:", "if old is not None and old.data is not None and new.data is not None:")),
    mistake("the sender is never told of a merge", (decisions, "_result", "record=None if told else", "record=None if True else")),
    mistake("superseded means applied", (decisions, "_result", '"applied" if own or effective else "superseded"', '"applied"')),
    mistake("one refusal ends the push", (decisions, "push", "    merged: dict[RecordKey, State] = {}\n", "    merged: dict[RecordKey, State] = {}\n    verdicts = [v if isinstance(v, Result) or not any(isinstance(w, Result) for w in verdicts) else Result(id=v.operation.id, status='rejected', code='invalid') for v in verdicts]\n")),
    # What must coincide to be seen.
    mistake("older taken out before newer is in", (LocalStore, "append", "        await self._write_making_room({key: encode_operation(operation)})\n", "        await self._remove(self._names.journal + older.id for older in replaces)\n        await self._write_making_room({key: encode_operation(operation)})\n"), (LocalStore, "append_shown", "            {journal + operation.id: encode_operation(operation), **replaced, **views}", "            {**replaced, journal + operation.id: encode_operation(operation), **views}")),
    mistake("out of the journal before in quarantine", (LocalStore, "put_in_quarantine", "        await self._write_making_room(", "        await self.remove([name])\n        await self._write_making_room(")),
    mistake("hidden means sent", (SyncCycle, "parting_request", "        # As few", "        local.forget([each.id for each in batch.operations])\n        # As few")),
    mistake("order lost as a clock is corrected", (reconciler, "restamp", "after=floor", "after=None")),
    mistake("what a refused write replaced is in memory only", (LocalReplica, "_bring_back", "await self.store.append(operation)", "pass")),
    mistake("a clear heard late brings back what was given up", (LocalReplica, "restore", "if await self.store.base.was_given_up():", "if False:"), (TabFollower, "_take_over_clear", "if self._discards:", "if False:")),
    mistake("what is refused is kept of who discarded it meanwhile", (LocalReplica, "settle", "await self.give_up_too()", "pass")),
    mistake("a clear heard late signs in again who signed out", (LocalStore, "restore", "is_first = all(text is None for text in told[was_own:])", "is_first = True"), (LocalReplica, "restore", "None if self.hidden else self.session", "self.session")),
    mistake("old before new in the mirror", (MirroredStorage, "_carry_once", "{**changes, **self._waiting}", "{**self._waiting, **changes}")),
    mistake("drained means asked once", (Session, "drain", "return current.status().pending", "return 0")),
    mistake("a damaged page goes unseen", (BaseStore, "open", "whole = await self._read_pages(manifest, opened)", "whole = await self._read_pages(manifest, opened) or True")),
    # Where the server is none of ours.
    mistake("a load older than an acknowledgement is taken", (RestCycle, "_take", "if self._learned_since(collection.name, asked):", "if False:")),
    mistake("another key at each try", (RestCycle, "_request", '"idempotency-key": operation_id', '"idempotency-key": f"{operation_id}{int(asyncio.get_running_loop().time() * 7) % 10}"')),
    mistake("what comes after a failure is sent at once", (RestCycle, "_drain", "                self._fail(resource, error.outcome)\n                return\n", "                self._fail(resource, error.outcome)\n                continue\n")),
    mistake("the newest is sent first", (RestCycle, "_queues", "key=lambda item: (item.timestamp, item.id)", "key=lambda item: (item.timestamp, item.id), reverse=True")),
    mistake("not every write is sent", (Replayed, "covers", "return False", "return newer.data is not None and not isinstance(policy, PerField)")),
    mistake("one refusal ends the cycle", (RestCycle, "_replay", "            if error.outcome.kind is not Kind.REFUSED:\n", "            if True:\n")),
    mistake("who is to sign in is refused for good", (rest_outcomes, "_failure", "if status == 401:", "if False:")),
    mistake("a busy server's answer is a refusal", (rest_outcomes, "_failure", "if status in (429, 503):", "if status == 503:")),
    mistake("a portal's page is a success", (rest_outcomes, "_success", '    try:\n        read_json(response)\n    except NetworkError as error:\n        return Outcome(Kind.TRANSIENT, f"{error}; trying again")\n', "")),
    mistake("what is gone cannot be deleted", (rest_cycle, "classify_rest", 'if request.method == "DELETE" and status in _GONE:', "if False:")),
    mistake("the journal shrinks before base is stored, over REST", (RestCycle, "_acknowledge", "            await local.store_base(changed)\n            await local.settle([operation.id], [])\n", "            await local.settle([operation.id], [])\n            await local.store_base(changed)\n")),
    mistake("acknowledged, and not in base, over REST", (RestCycle, "_acknowledge", "base.put(record, Row(base.newest + 1, state))", "pass")),
    mistake("what the server has no more stays", (rest_cycle, "_differing", "            differing[record] = State(row.state.timestamp, None)\n", "            pass\n")),
    mistake("asked to wait, and forgotten", (Waits, "note", "if seconds is not None:", "if False:")),
    mistake("one path that fails holds up all", (RestCycle, "_drain", "if error.outcome.kind is Kind.NEEDS_AUTH:", "if True:")),
    mistake("half of an object is sent", (Replayed, "complete", "if name in nested and isinstance(value, Mapping)", "if False")),
    mistake("deletions name nothing", (calls, "_named", "{collection.key_alias: operation.key}", "{}")),
    mistake("what a server fills in is sent", (calls, "_members", "kept = set(data if fields is None else fields) - left_out", "kept = set(data if fields is None else fields)")),
    mistake("a row that nobody can read stops all", (rest_cycle, "read_all", "            note(str(error))\n", "            raise\n")),
    mistake("a hidden page sends the newest", (RestCycle, "parting_request", "first = queue[0]", "first = queue[-1]")),
    mistake("a hidden page sends nothing over REST", (RestCycle, "parting_request", "return self._request(self._call(first), first.id)", "return None")),
    mistake("nothing is read over REST", (RestCycle, "_pull", "for _ in range(LOADS):", "for _ in range(0):")),
    mistake("order by the clock alone", (Replica, "newest_before", 'return max(known or "", self.latest) or None', "return known")),
    mistake("what is read is not shown", (RestCycle, "_take", "                local.memory.refresh(changed)\n", "")),
    mistake("a server's later time hides what waits", (Replayed, "apply", "if state is not None and state.timestamp >= timestamp:", "if False:")),
    mistake("dropped after some tries over REST", (RestCycle, "_drain", "self._fail(resource, error.outcome)", "self._fail(resource, error.outcome); await self._local.settle([operation.id], [])")),
    # What else is believed, or given up, too early or too late.
    mistake("over REST what others know better is not learned", (Agreement, "_join", "learned = mine.put_ahead(stored)", "learned = []")),
    mistake("given up before the mirror knows", (LocalStore, "_give_up", 'await self._storage.flush("disk")', "pass")),
    mistake("marks of whole writers unread", (recovery._Marks, "__contains__", " or 0 < _number(number) <= self._last.get(writer, 0)", "")),
    mistake("marks of nobody", (LocalStore, "erase", "for writer, number in last.items()]", "for writer, number in last.items() if not writer]")),
    mistake("erased without a sign", (LocalStore, "erase", "        await self._storage.write({self._names.manifest: erased(self._writer)})\n", "")),
    mistake("quarantine not written after a clear", (LocalStore, "restore", "{**journal, **refused, **signed_in}", "{**journal, **signed_in}")),
    mistake("session not written after a clear", (LocalStore, "restore", "{**journal, **refused, **signed_in}", "{**journal, **refused}")),
    mistake("the queue of who left stays", (Session, "_switch", "await self._clean_queue()", "pass")),
    mistake("quarantine of other tabs unheard", (TabFollower, "_take_over", "await self._take_over_refused(change)", "pass")),
    mistake("acknowledgements not told to the base being built", (Reconciler, "_take_rows", "if incoming is not None and incoming.epoch == reply.epoch:", "if False:")),
    mistake("sent before the time is known", (SyncCycle, "_batch", "if not self._local.clock.measured:", "if False:")),
    mistake("swapped before it is whole", (Reconciler, "_take_changes", "None if shown or reply.more else target", "None if shown else target")),
    mistake("quarantined and still shown", (LocalReplica, "settle", "done.append(operation.id)", "pass")),
    mistake("what was replaced is not kept", (local_store, "encode_operation", "if operation.earlier:", "if False:")),
    mistake("schema untold in the journal", (journal, "_members", "        operation.schema,\n", "        1,\n")),
    mistake("timestamps not monotone for a key", (CorrectedClock, "tick", "self.writer, newest)", "self.writer, None)")),
    mistake("every clock error is noise", (CorrectedClock, "measure", "if abs(offset - self.offset_ms) < MIN_CHANGE_MS + round_trip // 2:", "if abs(offset - self.offset_ms) < 60_000:")),
    mistake("somebody else's 401", (cycle, "classify", "(_OURS if ours else _FOREIGN)", "_OURS")),
    mistake("no longest wait", (outcomes, "wait_asked", "return min(max(seconds, 0.0), RETRY_AFTER_LAST)", "return max(seconds, 0.0)")),
    mistake("a new session keeps the old token's trouble", (Scheduler, "hurry", "        self._due = self._now()\n", "        pass\n")),
    mistake("a page row too many", (decisions, "reply", "page = pulled[:limit]", "page = pulled")),
    mistake("digest forgets what was there", (decisions, "_number", "            digest ^= row_digest(*record, old.version)\n", "            pass\n")),
    mistake("the server merges nothing", (decisions, "_merge", "merged[record] = collections[record.collection].policy.merge(current, verdict.state)", "merged[record] = verdict.state")),
    mistake("anybody's profile", (decisions, "validate", "if collection.single and operation.key != user_id:", "if False:")),
    mistake("rows of a push told twice", (rows_memory._MemoryTransaction, "changes", "if row.record not in self._written", "if True")),
    mistake("tombstones untold", (rows_memory._User, "changes", "if row.version > cursor", "if row.version > cursor and row.data is not None")),
    mistake("a new view order", (CollectionView, "set", "insort(self._order, (state.timestamp, key))", "self._order.append((state.timestamp, key))")),
    mistake("halved to nothing", (BatchLimit, "refused", "max(1, size // 2)", "max(2, size // 2)")),
    mistake("a reset forgets what was rebuilt", (Reconciler, "_take_changes", "local.incoming = Base(reply.epoch)\n            return 0, None", "return 0, None")),
    mistake("cleared storage taken for acknowledgement", (Reconciler, "catch_up", "if absent and await", "if False and await")),
    mistake("an erased base written again", (BaseStore, "_was_erased", "self._given_up or (is_erased(stored) and", "False and (True and")),
    mistake("more confirmed than was carried", (MirroredStorage, "_carry_once", "self._confirmed = collected", "self._confirmed = self._collected")),
    mistake("what the mirror lacks is not put there", (MirroredStorage, "_recover", "self._collect(recovery.mirror)", "pass")),
    mistake("the earlier session wins", (recovery, "_later_session", "times[1] > times[0]", "times[1] < times[0]")),
    mistake("marks forgotten at once", (recovery, "_is_old", "> MARK_DAYS * _DAY_MS", ">= 0")),
    mistake("a batch of more than fits", (SyncCycle, "_divide", "self._limit.refused(len(batch))", "pass")),
    mistake("what is hidden is sent twice", (SyncCycle, "parting_request", "self._carried | self._parted", "set()")),
    mistake("views of who was here before stay", (Session, "sign_in", "await self._take_out_of_view(previous)", "pass")),
    # What is taken back, or done by half, where all was well.
    mistake("marks are not mirrored", (MirroredStorage, "write", "covers = self._policy.covers", "covers = lambda key: self._policy.covers(key) and 'forgotten' not in key")),
    mistake("quarantine is not mirrored", (MirroredStorage, "write", "covers = self._policy.covers", "covers = lambda key: self._policy.covers(key) and ':q:' not in key")),
    mistake("signed out before the mirror knows", (Session, "sign_out", 'await self._backend.storage.flush("disk")', "pass")),
    mistake("heir told after the hand-over", (GuestAdoption, "_adopt", "        await self._storage.write({HEIR_KEY: heir})\n        await self._hand_over(heir, self._live(pending))\n", "        await self._hand_over(heir, self._live(pending))\n        await self._storage.write({HEIR_KEY: heir})\n")),
    mistake("retried before it is there", (Engine, "retry_quarantined", "        stored = self.local", "        kept = self.local.memory.quarantine[operation_id]\n        await self.drop_quarantined([operation_id])\n        self.local.memory.quarantine[operation_id] = kept\n        stored = self.local")),
    mistake("discarded writes count as saved", (Engine, "wait_saved", "if name in local.given_up:", "if False:")),
    mistake("what waited long is mirrored as it was", (MirroredStorage, "_carry_once", "changes = dict(zip(changes, held, strict=True))", "pass")),
    mistake("restated in memory only", (LocalReplica, "restate", "await self.store.append(operation)", "pass")),
    mistake("disbelieved without its older ones", (Acceptance, "_disbelieve", "            local.memory.add(older)\n", "            pass\n")),
    mistake("believed though not stored", (Acceptance, "at_once", "if not stored:", "if False:")),
    mistake("a failed transaction forgotten", (MirroredStorage, "_carry_once", "self._waiting, self._since = {**changes, **self._waiting}, since", "self._confirmed = collected")),
    mistake("the last changes left behind at close", (MirroredStorage, "close", "if self._waiting:", "if False:")),
    mistake("half a sign-in", (SignedIn, "_write_whole", "            await self._storage.write(dict(again))\n", "")),
    mistake("adoption begun is not finished", (GuestAdoption, "_is_needed", "if await self._heir() is not None:", "if False:"), (GuestAdoption, "run", "await self._heir() or user_id", "user_id")),
]
# fmt: on


def see(name: str) -> tuple[int, int] | None:
    """In another process: a seed that catches the mistake of this name, and the invariant."""
    [wrong] = [each for each in MISTAKES if each.name == name]
    known = {SEEN_BY[name]} & {*SEEDS} if name in SEEN_BY else set()
    return first_seed_that_sees(wrong, [*known, *SEEDS])


def see_all(jobs: int | None = None) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """The name of each mistake, one by one, with what catches it."""
    names = [each.name for each in MISTAKES]
    with ProcessPoolExecutor(jobs or os.cpu_count(), get_context("spawn")) as pool:
        yield from zip(names, pool.map(see, names), strict=True)


@pytest.mark.timeout(0)
def test_every_planted_mistake_is_caught() -> None:
    assert [name for name, seed in see_all() if seed is None] == []


def test_no_two_mistakes_have_one_name() -> None:
    names = [each.name for each in MISTAKES]
    assert len(set(names)) == len(names)


def test_a_mistake_that_no_longer_fits_the_code_is_told() -> None:
    stale = Mistake("stale", (Edit(Base, "put", "no such text", ""),))
    with pytest.raises(LookupError, match="put has 0 times"), planted(stale):
        pass


def test_a_mistake_is_taken_back() -> None:
    before = Merged.apply
    with planted(mistake("", (Merged, "apply", "if state is None", "if True"))):
        assert Merged.apply is not before
    assert Merged.apply is before
