"""Books kept beside a simulated fleet, from what was asked, answered and stored: I2 to I12 seen from outside.

They know nothing of how a pool decides. `Disk` shows them every commit in the order in which it became
durable, so they outlive managers; `WatchedSpool` shows them what workers keep and forget; clients tell them
what they were told. What they cannot see, the pool's own books, `core.pool.check` looks at.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import anyio
from taskmessenger.core.commit import Commit, unpack_leases
from taskmessenger.core.effects import Event, kept
from taskmessenger.core.journal import Journal
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool.operate import LIMIT, PAUSE
from taskmessenger.handle import Outcome
from taskmessenger.roles.spool import Kept, Spool
from taskmessenger.store.memory import MemoryStore
from taskmessenger.store.recover import IN_FULL

BEFORE, AFTER = "before the commit", "after the commit"
SPENDS_NOTHING: Final = frozenset({"released", "cancelled", "orphaned"})
WORDLESS: Final = 5
"""Of so many tasks one writes something."""
_Key = tuple[int, int]


class Disk(MemoryStore):
    """Outlives managers. A commit is all or nothing and takes time; a crash falls before or after it."""

    def __init__(self, rng: random.Random, in_full: int = IN_FULL) -> None:
        super().__init__(in_full=in_full)
        self.slowness = 0.0
        self.commits = 0
        self.doom: str | None = None
        """Where in the next commit the manager dies."""
        self.die: Callable[[], None] = lambda: None
        self.stored: Callable[[Commit], None] = lambda _: None
        self._rng = rng

    async def commit(self, batch: Commit) -> None:
        await anyio.sleep(self._rng.random() * (0.002 + self.slowness))
        await self._doomed(BEFORE)
        await super().commit(batch)
        self.commits += 1
        self.stored(batch)
        await self._doomed(AFTER)
        await anyio.sleep(self._rng.random() * (0.002 + self.slowness))

    async def _doomed(self, where: str) -> None:
        if self.doom == where:
            self.doom = None
            self.die()
            await anyio.sleep_forever()  # it is dead: it does not come back from here

    def has_end_of(self, task_id: int, attempt: int) -> bool:
        """Whether it is on record how this attempt ended, or that it does not count any more."""
        kept = self._tasks.get(task_id)
        return kept is not None and (kept.end is not None or kept.attempt >= attempt)

    def limit_of(self, task_id: int) -> int:
        """How many times this task may have run: attempts that were given back cost none of those it has."""
        kept = self._tasks[task_id]
        return kept.given[3] + sum(one[5] in SPENDS_NOTHING for one in kept.attempts)


def words_of(task_id: int, attempt: int) -> bytes:
    """What this attempt writes; most write nothing."""
    return b"" if task_id % WORDLESS else b"task %d, attempt %d\n" % (task_id, attempt)


class Ledger:
    """What is true of the whole fleet, whoever of it is alive."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        disk.stored = self._stored
        self.accepted: set[int] = set()
        self.cancelled: set[int] = set()
        """Acknowledged."""
        self.cancel_asked: set[int] = set()
        self.outcomes: dict[int, Outcome] = {}
        self.paused: set[str] = set()
        """Scopes whose pause was acknowledged, and whose end nobody has asked for."""
        self.caps: dict[str, int] = {}
        """Acknowledged, and not asked to be lifted."""
        self.executions: Counter[int] = Counter()
        self.running: dict[int, tuple[str, int]] = {}
        """Who runs which attempt of a task at this moment."""
        self.impersonated: set[str] = set()
        """Workers as which somebody else has spoken: what the manager was told of them is not true."""
        self.seen: Counter[str] = Counter()
        """How often something happened that an invariant is about: a check that never ran proves nothing."""
        self._highest: Counter[int] = Counter()
        self._leases: dict[int, tuple[str, int]] = {}
        self._keys: dict[str, int] = {}
        self._spooled: dict[str, set[_Key]] = {}

    # ---- what is stored ---------------------------------------------------------------------------------

    def _stored(self, batch: Commit) -> None:
        for row in batch.submitted:
            key = row[6]
            assert key is None or self._keys.setdefault(key, row[0]) == row[0], f"I10: key {key}: two tasks"
        for reopened in batch.reopened:
            if reopened[1] >= self._leases.get(reopened[-1], ("", 0))[1]:
                self._leases.pop(reopened[-1], None)
        for state, attempt, _, _, _, _, result, error, task_id in batch.settled:
            self._leases.pop(task_id, None)
            if state == TaskState.SUCCEEDED and (words := words_of(task_id, attempt)):
                there = self.disk._outputs.read(task_id, attempt, len(words) + 1)
                assert getattr(there, "data", b"") == words, f"I12: what task {task_id} wrote is {there}"
                self.seen["words beside a result"] += 1
            good = state == TaskState.SUCCEEDED
            assert (result is not None, error is not None) == (good, not good), f"I5: task {task_id}"
            asked = state != TaskState.CANCELLED or task_id in self.cancel_asked
            assert asked, f"G2: nobody asked for the end of task {task_id}"
        for _, worker, packed in batch.granted:
            for task_id, attempt in unpack_leases(packed):
                self._granted(worker, task_id, attempt)

    def _granted(self, worker: str, task_id: int, attempt: int) -> None:
        disk, kept = self.disk, self.disk._tasks[task_id]
        assert kept.end is None, f"G6: task {task_id} has ended and is leased"
        assert attempt > self._highest[task_id], f"I3: attempt {attempt} of task {task_id} a second time"
        assert task_id not in self._leases, f"I2: task {task_id} leased to {worker} and {self._leases}"
        scopes = {"all", f"kind:{kept.given[1]}", f"worker:{worker}"}
        stored = {name.removeprefix(PAUSE) for name in disk._settings if name.startswith(PAUSE)}
        paused = (stored | self.paused) & scopes
        assert not paused, f"I7: task {task_id} leased to {worker} while {paused} is paused"
        self._highest[task_id] = attempt
        self._leases[task_id] = (worker, attempt)
        caps = [int(disk._settings.get(LIMIT + worker, 1 << 30)), self.caps.get(worker, 1 << 30)]
        held = sum(name == worker for name, _ in self._leases.values())
        assert held <= min(caps), f"I8: {worker} has {held} leases, and may have {min(caps)}"
        self.seen["grants beside a pause"] += bool(stored)
        self.seen["grants under a cap"] += min(caps) < 1 << 30

    # ---- what clients are told --------------------------------------------------------------------------

    def submitted(self, ids: Iterable[int]) -> None:
        """A submission was answered."""
        self.accepted.update(ids)
        lost = [i for i in ids if i not in self.disk._tasks]
        assert not lost, f"G1: tasks {lost} were accepted and are not on the disk"

    def told(self, outcomes: Iterable[Outcome]) -> None:
        """G2: what was told is on the disk, and is never told otherwise."""
        for one in outcomes:
            before = self.outcomes.get(one.id)
            assert before is None or (before.state, before.attempt, before.result) == (
                one.state, one.attempt, one.result,
            ), f"I4: the outcome of task {one.id} changed: {before} -> {one}"  # fmt: skip
            end = self.disk._tasks[one.id].end
            assert end is not None, f"G2: the outcome of task {one.id} was told and is not on the disk"
            self.outcomes[one.id] = one

    def cancel_acknowledged(self, ids: Iterable[int]) -> None:
        """G6: it has ended, and so."""
        for task_id in ids:
            self.cancelled.add(task_id)
            end = self.disk._tasks[task_id].end
            assert end is not None, f"G6: task {task_id} was said to be cancelled and goes on"
            assert end[0] == TaskState.CANCELLED, f"G6: task {task_id} was cancelled and ended as {end[0]}"

    # ---- what workers do --------------------------------------------------------------------------------

    def begins(self, worker: str, task_id: int, attempt: int) -> None:
        """A worker begins an attempt: the one before has ended, wherever it was (a worker fences itself)."""
        other = self.running.get(task_id)
        assert other is None or other[0] in self.impersonated, (
            f"G4: task {task_id} is run by {other}, and by {worker} as attempt {attempt}"
        )
        self.running[task_id] = (worker, attempt)
        self.executions[task_id] += 1

    def ends(self, worker: str, task_id: int, attempt: int) -> None:
        """It is over, by itself or because its worker died."""
        if self.running.get(task_id) == (worker, attempt):
            del self.running[task_id]

    def found_in_spool(self, worker: str, keys: Iterable[_Key]) -> None:
        """A worker has started."""
        lost = self._spooled.get(worker, set()) - set(keys)
        assert not lost, f"I11: outcomes {lost} of {worker} were not acknowledged and are gone"
        self._spooled[worker] = set(keys)

    def spooled(self, worker: str, keys: Iterable[_Key]) -> None:
        """Attempts have ended and their outcomes are kept."""
        self._spooled[worker] |= set(keys)

    def forgotten(self, worker: str, keys: Iterable[_Key]) -> None:
        """A worker lets go of outcomes: then the manager has what there is to have."""
        for key in self._spooled[worker].intersection(keys):
            assert self.disk.has_end_of(*key), f"I11: {worker} forgot {key}, and nobody else has it"
            self._spooled[worker].discard(key)

    def all_accounted_for(self) -> None:
        """When everything is over nobody has news."""
        left = {worker: keys for worker, keys in self._spooled.items() if keys}
        assert not left, f"I11: {left} are never asked for"
        assert not self._leases, f"leases that never ended: {self._leases}"


