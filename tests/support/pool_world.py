"""A whole fleet of models around one real pool: workers that die, links that lie, a manager that crashes.

`World` plays the host of the pool as it is meant to be played: it decides for a batch, stores the commit, and
only then lets effects out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Depth, Patience, Pool, check
from taskmessenger.core.pool.timers import LOOK

from .pool_books import GRACE, TTL, WITHIN, Books, Lease

KINDS: Final = ("a", "b", "apart")
ISOLATED: Final = frozenset({"apart"})
BEFORE, AFTER = "before the commit", "after the commit"


@dataclass(slots=True)
class Held:
    """One lease as the worker has it."""

    state: str = "waiting"
    how: s.How = s.How.SUCCEEDED
    unwanted: bool = False
    """The manager said that it is to end."""


@dataclass
class Process:
    """A worker's machine: its process, which may be dead, and its spool, which survives it."""

    name: str
    starts: int = 0
    alive: bool = False
    known: bool = False
    """This process has had a session."""
    session: int | None = None
    draining: bool = False
    deaf: bool = False
    """The link is dead in both directions, and nobody has noticed yet."""
    offer: dict[str, Any] = field(
        default_factory=lambda: {"kinds": frozenset(KINDS), "capacity": 2, "limit": 3, "paused": False}
    )
    leases: dict[Lease, Held] = field(default_factory=dict)

    def of(self, *states: str) -> list[Lease]:
        return [lease for lease, held in self.leases.items() if held.state in states]

    def start(self) -> None:
        self.starts += 1
        self.alive, self.known, self.draining = True, False, False

    def die(self) -> None:
        """What it ran is gone; what it had finished is in the spool."""
        self.alive = False
        self.leases = {lease: held for lease, held in self.leases.items() if held.state == "ended"}


class Ask:
    """A stimulus whose content the host reads from the store when its batch is decided."""

    def __init__(self, ids: Sequence[int], reply: int) -> None:
        self.ids, self.reply = list(ids), reply


