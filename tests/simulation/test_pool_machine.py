"""The pool against everything that can happen to it, in any order; the invariants hold after every step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Depth

from tests.support.pool import ids_in_backlog
from tests.support.pool_books import Lease
from tests.support.pool_world import AFTER, BEFORE, KINDS, Ask, Process, World

EXAMPLES: Final = int(os.environ.get("POOL_MACHINE_EXAMPLES", "250"))
"""How many lives of a fleet are tried."""
STEPS: Final = int(os.environ.get("POOL_MACHINE_STEPS", "80"))
"""How long each of them is."""
SECONDS: Final = 600
"""Far more than it takes, unless many others want the same processor: no test wants more of it."""
SHRINK: Final = "POOL_MACHINE_SHRINK" in os.environ
"""Look for the shortest life that breaks the same invariant: minutes of work, so only on demand."""
RANDOM: Final = "POOL_MACHINE_EXAMPLES" in os.environ
"""New lives every time, for the night; by default the same ones, so that a change is what breaks a test."""

SCOPES: Final = ("all", "kind:a", "worker:w0")
BAD_ENDS: Final = (s.How.FAILED, s.How.TIMED_OUT, s.How.CRASHED, s.How.STUCK, s.How.REFUSED, s.How.RELEASED)

workers = st.sampled_from(("w0", "w1", "w2"))
silence = st.sampled_from(((), (), (), ("w0",), ("w1", "w2"), ("w0", "w1", "w2")))
"""Who gives no sign of life."""
choice = st.integers(0, 1_000)
options = st.builds(
    s.Options,
    kind=st.sampled_from(KINDS),
    priority=st.sampled_from((0, 0, 5, -5)),
    max_attempts=st.integers(1, 4),
    timeout=st.sampled_from((None, None, 5.0)),
    target=st.sampled_from((None, None, "w0")),
)
later = st.sampled_from((False, False, False, True))
"""Whether the manager decides on this together with what comes next."""


class PoolMachine(RuleBasedStateMachine):
    """One life of a fleet."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.past: list[tuple[str, Lease]] = []
        """Outcomes that were sent before, by whom."""

    @initialize(depth=st.sampled_from((None, Depth(0, 0, 1), Depth(4, 1, 2), Depth(6, 0, 100))))
    def a_fleet_at_work(self, depth: Depth | None) -> None:
        """Most of what can go wrong needs somebody who has something to lose."""
        self.world = World(depth=depth)
        self.everybody_is_back(later=False)
        for kind in KINDS:
            self.submit(s.Options(kind=kind), 2, delay=0.0, watch=None, later=False)

    def decide(self, later: bool) -> None:
        if not later:
            self.world.flush()

    def process(self, name: str) -> Process:
        return self.world.processes[name]

    def known_ids(self, picks: Sequence[int]) -> list[int]:
        ids = sorted(self.world.store.rows)
        return [ids[pick % len(ids)] for pick in picks] if ids else []

    # ---- clients and operators -------------------------------------------------------------------------

    @rule(
        options=options,
        count=st.integers(1, 6),
        delay=st.sampled_from((0.0, 0.0, 0.0, 2.0, 50.0)),
        watch=st.sampled_from((None, 1, 2)),
        later=later,
    )
    def submit(self, options: s.Options, count: int, delay: float, watch: int | None, later: bool) -> None:
        reply = self.world.expect(lambda got: self.accepted(got, count, watch))
        self.world.post(s.Submit(options, [b"\xc0"] * count, delay=delay, reply=reply, watch=watch))
        self.decide(later)

    @rule(
        keys=st.lists(st.sampled_from(("k0", "k1", "k2", "k3")), min_size=1, max_size=3),
        digest=st.sampled_from((b"x", b"x", b"x", b"y")),
        watch=st.sampled_from((None, 1, 2)),
        later=later,
    )
    def submit_with_keys(self, keys: list[str], digest: bytes, watch: int | None, later: bool) -> None:
        def accepted(got: e.Accepted | e.Rejected | e.Done) -> None:
            self.accepted(got, len(keys), watch)
            if isinstance(got, e.Accepted):
                assert [self.world.store.keys[key] for key in keys] == got.ids, "I10"

        submit = s.Submit(s.Options(kind="a"), [b"\xc0"] * len(keys), keys, [digest] * len(keys), watch=watch)
        submit.reply = self.world.expect(accepted)
        self.world.post(submit)
        self.decide(later)

    def accepted(self, got: e.Accepted | e.Rejected | e.Done, count: int, watch: int | None) -> None:
        if isinstance(got, e.Rejected):
            assert got.code in {"overloaded", "conflict"}
            return
        assert isinstance(got, e.Accepted)
        assert len(got.ids) == count
        assert all(task_id in self.world.store.rows for task_id in got.ids), "G1"
        if watch is not None:
            self.world.watched |= {(watch, i) for i in got.ids if self.world.pool.is_open(i)}

    @rule(picks=st.lists(choice, min_size=1, max_size=2), later=later)
    def cancel(self, picks: list[int], later: bool) -> None:
        def cancelled(got: e.Accepted | e.Rejected | e.Done) -> None:
            assert isinstance(got, e.Done)
            states = {self.world.store.rows[i].state for i in got.ids}
            assert states <= {TaskState.CANCELLED}, "G6"

        self.world.post(s.Cancel(self.known_ids(picks), self.world.expect(cancelled)))
        self.decide(later)

    @rule(picks=st.lists(choice, min_size=1, max_size=4), later=later)
    def retry(self, picks: list[int], later: bool) -> None:
        ids = self.known_ids(picks)
        self.world.post(Ask(ids, self.world.expect(lambda got: None)))
        self.decide(later)

    @rule(scope=st.sampled_from(SCOPES), resume=st.sampled_from((True, True, False)), later=later)
    def pause_or_resume(self, scope: str, resume: bool, later: bool) -> None:
        self.world.post(s.Resume(scope) if resume else s.Pause(scope))
        self.decide(later)

    @rule(
        picks=st.lists(choice, min_size=1, max_size=6), priority=st.sampled_from((0, 5, -5, 9)), later=later
    )
    def set_priority(self, picks: list[int], priority: int, later: bool) -> None:
        self.world.post(s.SetPriority(self.known_ids(picks), priority))
        self.decide(later)

    @rule(name=workers, most=st.sampled_from((None, None, 0, 1, 2)), later=later)
    def limit(self, name: str, most: int | None, later: bool) -> None:
        self.world.post(s.Limit(name, most))
        self.decide(later)

    @rule(picks=st.lists(choice, min_size=1, max_size=4), watch=st.integers(1, 3), later=later)
    def watch(self, picks: list[int], watch: int, later: bool) -> None:
        def watching(got: e.Accepted | e.Rejected | e.Done) -> None:
            assert isinstance(got, e.Done)
            self.world.watched |= {(watch, i) for i in got.ids if self.world.pool.is_open(i)}

        self.world.post(s.Watch(self.known_ids(picks), watch, self.world.expect(watching)))
        self.decide(later)

    def unwatch(self, watch: int) -> None:
        self.world.post(s.Unwatch(watch))
        self.world.flush()
        self.world.watched = {pair for pair in self.world.watched if pair[0] != watch}

    @rule(name=workers, verb=st.sampled_from(("drain", "revoke", "unwatch")), later=later)
    def operate(self, name: str, verb: str, later: bool) -> None:
        if verb == "unwatch":
            self.unwatch(1 + int(name[-1]))
            return
        self.world.post(s.Drain(name, 10.0) if verb == "drain" else s.WorkerRevoked(name))
        self.decide(later)

    # ---- workers that do their best --------------------------------------------------------------------

    @rule(name=workers, halfway=st.sampled_from((False, False, False, True)), later=later)
    def join(self, name: str, halfway: bool, later: bool) -> None:
        """For the first time, again, or a second time while the first link still stands."""
        process = self.process(name)
        if not process.alive:
            process.start()
        self.world.join(process, halfway=halfway)
        self.decide(later)

    @rule(
        name=workers,
        kinds=st.sampled_from((KINDS, KINDS, ("a",), ("b", "apart"))),
        capacity=st.sampled_from((2, 3, 1, 0)),
        prefetch=st.integers(0, 3),
        paused=st.sampled_from((False, False, False, True)),
        later=later,
    )
    def offer(
        self, name: str, kinds: tuple[str, ...], capacity: int, prefetch: int, paused: bool, later: bool
    ) -> None:
        if self.world.inbox:
            self.world.flush()  # what was leased under the old offer arrives under the old offer
        process = self.process(name)
        process.offer = {
            "kinds": frozenset(kinds), "capacity": capacity, "limit": capacity + prefetch, "paused": paused,
        }  # fmt: skip
        self.world.offer(process)
        self.decide(later)

    @rule(name=workers, quietly=st.booleans(), later=later)
    def begin(self, name: str, quietly: bool, later: bool) -> None:
        self.world.begin(self.process(name), quietly=quietly)
        self.decide(later)

    @rule(name=workers, pick=choice, how=st.sampled_from((s.How.SUCCEEDED,) * 3 + BAD_ENDS), later=later)
    def end(self, name: str, pick: int, how: s.How, later: bool) -> None:
        process = self.process(name)
        if not process.of("running"):
            self.world.begin(process, quietly=False)
        running = process.of("running")
        if running:
            lease = running[pick % len(running)]
            if process.leases[lease].unwanted and how is not s.How.SUCCEEDED:
                how = s.How.CANCELLED
            self.world.end(process, [lease], how)
            self.past.append((name, lease))
        self.decide(later)

    @rule(later=later)
    def everybody_is_back(self, later: bool) -> None:
        for process in self.world.processes.values():
            if process.draining:
                self.leave(process)
            if not process.alive:
                process.start()
            if process.session is None or process.deaf:
                self.world.join(process)
        self.decide(later)

    @rule(later=later)
    def everybody_does_its_best(self, later: bool) -> None:
        for process in self.world.processes.values():
            self.world.begin(process, quietly=False)
            self.world.end(process, process.of("running")[:1], s.How.SUCCEEDED)
        self.decide(later)

    @rule(silent=silence, seconds=st.sampled_from((0.1, 1.0, 4.0)))
    def time_passes(self, silent: tuple[str, ...], seconds: float) -> None:
        self.world.wait(seconds, self.all_but(silent))

    @rule(silent=silence, seconds=st.sampled_from((16.0, 31.0, 61.0)))
    def much_time_passes(self, silent: tuple[str, ...], seconds: float) -> None:
        self.world.wait(seconds, self.all_but(silent))

    def all_but(self, silent: tuple[str, ...]) -> list[Process]:
        return [process for name, process in self.world.processes.items() if name not in silent]

    # ---- faults ----------------------------------------------------------------------------------------

    @rule(
        name=workers,
        how=st.sampled_from(("leaves", "gives back", "is cut off", "is deaf", "dies")),
        later=later,
    )
    def a_worker_is_in_trouble(self, name: str, how: str, later: bool) -> None:
        process = self.process(name)
        if how == "leaves":
            self.leave(process)
        elif how == "gives back":
            self.world.end(process, process.of("waiting"), s.How.RELEASED)
        elif how == "is cut off":
            self.link_breaks(process)
        elif how == "is deaf":
            process.deaf = process.session is not None
        else:
            process.die()
            self.link_breaks(process)
        self.decide(later)

    def leave(self, process: Process) -> None:
        """Goodbye; the process ends, and so does what it ran."""
        if process.session is not None and not process.deaf:
            self.world.say(process, s.WorkerLeft)
            process.session = None
            process.die()

    def link_breaks(self, process: Process) -> None:
        if process.session is not None:
            self.world.post(s.LinkLost(process.session))
            process.session, process.deaf = None, False

    @rule(name=workers, pick=choice, good=st.booleans(), later=later)
    def outcomes_are_sent_again(self, name: str, pick: int, good: bool, later: bool) -> None:
        """What is still in the spool, and one that had been acknowledged."""
        process = self.process(name)
        self.world.report(process, process.of("ended"))
        if self.past:
            name, lease = self.past[pick % len(self.past)]
            process = self.process(name)
            if lease not in process.leases:
                self.say_outcome(process, lease, good)
        self.decide(later)

    @rule(name=workers, task_id=st.integers(-1, 30), attempt=st.integers(-1, 6), good=st.booleans())
    def an_outcome_is_forged(self, name: str, task_id: int, attempt: int, good: bool) -> None:
        """By a worker that never had that lease."""
        world, process = self.world, self.process(name)
        world.settle_down()
        if self.pool_holds(name, task_id, attempt) or (task_id, attempt) in process.leases:
            return
        crime = process.session is not None and not process.deaf and self.is_crime(name, task_id, attempt)
        before, crashes, refused = self.books(), world.crashes, world.pool.refused
        world.say(process, s.Started, [task_id], [attempt])
        self.say_outcome(process, (task_id, attempt), good)
        world.settle_down()
        if world.crashes == crashes:
            assert self.books() == before, f"F64: {sorted(set(self.books().items()) ^ set(before.items()))}"
            assert world.pool.refused - refused == crime, "F64"

    def is_crime(self, name: str, task_id: int, attempt: int) -> bool:
        """Whether it can be known that this worker was never leased that attempt."""
        worker = self.world.pool.workers.get(name)
        if worker is None or not worker.synced or (task_id, attempt) in worker.unwanted:
            return False  # it may be of a life of the data that was taken back
        if task_id in self.world.pool.backlog:
            return True
        task = self.world.pool.tasks.get(task_id)
        if task is None or attempt < 1:
            return attempt < 1 or not 1 <= task_id < self.world.pool.next_id
        return attempt > task.attempt or (attempt == task.attempt and task.worker not in {None, name})

    def pool_holds(self, name: str, task_id: int, attempt: int) -> bool:
        worker = self.world.pool.workers.get(name)
        return worker is not None and worker.held.get(task_id) == attempt

    def books(self) -> dict[int, tuple[object, ...]]:
        pool = self.world.pool
        waiting = dict.fromkeys(ids_in_backlog(pool), (TaskState.QUEUED, 0, None, 0))
        return waiting | {i: (t.state, t.attempt, t.worker, t.spent) for i, t in pool.tasks.items()}

    def say_outcome(self, process: Process, lease: Lease, good: bool) -> None:
        task_id, attempt = lease
        if good:
            self.world.say(process, s.Finished, [task_id], [attempt], [b"f"], [0.1])
        else:
            self.world.say(process, s.Broke, [(task_id, attempt, s.How.FAILED, 0.1, None)])

    @rule(
        how=st.sampled_from(
            (BEFORE, AFTER, "now", "stands still", "stands still for long", "set", "set back")
        )
    )
    def the_manager_is_in_trouble(self, how: str) -> None:
        """It dies, now or around its next commit; or it sleeps; or its wall clock jumps."""
        world = self.world
        if how in {BEFORE, AFTER}:
            world.doom = how
        elif how == "now":
            world.restart()
        elif how in {"set", "set back"}:
            world.wall += 86_400.0 if how == "set" else -86_400.0
        else:
            world.stall(90.0 if "long" in how else 3.0)

    @invariant()
    def everything_agrees(self) -> None:
        self.world.verify()

    def teardown(self) -> None:
        if self.world.sound:
            self.world.come_to_an_end()


TestPoolMachine = pytest.mark.timeout(SECONDS)(PoolMachine.TestCase)
TestPoolMachine.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=not RANDOM,
    database=None,
    phases=(Phase.generate, Phase.shrink) if SHRINK else (Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
