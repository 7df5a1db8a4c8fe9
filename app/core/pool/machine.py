"""Applies stimuli to the pool. Decides; never acts: no clock, no socket, no await."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import assert_never

from .. import stimuli as s
from ..commit import Commit, Recovered
from ..effects import Decision, Effect, Event, OutcomeRow
from ..lifecycle import TaskState
from ..retry import Backoff
from . import assign, operate, recover, settle, submit, timers, workers
from .backlog import Backlog, Depth
from .doubts import Blame
from .gathered import Gathered
from .lanes import Lane, LaneKey
from .overdue import Patience
from .payloads import Kept
from .state import Task, Worker
from .tally import Tallies


class Pool:
    """All open tasks of one manager, and the workers that have, or could have, a lease on them.

    One writer calls `handle`; nobody else changes anything. Everything else may read between two calls.
    """

    def __init__(
        self,
        *,
        lease_ttl: float = 30.0,
        max_crashes: int = 3,
        max_pending: int = 10_000_000,
        aging: float = 600.0,
        backoff: Backoff | None = None,
        rng: Random | None = None,
        depth: Depth | None = None,
    ) -> None:
        self.lease_ttl, self.aging = lease_ttl, aging
        self.max_crashes, self.max_pending = max_crashes, max_pending
        self.backoff, self.patience = backoff or Backoff(), Patience()
        self.rng = rng or Random()  # noqa: S311 - spreads retries, guards nothing
        self.tasks: dict[int, Task] = {}
        """Open tasks only, by id; those in the backlog have no object."""
        self.depth = depth or Depth()
        self.backlog = Backlog(self.tasks, self.depth.drawn)
        self.keys: dict[str, tuple[int, bytes]] = {}
        """Idempotency keys of open tasks that were never in the backlog: id and digest."""
        self.lanes: dict[LaneKey, Lane] = {}
        """Lanes with something in them."""
        self.suspects: list[int] = []
        """Heap of queued tasks that must run alone."""
        self.due: list[tuple[float, int]] = []
        """Heap of (monotonic moment, id) of scheduled tasks; entries of tasks that moved on are skipped."""
        self.workers: dict[str, Worker] = {}
        self.by_session: dict[int, Worker] = {}
        self.paused: set[str] = set()
        self.caps: dict[str, int] = {}  # by worker; see `operate.on_limit`
        self.totals = {state.value: 0 for state in TaskState}
        """Tasks by state, ever: final ones keep counting after their rows are pruned."""
        self.accepted, self.next_id, self.next_grant = 0, 1, 1
        self.late = self.refused = self.unwanted = 0
        """Outcomes that came too late; messages that a worker had no right to send; leases never given."""
        self.last_now: float | None = None
        self.looked = float("-inf")
        self.stopping = False  # the manager is about to leave: nothing new is handed out
        self.commit = Commit()
        self.effects: list[Effect] = []
        self.events: list[Event] = []
        self.acks: dict[int, tuple[list[int], list[int]]] = {}
        self.tells: dict[int | tuple[int, ...], list[OutcomeRow]] = {}
        self.watches: set[int] = set()
        """Watchers that are still there."""
        self.batch_keys: dict[str, tuple[int, bytes]] = {}
        """Keys that the store alone knows from now on: whoever asked it before this batch was not told."""
        self.changed_totals = False
        self.kept, self.tallies, self.blame, self.gathered = Kept(), Tallies(), Blame(), Gathered()

    def recover(self, found: Recovered, now: float, wall: float) -> None:
        """Take over what the store held. Leases hold on for one full period, so that workers can return."""
        recover.recover(self, found, now, wall)

    def handle(self, stimuli: Iterable[s.Stimulus], now: float, wall: float) -> Decision:
        """Apply a batch, hand out leases, and say what must be stored, done and told.

        `now` is monotonic and decides; `wall` (seconds since the epoch) is only written down.
        """
        timers.forgive_stall(self, now)
        for stimulus in stimuli:
            self._apply(stimulus, now, wall)
        assign.assign(self, now)
        return self._decision()

    def is_open(self, task_id: int) -> bool:
        """Whether this task is accepted and has no outcome."""
        return task_id in self.tasks or task_id in self.backlog

    @property
    def pending(self) -> int:
        """How many tasks are open."""
        return len(self.tasks) + self.backlog.size

    def deadline(self) -> float | None:
        """The monotonic moment by which a `Tick` is wanted; None when nothing waits for time."""
        return timers.deadline(self)

    def _apply(self, got: s.Stimulus, now: float, wall: float) -> None:  # noqa: C901, PLR0912 - a table
        match got:
            case s.Finished():
                settle.on_finished(self, got, wall)
            case s.Submit():
                submit.on_submit(self, got, now, wall)
            case s.Started():
                settle.on_started(self, got, now, wall)
            case s.Beat():
                workers.on_beat(self, got, now)
            case s.Broke():
                settle.on_broke(self, got, now, wall)
            case s.Wrote():
                settle.on_wrote(self, got)
            case s.Tick():
                timers.on_tick(self, now, wall)
            case s.WorkerJoined():
                workers.on_joined(self, got, now)
            case s.Offered():
                workers.on_offered(self, got)
            case s.Holding():
                workers.on_holding(self, got, now, wall)
            case s.LinkLost():
                workers.on_link_lost(self, got)
            case s.WorkerLeft():
                workers.on_left(self, got, now, wall)
            case s.WorkerRevoked():
                workers.on_revoked(self, got, now, wall)
            case s.Cancel():
                operate.on_cancel(self, got, wall)
            case s.Retry():
                operate.on_retry(self, got, now)
            case s.Pause():
                operate.on_pause(self, got)
            case s.Resume():
                operate.on_resume(self, got)
            case s.Drain():
                operate.on_drain(self, got)
            case s.SetPriority():
                operate.on_set_priority(self, got, now)
            case s.Limit():
                operate.on_limit(self, got)
            case s.Watch():
                operate.on_watch(self, got)
            case s.Unwatch():
                operate.on_unwatch(self, got)
            case _:
                assert_never(got)

    def _decision(self) -> Decision:
        submit.flush(self)
        self.kept.let_go()
        self.gathered.clear()
        done = Decision(self.commit, self.effects, self.events)
        self.commit, self.effects, self.events = Commit(), [], []
        return done