class World(Books):
    """Everything there is."""

    def __init__(
        self, names: Sequence[str] = ("w0", "w1", "w2"), seed: int = 0, depth: Depth | None = None
    ) -> None:
        """`depth`: which queued tasks the pool keeps as objects; None for all that there ever are here."""
        self.rng = Random(seed)
        self.depth = depth
        super().__init__(self._new_pool(), names)
        self.has_backlog = depth is not None
        self.wall = 1_700_000_000.0
        self.processes = {name: Process(name) for name in names}
        self.inbox: list[s.Stimulus | Ask] = []
        self.doom: str | None = None
        """Where the manager dies when it next decides."""
        self.sessions = self.replies = self.crashes = 0
        self.answers: dict[int, Callable[[e.Accepted | e.Rejected | e.Done], None]] = {}

    def _new_pool(self) -> Pool:
        pool = Pool(
            lease_ttl=TTL, max_crashes=2, max_pending=60, aging=40.0, rng=self.rng, depth=self.depth
        )  # fmt: skip
        pool.patience = Patience(WITHIN, GRACE)
        return pool

    # ---- the host --------------------------------------------------------------------------------------

    def post(self, *stimuli: s.Stimulus | Ask) -> None:
        """Into the manager's inbox."""
        self.inbox += stimuli

    def expect(self, answer: Callable[[e.Accepted | e.Rejected | e.Done], None]) -> int:
        self.replies += 1
        self.answers[self.replies] = answer
        return self.replies

    def flush(self) -> None:
        """Decide, commit, act; the manager may die between two of them."""
        self.sound = False
        batch = [self._read(stimulus) for stimulus in self.inbox]
        self.inbox = []
        decision = self.pool.handle(batch, self.now, self.wall)
        check(self.pool)
        doom, self.doom = self.doom, None
        if doom != BEFORE:
            self._heard(batch)
            self._stored(decision.commit)
        if doom is not None:
            self.restart()
            return
        for effect in decision.effects:
            self._deliver(effect)
        self.sound = True

    def settle_down(self) -> None:
        """Until nobody has anything to answer."""
        for _ in range(20):
            self.flush()
            if not self.inbox:
                return
        raise AssertionError("an answer to every answer")

    def _read(self, stimulus: s.Stimulus | Ask) -> s.Stimulus:
        if isinstance(stimulus, Ask):
            self.retried |= set(stimulus.ids)
            rows = [self.store.rows[i].open_row() for i in stimulus.ids if i in self.store.rows]
            return s.Retry(rows, stimulus.reply)
        if isinstance(stimulus, s.Submit) and stimulus.keys is not None:
            stimulus.known = self.store.find_keys([k for k in stimulus.keys if k not in self.pool.keys])
        return stimulus

    def restart(self) -> None:
        """A new manager, on a new monotonic clock, with nothing but the rows."""
        self.crashes += 1
        self.stalls = 0.0
        self.inbox, self.linked, self.answers, self.watched = [], {}, {}, set()
        for process in self.processes.values():
            process.session, process.deaf = None, False
        self.now = 50.0 + self.crashes % 7
        self.alive_until = dict.fromkeys(self.processes, self.now + TTL)
        self.begun = {}
        self.granted = dict.fromkeys(self.leases, self.now)
        self.pool = self._new_pool()
        in_full = self.depth.in_full if self.depth is not None else None
        self.pool.recover(self.store.load(in_full), self.now, self.wall)
        check(self.pool)
        self.post(s.Tick())
        self.flush()

    # ---- time ------------------------------------------------------------------------------------------

    def wait(self, seconds: float, beating: Sequence[Process] = ()) -> None:
        """The host looks at the clock whenever the pool wants it to."""
        until = self.now + seconds
        while self.now < until:
            deadline = self.pool.deadline()
            assert deadline is not None or not self._waits_for_time(), "something waits for ever"
            moment = min(until, max(self.now, deadline if deadline is not None else until), self.now + 5.0)
            self.wall += moment - self.now
            self.now = moment
            for process in beating:
                self.say(process, s.Beat)
            self.post(s.Tick())
            crashes = self.crashes
            self.flush()
            if self.crashes != crashes:
                return

    def stall(self, seconds: float) -> None:
        """The manager's process stands still; nobody else does."""
        self.now += seconds
        self.wall += seconds
        self.stalls += LOOK
        self.begun = {task_id: moment + seconds for task_id, moment in self.begun.items()}
        for name in self.processes:
            self.alive_until[name] += seconds
            self._anew(name)

    def _waits_for_time(self) -> bool:
        workers = self.pool.workers.values()
        scheduled = any(task.state is TaskState.SCHEDULED for task in self.pool.tasks.values())
        return scheduled or any(worker.held for worker in workers)

    # ---- workers ---------------------------------------------------------------------------------------

    def say(self, process: Process, kind: Callable[..., s.Stimulus], *content: Any) -> None:
        """What a worker says arrives, if it has a link that works."""
        if process.session is not None and not process.deaf:
            self.post(kind(process.session, *content))

    def join(self, process: Process, *, halfway: bool = False) -> None:
        """A new link; with the handshake only, or with offer, books and spool as it should be."""
        self.sessions += 1
        process.session, process.deaf = self.sessions, False
        instance = f"{process.name}.{process.starts}".encode()
        self.post(s.WorkerJoined(self.sessions, process.name, instance, fresh=not process.known))
        process.known = True
        if not halfway:
            self.offer(process)
            leases = list(process.leases)
            for lease in leases[: len(leases) // 2]:
                self.say(process, s.Holding, [lease], True)
            self.say(process, s.Holding, leases[len(leases) // 2 :])
            self.report(process, process.of("ended"))

    def offer(self, process: Process) -> None:
        o = process.offer
        self.say(process, s.Offered, o["kinds"], ISOLATED, o["capacity"], o["limit"], o["paused"])

    def begin(self, process: Process, *, quietly: bool) -> None:
        """Start what there are slots for, in the order it came; word of it may never leave."""
        free = max(0, process.offer["capacity"] - len(process.of("running")))
        begun = process.of("waiting")[:free]
        for lease in begun:
            process.leases[lease].state = "running"
        if begun and not quietly:
            self.say(process, s.Started, [i for i, _ in begun], [a for _, a in begun])

    def end(self, process: Process, leases: Sequence[Lease], how: s.How) -> None:
        """Attempts end, and their outcomes go to the spool and to the manager."""
        for lease in leases:
            process.leases[lease].state, process.leases[lease].how = "ended", how
        self.report(process, leases)

    def report(self, process: Process, leases: Sequence[Lease]) -> None:
        """Send outcomes that are in the spool, for the first time or again."""
        good = [lease for lease in leases if process.leases[lease].how is s.How.SUCCEEDED]
        bad = [lease for lease in leases if lease not in good]
        if good:
            many = len(good)
            columns = [i for i, _ in good], [a for _, a in good], [b""] * many, [0.5] * many
            self.say(process, s.Finished, *columns)
        if bad:
            self.say(process, s.Broke, [(i, a, process.leases[i, a].how, 0.5, None) for i, a in bad])

    def _deliver(self, effect: e.Effect) -> None:
        if isinstance(effect, e.Accepted | e.Rejected | e.Done):
            answer = self.answers.pop(effect.reply, None)
            if answer is not None:
                answer(effect)
        elif isinstance(effect, e.Tell):
            for outcome in effect.outcomes:
                self.watched.discard((effect.watch, outcome[0]))
        else:
            for process in self.processes.values():
                if process.session == effect.session:
                    self._hear(process, effect)

    def _hear(self, process: Process, effect: e.Effect) -> None:
        if isinstance(effect, e.Disconnect):
            self.post(s.LinkLost(effect.session, effect.code))
            process.session, process.deaf = None, False
        elif process.deaf:
            return
        elif isinstance(effect, e.Assign):
            for task_id, attempt, options, _ in effect.leases:
                assert options.kind in process.offer["kinds"], "a kind that it does not offer"
                process.leases[task_id, attempt] = Held()
        elif isinstance(effect, e.Ack):
            for lease in zip(effect.tasks, effect.attempts, strict=True):
                self._acknowledged(process, lease)
        elif isinstance(effect, e.EndLeases):
            self._end_leases(process, effect.leases)
        elif isinstance(effect, e.Steer) and effect.verb == "drain":
            process.draining = True

    def _end_leases(self, process: Process, leases: list[Lease]) -> None:
        for lease in leases:
            held = process.leases.get(lease)
            if held is not None and held.state == "waiting":
                self.end(process, [lease], s.How.CANCELLED)
            elif held is not None:
                held.unwanted = True

    def _acknowledged(self, process: Process, lease: Lease) -> None:
        """I11: what the worker may forget is stored, or no longer wanted."""
        held = process.leases.get(lease)
        if held is None or held.state != "ended":
            return
        task_id, attempt = lease
        row, task = self.store.rows[task_id], self.pool.tasks.get(task_id)
        assert row.settled is not None or row.attempt >= attempt or (task and task.attempt > attempt), (
            f"I11: attempt {attempt} of task {task_id} was acknowledged and is lost"
        )
        del process.leases[lease]

    # ---- the end ---------------------------------------------------------------------------------------

    def come_to_an_end(self) -> None:
        """Faults stop, everybody is honest and diligent: every task gets its outcome."""
        self.doom = None
        self.flush()
        for scope in sorted(self.pool.paused):
            self.post(s.Resume(scope))
        for name in self.processes:
            self.post(s.Limit(name, None))
        for process in self.processes.values():
            process.offer |= {"kinds": frozenset(KINDS), "capacity": 2, "limit": 3, "paused": False}
            self._unwell(process)
        rounds = 0
        while self.pool.pending:
            rounds += 1
            assert rounds < 600, f"waits for ever: {[(t.id, t.state.word) for t in self.pool.tasks.values()]}"
            for process in self.processes.values():
                if process.draining:
                    self._leave(process)
                if process.session is None:
                    self.join(process)
                self.say(process, s.Beat)
                self.begin(process, quietly=False)
                running = process.of("running")
                self.end(process, running, s.How.SUCCEEDED)
            self.flush()
            self.wait(5.0, list(self.processes.values()))
        self.flush()
        self.verify()
        assert not self.store.grants, "the lease log is not empty"
        assert not self.pool.keys
        assert all(row.settled is not None for row in self.store.rows.values())

    def _leave(self, process: Process) -> None:
        self.say(process, s.WorkerLeft)
        process.session = None
        process.die()
        process.start()

    def _unwell(self, process: Process) -> None:
        """Whatever is the matter with it, it starts anew."""
        if process.session is not None:
            self.post(s.LinkLost(process.session))
            process.session, process.deaf = None, False
        if not process.alive:
            process.start()
