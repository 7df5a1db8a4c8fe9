"""Books that are kept beside a pool, from what was said and stored, to hold the pool's own against.

They know nothing of how the pool decides: only who was leased what, who was heard of, and what is stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from taskmessenger.core import stimuli as s
from taskmessenger.core.commit import Commit, unpack_leases
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Pool, check
from taskmessenger.core.pool.doubts import SUSPECT
from taskmessenger.core.pool.links import SLOTS
from taskmessenger.core.pool.overdue import EXTENSION, LONGER, TAKE_OVER
from taskmessenger.core.pool.timers import LOOK

from .pool import ids_in_backlog
from .pool_store import RowStore

Lease = tuple[int, int]
TTL: Final = 30.0
WITHIN, GRACE = 12.0, 6.0
SPENT: Final = {"failed", "timed_out", "crashed", "lost"}


class Books:
    """What must be true of a pool, its store and its workers."""

    def __init__(self, pool: Pool, names: Sequence[str]) -> None:
        self.pool, self.store, self.now = pool, RowStore(), 100.0
        self.linked: dict[int, str] = {}
        """Sessions that the manager believes in."""
        self.leases: dict[int, tuple[str, int]] = {}
        """Who was last leased which attempt, and has not been heard to be done with it."""
        self.granted: dict[int, float] = {}
        """When the lease of a task was granted; later, when its worker or the manager was away since."""
        self.begun: dict[int, float] = {}
        """When it was heard that the lease of a task runs."""
        self.alive_until: dict[str, float] = dict.fromkeys(names, 0.0)
        """No lease of this worker may be taken away in silence before."""
        self.stalls = 0.0
        """Seconds that the manager may grant silent workers because it was away itself."""
        self.attempts: Counter[int] = Counter()
        """The highest attempt ever leased, over all lives of the manager."""
        self.spent: Counter[int] = Counter()
        """Attempts that ended badly, since a person last asked for the task."""
        self.paused: set[str] = set()
        self.caps: dict[str, int | None] = {}
        """Most leases that a worker may get, by the will of an operator."""
        self.outcomes: dict[int, object] = {}
        self.retried: set[int] = set()
        self.watched: set[tuple[int, int]] = set()
        self.has_backlog = False
        """Whether queued tasks may be without objects."""
        self.sound = True
        """Whether the last look at everything found nothing wrong."""

    def _heard(self, batch: Sequence[s.Stimulus]) -> None:
        """What the manager has learned about leases, in our own words."""
        for got in batch:
            if isinstance(got, s.WorkerJoined):
                self._unlink(got.worker)
                self.linked[got.session] = got.worker
                self.alive_until[got.worker] = self.now + TTL
                self._anew(got.worker)
            elif isinstance(got, s.Started):
                self._began(self.linked.get(got.session), got)
            elif isinstance(got, s.Pause):
                self.paused.add(got.scope)
            elif isinstance(got, s.Limit):
                self.caps[got.worker] = got.most
            elif isinstance(got, s.Resume):
                self.paused.discard(got.scope)
            elif isinstance(got, s.WorkerRevoked):
                self._unlink(got.worker)
                self._done(got.worker)
            elif isinstance(got, s.Beat | s.LinkLost | s.WorkerLeft | s.Holding | s.Finished | s.Broke):
                self._heard_from(self.linked.get(got.session), got)

    def _heard_from(
        self, name: str | None, got: s.Beat | s.LinkLost | s.WorkerLeft | s.Holding | s.Finished | s.Broke
    ) -> None:
        if name is None:
            return
        match got:
            case s.Beat():
                self.alive_until[name] = self.now + TTL
            case s.LinkLost():
                self._unlink(name)
            case s.WorkerLeft():
                self._unlink(name)
                self._done(name)
            case s.Holding():
                self._done(name, keep=set(got.leases))
            case s.Finished():
                self._done(name, only=set(zip(got.tasks, got.attempts, strict=True)))
            case s.Broke():
                self._done(name, only={(i, a) for i, a, *_ in got.ends})

    def _began(self, name: str | None, got: s.Started) -> None:
        for task_id, attempt in zip(got.tasks, got.attempts, strict=False):
            if self.leases.get(task_id) == (name, attempt):
                self.begun.setdefault(task_id, self.now)

    def _anew(self, name: str) -> None:
        """What this worker has waits from now on."""
        for task_id in [i for i, (worker, _) in self.leases.items() if worker == name]:
            self.granted[task_id] = self.now

    def _unlink(self, name: str) -> None:
        self.linked = {session: worker for session, worker in self.linked.items() if worker != name}

    def _done(self, name: str, *, only: set[Lease] | None = None, keep: set[Lease] | None = None) -> None:
        for task_id, (worker, attempt) in list(self.leases.items()):
            lease = (task_id, attempt)
            if worker == name and (only is None or lease in only) and lease not in (keep or ()):
                del self.leases[task_id]

    def _stored(self, commit: Commit) -> None:
        """The commit is durable; was it allowed?"""
        self.store.commit(commit)
        self.spent.update(row[0] for row in commit.attempts if row[5] in SPENT)
        for reopened in commit.reopened:
            if reopened[1] >= self.leases.get(reopened[-1], ("", 0))[1]:
                self._free(reopened[-1])  # else only what is held against it has changed, and it runs on
            if reopened[-1] in self.outcomes:
                self.spent[reopened[-1]] = 0
        for settled in commit.settled:
            if settled[0] == TaskState.CANCELLED:
                self.leases.pop(settled[-1], None)
            self._free(settled[-1])
        for _, name, packed in commit.granted:
            for task_id, attempt in unpack_leases(packed):
                self._granted(task_id, attempt, name)

    def _granted(self, task_id: int, attempt: int, name: str) -> None:
        row = self.store.rows[task_id]
        kind, target = row.submitted[1], row.submitted[11]
        assert row.settled is None, f"G6: task {task_id} has ended and is leased"
        assert attempt > self.attempts[task_id], f"I3: attempt {attempt} of task {task_id} a second time"
        assert target in {None, name}, f"task {task_id} is not for {name}"
        paused = self.paused & {"all", f"kind:{kind}", f"worker:{name}"}
        assert not paused, f"I7: task {task_id} leased in a paused scope"
        assert task_id not in self.leases, f"I2: task {task_id} leased to {name}, and {self.leases[task_id]}"
        assert self.caps.get(name) != 0, f"task {task_id} leased to {name}, which may have none"
        self.attempts[task_id] = attempt
        self.leases[task_id] = (name, attempt)
        self.granted[task_id] = self.now
        self.begun.pop(task_id, None)

    def _free(self, task_id: int) -> None:
        """A lease ended: the worker said so, or its time is up."""
        lease = self.leases.pop(task_id, None)
        if lease is None or self.now >= self.alive_until[lease[0]]:
            return
        begun, timeout = self.begun.get(task_id), self.store.rows[task_id].submitted[4]
        if begun is None:
            assert self.now - self.granted[task_id] >= TAKE_OVER, f"I2: {lease} of {task_id} may run"
        else:
            assert timeout is not None, f"I2: {lease} of {task_id} runs and has no end"
            assert self.now >= begun + timeout + GRACE, f"I2: {lease} of {task_id} has more time"

    def verify(self) -> None:
        """The pool, the rows and our own books agree."""
        self.sound = False
        check(self.pool)
        tasks, rows = self.pool.tasks, self.store.rows
        open_rows = {i for i, row in rows.items() if row.settled is None}
        backlog = ids_in_backlog(self.pool)
        assert open_rows == tasks.keys() | backlog, "store and pool disagree about what is open"
        assert self.pool.accepted == len(rows), "I1"
        final = Counter(row.state for row in rows.values() if row.settled is not None)
        assert all(self.pool.totals[st] == final[st] for st in TaskState if st.final), "I1: outcomes"
        keyed = {row.submitted[6]: i for i, row in rows.items() if row.settled is None and row.submitted[6]}
        known = {key: i for key, (i, _) in self.pool.keys.items()}
        assert known.items() <= keyed.items(), "I10"
        assert self.has_backlog or known == keyed, "I10"
        self._verify_backlog(backlog)
        self._verify_leases()
        self._verify_blame()
        self._verify_expiry()
        self._verify_outcomes()
        assert all(self.pool.is_open(task_id) for _, task_id in self.watched), "a watcher was not told"
        self.sound = True

    def _verify_backlog(self, ids: set[int]) -> None:
        for task_id in ids:
            row, series = self.store.rows[task_id], self.pool.backlog.find(task_id)
            assert series is not None
            assert (row.state, row.attempt) == (TaskState.QUEUED, 0), f"task {task_id} was leased before"
            o, given = series.options, row.submitted
            options = (o.kind, o.priority, o.max_attempts, o.timeout, o.batch, o.target)
            assert options == (*given[1:6], given[11]), f"task {task_id} waits with the options of another"

    def _verify_leases(self) -> None:
        logged: dict[int, int] = {}
        for seq, _, packed in self.store.grants.values():
            leases = list(unpack_leases(packed))
            logged |= dict(leases)
            still = [i for i, a in leases if (t := self.pool.tasks.get(i)) and t.grant and t.attempt == a]
            assert still, f"row {seq} of the lease log has no open lease"
        for task_id, task in self.pool.tasks.items():
            row = self.store.rows[task_id]
            assert (row.spent, row.crashes) == (task.spent, task.crashes), f"task {task_id}: what was spent"
            assert task.spent == self.spent[task_id], (
                f"G4: task {task_id} spent {self.spent[task_id]} attempts"
            )
            assert task.spent < row.submitted[3], f"G4: task {task_id} goes on with all attempts spent"
            if task.grant is not None:
                assert logged.get(task_id) == task.attempt, f"task {task_id}: its lease is not logged"
                assert row.attempt < task.attempt, f"task {task_id}: a lease that had ended"
                continue
            assert row.submitted[2] == task.options.priority, f"task {task_id}: its priority"
            assert row.attempt == task.attempt, f"task {task_id}: attempt not stored"
            allowed = {task.state, TaskState.SCHEDULED} if task.state is TaskState.QUEUED else {task.state}
            assert row.state in allowed, f"task {task_id} is {task.state.word}, stored as {row.state}"
            assert task.state is not TaskState.SCHEDULED or row.due == task.due_wall

    def _verify_blame(self) -> None:
        """What is held against tasks and known of workers would outlive this manager; nothing else would."""
        names = self.store.settings
        doubted = {i for i, doubt in self.pool.blame.doubts.items() if doubt.deaths or doubt.free}
        assert {int(n.removeprefix(SUSPECT)) for n in names if n.startswith(SUSPECT)} == doubted
        known = {name.removeprefix(SLOTS) for name in names if name.startswith(SLOTS)}
        holders = {name for name, worker in self.pool.workers.items() if worker.held}
        assert holders <= known <= self.pool.workers.keys(), "slots of workers are not stored, or for ever"

    def _verify_expiry(self) -> None:
        """G8: nobody keeps a lease in silence; but while the manager stood still, nobody was silent."""
        latest = self.now - self.stalls - LOOK
        for task_id, (name, attempt) in self.leases.items():
            assert self.alive_until[name] >= latest, f"G8: {name} keeps attempt {attempt} of task {task_id}"
            self._verify_time(task_id, name)

    def _verify_time(self, task_id: int, name: str) -> None:
        """Nobody keeps a lease beyond its time, whatever it beats; who has no link is left to its lease."""
        if name not in self.linked.values() or task_id not in self.pool.tasks:
            return
        begun, timeout = self.begun.get(task_id), self.store.rows[task_id].submitted[4]
        slack = self.stalls + 2 * LOOK
        if begun is not None and timeout is not None:
            end = begun + timeout + EXTENSION * GRACE
            assert self.now <= end + slack, f"G4: task {task_id} goes on beyond its time"
        elif begun is None:
            most = WITHIN * 2.0**LONGER
            assert self.now <= self.granted[task_id] + most + slack, f"G8: task {task_id} is never begun"

    def _verify_outcomes(self) -> None:
        for task_id, before in self.outcomes.items():
            now = self.store.rows[task_id].settled
            assert now == before or task_id in self.retried, f"I4: the outcome of task {task_id} changed"
        self.outcomes = {i: row.settled for i, row in self.store.rows.items() if row.settled is not None}
        self.retried = set()