class WatchedSpool(Spool):
    """A worker's spool, with its name, under the eyes of the ledger."""

    def __init__(self, ledger: Ledger, worker: str, folder: Path, max_bytes: int) -> None:
        super().__init__(folder, max_bytes)
        self._ledger, self._worker = ledger, worker
        ledger.found_in_spool(worker, self.keys)

    def add(self, outcomes: Iterable[Kept]) -> int:
        kept = list(outcomes)
        size = super().add(kept)
        self._ledger.spooled(self._worker, [(one.task, one.attempt) for one in kept])
        return size

    def drop(self, keys: Iterable[_Key]) -> int:
        gone = list(keys)
        self._ledger.forgotten(self._worker, gone)
        return super().drop(gone)


class Reader:
    """I9: reads a manager's journal as a console does, and misses nothing of what was decided."""

    def __init__(self, journal: Journal[tuple[float, Event]]) -> None:
        self.decided: list[Event] = []
        """By the pool, in order; what a crash keeps from being stored never gets into the journal."""
        self._journal, self._cursor, self._read = journal, 0, 0

    def look(self) -> None:
        """Everything since the last time."""
        page = self._journal.since(self._cursor)
        assert page.missed == 0, f"I9: {page.missed} events are gone before anybody read them"
        assert page.cursor == self._cursor + len(page.events), "I9: the journal skips numbers"
        expected = self.decided[self._read : self._read + len(page.events)]
        assert [event for _, event in page.events] == list(map(kept, expected)), (
            "I9: the journal tells another story"
        )
        self._cursor, self._read = page.cursor, self._read + len(page.events)

    def finish(self) -> None:
        """Nothing is under way any more."""
        while self._cursor < self._journal.next:
            self.look()
        assert self._read == len(self.decided), f"I9: {len(self.decided) - self._read} events were left out"
