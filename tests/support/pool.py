"""A pool with a clock and a few workers, in words short enough for tests that read as sentences.

Everything that a test does not say has a harmless value; `check` runs after every step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, TypeVar

from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.effects import Decision
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Patience, Pool, Task, Worker, check
from taskmessenger.core.pool.conduct import MAX_ROOM
from taskmessenger.core.retry import Backoff

T = TypeVar("T")
Lease = tuple[int, int]

NULL = b"\xc0"
"""Msgpack of nothing at all: the smallest payload, and the most falsy result."""
NO_JITTER = Backoff(first=1.0, factor=2.0, ceiling=300.0, jitter=0.0)
FOREVER = Patience(start_within=1e9)
"""For tests in which leases may wait as long as they like."""
START = 1_000.0
EPOCH = 1_700_000_000.0


def the(kind: type[T], decision: Decision) -> list[T]:
    """All effects of one kind."""
    return [effect for effect in decision.effects if isinstance(effect, kind)]


def one(kind: type[T], decision: Decision) -> T:
    """The only effect of its kind."""
    (effect,) = the(kind, decision)
    return effect


def kinds_of(decision: Decision) -> list[str]:
    """Names of the effects, sorted: for saying that there was nothing else."""
    return sorted(type(effect).__name__ for effect in decision.effects)


def leases_in(decision: Decision) -> dict[str, list[int]]:
    """Who was leased which tasks."""
    found: dict[str, list[int]] = {}
    for effect in the(e.Assign, decision):
        found.setdefault(effect.worker, []).extend(row[0] for row in effect.leases)
    return found


def ids_in_backlog(pool: Pool) -> set[int]:
    """Queued tasks that have no object."""
    levels = (level for lane in pool.lanes.values() for level in lane.levels.values())
    every = (series for level in levels for _, _, series in level.waiting)
    return {i for series in every for i in series.ids if series.place_of(i) >= 0}


class Fleet:
    """A pool on a clock that a test moves."""

    def __init__(self, pool: Pool | None = None, *, now: float = START, **options: Any) -> None:
        options.setdefault("backoff", NO_JITTER)
        options.setdefault("rng", Random(7))
        patience = options.pop("patience", FOREVER)
        self.pool = pool or Pool(**options)
        self.pool.patience = patience
        self.now, self.wall = now, EPOCH
        self.sessions = 0

    def do(self, *stimuli: s.Stimulus) -> Decision:
        """One batch."""
        decision = self.pool.handle(stimuli, self.now, self.wall)
        check(self.pool)
        return decision

    def wait(self, seconds: float, beating: Iterable[Peer] = ()) -> Decision:
        """Time passes, with a look at the clock whenever the pool wants one; all decisions in one.

        `beating`: who gives a sign of life every second.
        """
        peers = list(beating)
        until, total = self.now + seconds, Decision()
        while self.now < until:
            moment = min(until, self.now + 1.0, self.pool.deadline() or until)
            self.wall += moment - self.now
            self.now = moment
            decision = self.do(*(s.Beat(peer.session) for peer in peers), s.Tick())
            for name in ("submitted", "settled", "reopened", "attempts", "granted", "grants_ended"):
                getattr(total.commit, name).extend(getattr(decision.commit, name))
            total.commit.settings.update(decision.commit.settings)
            total.effects += decision.effects
            total.events += decision.events
        return total

    def stall(self, seconds: float) -> None:
        """Time passes while nobody looks at the clock."""
        self.now += seconds
        self.wall += seconds

    def submit(self, payloads: int | Sequence[bytes] = 1, *, kind: str = "echo", **more: Any) -> list[int]:
        """Submit tasks and say their ids."""
        return one(e.Accepted, self.submitting(payloads, kind=kind, **more)).ids

    def submitting(self, payloads: int | Sequence[bytes] = 1, *, kind: str = "echo", **more: Any) -> Decision:
        """Submit tasks and say all that came of it."""
        names = ("keys", "digests", "known", "delay", "watch")
        group = {name: more.pop(name) for name in names if name in more}
        if group.get("keys") is not None:
            group.setdefault("digests", [b"d"] * len(group["keys"]))
        given = [NULL] * payloads if isinstance(payloads, int) else payloads
        return self.do(s.Submit(s.Options(kind=kind, **more), given, reply=99, **group))

    def worker(self, name: str = "w1", *, trusted: bool = False, **offer: Any) -> Peer:
        """A new worker that is here, has nothing and wants something; `trusted` as if it had done much."""
        peer = Peer(self, name)
        if trusted:
            self.pool.tallies.worker(name).room = MAX_ROOM
        peer.join(**offer)
        return peer

    def task(self, task_id: int) -> Task:
        return self.pool.tasks[task_id]

    def state(self, task_id: int) -> TaskState:
        return self.pool.tasks[task_id].state

    def open(self) -> set[int]:
        return set(self.pool.tasks)


class Peer:
    """A worker as its manager hears it."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.fleet, self.name = fleet, name
        self.instance = name.encode()
        self.session = 0
        self.offer: dict[str, Any] = {"kinds": ("echo",), "isolated": (), "capacity": 1, "limit": None}

    @property
    def here(self) -> Worker:
        return self.fleet.pool.workers[self.name]

    @property
    def held(self) -> dict[int, int]:
        """Its leases as the pool has them."""
        worker = self.fleet.pool.workers.get(self.name)
        return dict(worker.held) if worker is not None else {}

    def offered(self, **offer: Any) -> s.Offered:
        self.offer |= offer
        o = self.offer
        return s.Offered(
            self.session,
            frozenset(o["kinds"]),
            frozenset(o["isolated"]),
            o["capacity"],
            o["limit"] if o["limit"] is not None else o["capacity"],
            paused=o.get("paused", False),
            stuck=o.get("stuck", ()),
        )

    def joining(self, *, fresh: bool) -> s.WorkerJoined:
        self.fleet.sessions += 1
        self.session = self.fleet.sessions
        if fresh:
            self.instance = f"{self.name}-{self.session}".encode()
        return s.WorkerJoined(self.session, self.name, self.instance, fresh=fresh)

    def join(self, *, fresh: bool = True, holding: Sequence[Lease] = (), **offer: Any) -> Decision:
        """Handshake, offer and books, all in one batch."""
        joined = self.joining(fresh=fresh)
        return self.fleet.do(joined, self.offered(**offer), s.Holding(self.session, holding))

    def back(self, holding: Sequence[Lease] | None = None) -> Decision:
        """The same process, on a new link; still with all its leases unless told otherwise."""
        return self.join(fresh=False, holding=list(self.held.items()) if holding is None else holding)

    def restart(self, holding: Sequence[Lease] = ()) -> Decision:
        """A new process in place of the old one."""
        return self.join(fresh=True, holding=holding)

    def start(self, *ids: int) -> Decision:
        return self.fleet.do(s.Started(self.session, ids, [self.held[i] for i in ids]))

    def succeed(self, *ids: int, result: bytes = NULL) -> Decision:
        return self.send([(i, self.held[i]) for i in ids], result=result)

    def send(self, leases: Sequence[Lease], result: bytes = NULL) -> Decision:
        """Successes, whether or not they are true."""
        ids, attempts = [i for i, _ in leases], [a for _, a in leases]
        many = len(leases)
        return self.fleet.do(s.Finished(self.session, ids, attempts, [result] * many, [0.5] * many))

    def fail(self, *ids: int, how: s.How = s.How.FAILED, error: bytes | None = b"\x80") -> Decision:
        ends = [(i, self.held[i], how, 0.5, error) for i in ids]
        return self.fleet.do(s.Broke(self.session, ends))

    def beat(self) -> Decision:
        return self.fleet.do(s.Beat(self.session))

    def drop(self) -> Decision:
        return self.fleet.do(s.LinkLost(self.session, "reset"))

    def leave(self) -> Decision:
        return self.fleet.do(s.WorkerLeft(self.session))


def suspects(fleet: Fleet, worker: Peer, count: int, **more: int) -> list[int]:
    """`count` tasks that ran together on a worker that died; the worker is gone, their backoff is over."""
    fleet.do(worker.offered(capacity=count))
    ids = fleet.submit(count, **more)
    worker.start(*ids)
    worker.restart()
    worker.drop()
    fleet.wait(5.0)
    return ids
