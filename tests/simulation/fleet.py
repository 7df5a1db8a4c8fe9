"""A whole fleet in virtual time: real roles, real sessions, an imagined disk and network, faults from a seed.

What is real: the pool, the writer, the manager's sessions, the workers with their slots, outboxes and spools,
the client with its reconnects, frames and heartbeats. What is imagined: TLS and the door (peers are
introduced), the disk (rows in memory that outlive a manager; a commit takes time, and a crash may fall before
or after it), and what tasks do (they wait, then succeed, fail or crash as their payload says).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskGroup
from taskmessenger.config.model import WorkerConfig
from taskmessenger.core.effects import Event
from taskmessenger.core.errors import Conflict, TaskMessengerError, Unreachable
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Depth, Pool, check
from taskmessenger.core.retry import Backoff
from taskmessenger.handle import ErrorInfo
from taskmessenger.net import messages as m
from taskmessenger.net.address import Address
from taskmessenger.net.client import Connected
from taskmessenger.net.faulty import FaultyTransport, Link
from taskmessenger.net.memory import MemoryStream, stream_pair
from taskmessenger.net.protocol import Wire
from taskmessenger.net.session import Session
from taskmessenger.roles.deliver import Delivery
from taskmessenger.roles.desk import Desk
from taskmessenger.roles.door import Guest
from taskmessenger.roles.sessions import Sessions
from taskmessenger.roles.standing import Standing
from taskmessenger.roles.worker import Worker
from taskmessenger.roles.writer import Writer
from taskmessenger.runtimes.base import CANCELLED, CRASHED, FAILED, SUCCEEDED, Ended, Job
from taskmessenger.runtimes.registry import KindInfo

from tests.simulation.clients import Client
from tests.simulation.faults import Faults
from tests.simulation.ledger import Disk, Ledger, Reader, WatchedSpool, words_of

HEARTBEAT, DEAD_AFTER, LEASE = 1.0, 3.0, 6.0
EPOCH = 1_700_000_000.0
KINDS = [KindInfo("inside", "async", isolated=False), KindInfo("apart", "process", isolated=True)]
WORKERS = [3, 3, 3, 4, 8]
CLIENTS = [2, 2, 3]
BATCHES = 6
"""Submissions of all clients together."""


BACKLOG_SEEDS = 4
"""One seed of so many is of a manager that keeps hardly any queued task in memory."""


class Clock:
    """Wall time, which an operator may turn."""

    def __init__(self) -> None:
        self.offset = EPOCH

    def __call__(self) -> float:
        return self.offset + anyio.current_time()


class Checked(Pool):
    """A pool that looks at its invariants after every batch, and remembers what it said has happened."""

    decided: Callable[[list[Event]], None] = staticmethod(lambda _: None)

    def handle(self, stimuli: Any, now: float, wall: float) -> Any:
        decision = super().handle(stimuli, now, wall)
        check(self)
        self.decided(decision.events)
        return decision


@dataclass
class Manager:
    """One incarnation."""

    tasks: TaskGroup
    sessions: Sessions
    writer: Writer
    reader: Reader
    streams: list[MemoryStream] = field(default_factory=list)


class Unwritten:
    """Who did what is of no interest here."""

    async def record(self, *_: Any, **__: Any) -> None:
        """Keep nothing of it."""


class SimRuntime:
    """Runs jobs in virtual time; the ledger hears of it."""

    def __init__(self, ledger: Ledger, worker: str) -> None:
        self._ledger, self._worker = ledger, worker
        self._running: dict[int, anyio.CancelScope] = {}
        self.report: Any = None

    async def run(self, job: Job) -> Ended:
        seconds, how = msgspec.msgpack.decode(job.payload)
        self._ledger.begins(self._worker, job.task, job.attempt)
        if words := words_of(job.task, job.attempt):
            self.report(job.task, job.attempt, None, "", words)
        start = anyio.current_time()
        try:
            with anyio.CancelScope() as scope:
                self._running[job.task] = scope
                await anyio.sleep(seconds)
        finally:
            self._running.pop(job.task, None)
            self._ledger.ends(self._worker, job.task, job.attempt)
        took = anyio.current_time() - start
        if scope.cancelled_caught:
            return Ended(CANCELLED, took, error=ErrorInfo("cancelled", "it was ended"))
        if how == "fail" or (how == "fail once" and job.attempt == 1):
            return Ended(FAILED, took, error=ErrorInfo("failed", "as asked"))
        if how == "crash":
            return Ended(CRASHED, took, error=ErrorInfo("crashed", "as asked"))
        return Ended(SUCCEEDED, took, msgspec.msgpack.encode([job.task, job.attempt]))

    def cancel(self, task: int) -> None:
        if task in self._running:
            self._running[task].cancel()

    def lingering(self, task: int) -> None:
        return None

    async def aclose(self) -> None:
        for scope in self._running.values():
            scope.cancel()


class World:
    """Everything, and the hands that break it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.names = [f"w{number}" for number in range(self.rng.choice(WORKERS))]
        self.depth = Depth(5, 1, 2) if seed % BACKLOG_SEEDS == 0 else Depth()
        self.disk = Disk(random.Random(self.rng.random()), self.depth.in_full)
        self.ledger = Ledger(self.disk)
        self.wall = Clock()
        self.clients = self._clients()
        self.manager: Manager | None = None
        self.workers: dict[str, Worker] = {}
        self.islands: set[str] = set()
        """Peers that reach nobody."""
        self._links: dict[str, Link] = {}
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._instances = 0
        self.faults: Faults
        self.tasks: TaskGroup
        self.net: FaultyTransport

    def _clients(self) -> list[Client]:
        """Each has scopes and workers of its own to meddle with, so that what it was told stays true."""
        scopes, count = [["all", "kind:inside"], ["kind:apart"], ["worker:w0"]], self.rng.choice(CLIENTS)
        return [
            Client(f"c{n}", random.Random(self.rng.random()), self.ledger, scopes[n], self.names[n::count])
            for n in range(count)
        ]

    # ---- the manager ------------------------------------------------------------------------------------

    async def start_manager(self) -> None:
        """A new incarnation on the old disk."""
        started = anyio.Event()
        self.tasks.start_soon(self._manager, started)
        await started.wait()

    async def _manager(self, started: anyio.Event) -> None:
        rng = random.Random(self.rng.random())
        backoff = Backoff(first=0.5, ceiling=4.0)
        pool = Checked(lease_ttl=LEASE, backoff=backoff, rng=rng, depth=self.depth)
        found = await self.disk.open()
        pool.recover(found, anyio.current_time(), self.wall())
        check(pool)
        async with anyio.create_task_group() as tasks:
            delivery = Delivery(self.disk.payloads, tasks.start_soon, 4 * 1024 * 1024)
            writer = Writer(pool, self.disk, delivery.act, wall=self.wall)
            desk = Desk(writer, self.disk, self.disk, delivery, name="sim", fleet="sim")
            office: Any = SimpleNamespace(
                max_payload=2**20, buffers=2**28, accepting=lambda: None, outcomes=self.disk.outcomes,
                desk=desk, store=self.disk, view=SimpleNamespace(standing=Standing()), audit=Unwritten(),
            )  # fmt: skip
            registrar: Any = None
            sessions = Sessions(writer, delivery, desk, registrar, office)
            self.manager = Manager(tasks, sessions, writer, Reader(writer.journal))
            pool.decided = self.manager.reader.decided.extend
            started.set()
            await writer.run()

    def crash_manager(self) -> None:
        """As if killed: nothing it holds in memory survives, its connections break."""
        manager, self.manager = self.manager, None
        if manager is not None:
            manager.tasks.cancel_scope.cancel()
            for stream in manager.streams:
                stream.reset()

    # ---- connections ------------------------------------------------------------------------------------

    async def dial(self, role: str, peer: str, instance: bytes, fresh: bool) -> Connected:
        """A session that stands, over a faulty link."""
        await anyio.sleep(self.rng.random() * 0.01)
        manager = self.manager
        if manager is None or peer in self.islands:
            raise Unreachable("nobody listens")
        near, far = stream_pair()
        manager.streams.append(far)
        link = self.net.wrap(near)
        self._links[peer] = link.link
        hello = m.Hello(1, 1, role, "sim", instance, fresh)
        manager.tasks.start_soon(self._serve, manager, Guest(role, peer, "mem://", hello, None), far)
        now = anyio.current_time()
        wire = Wire("greeter", now)
        wire.establish(f"manager to {role}", heartbeat=HEARTBEAT, dead_after=DEAD_AFTER, now=now)
        welcome = m.Welcome(1, "sim", "sim", peer, HEARTBEAT, DEAD_AFTER, LEASE, 2**20)
        return Connected(Session(link, wire), welcome, Address("mem", host="sim"))

    async def _serve(self, manager: Manager, guest: Guest, stream: MemoryStream) -> None:
        now = anyio.current_time()
        wire = Wire("stranger", now)
        wire.establish(guest.role, heartbeat=HEARTBEAT, dead_after=DEAD_AFTER, now=now)
        session = Session(stream, wire)
        await manager.sessions.converse(guest, session)
        await session.aclose()

    # ---- workers ----------------------------------------------------------------------------------------

    def start_worker(self, name: str) -> None:
        """A new process with the old spool."""
        self.tasks.start_soon(self._worker, name)

    async def _worker(self, name: str) -> None:
        with anyio.CancelScope() as scope:
            self._scopes[name] = scope
            while True:
                try:
                    await self._process(name)
                except Conflict:  # displaced by a second connection: whoever looks after it starts it again
                    await anyio.sleep(1.0)

    async def _process(self, name: str) -> None:
        self._instances += 1
        instance = b"%016d" % self._instances
        config = WorkerConfig(name=name, capacity=2, prefetch=6)
        identity: Any = SimpleNamespace(
            certificate=SimpleNamespace(not_before=0.0, not_after=1e12),
            endpoints=(),
            role="worker",
            folder=self.folder / name,
        )

        async def dial(fresh: bool) -> Connected:
            return await self.dial("worker", name, instance, fresh)

        spool = WatchedSpool(self.ledger, name, self.folder / name, 2**20)
        runtime, rng = SimRuntime(self.ledger, name), random.Random(self.rng.random())
        role = self.workers[name] = Worker(config, identity, KINDS, runtime, spool, dial=dial, rng=rng)
        runtime.report = role.report
        try:
            await role.run()
        finally:
            spool.close()

    async def crash_worker(self, name: str, away: float) -> None:
        """As if killed, and started again after a while."""
        self._scopes[name].cancel()
        await anyio.sleep(away)
        self.start_worker(name)

    async def cut_off(self, name: str, away: float) -> None:
        """One worker reaches nobody for a while, and everybody else does."""
        self.islands.add(name)
        if name in self._links:
            self._links[name].vanish()
        await anyio.sleep(away)
        self.islands.discard(name)

    async def second_connection(self, name: str) -> None:
        """Somebody else with this worker's identity turns up, says hello and falls silent."""
        self.ledger.impersonated.add(name)
        with suppress(TaskMessengerError):
            other = await self.dial("worker", name, b"an impostor's 16", fresh=False)
            other.session.send(m.Holding([], []))
            with anyio.move_on_after(0.5):
                await other.session.run(_ignore)
            await other.session.aclose()

    # ---- clients ----------------------------------------------------------------------------------------

    async def client(self, one: Client) -> None:
        """Its whole life."""

        async def dial() -> Connected:
            while True:
                try:
                    return await self.dial("operator", one.name, one.name.encode(), fresh=True)
                except Unreachable:
                    await anyio.sleep(0.2)

        await one.live(dial, BATCHES // len(self.clients))


async def _ignore(messages: list[m.Message]) -> None:
    del messages


def final_states(world: World) -> Counter[str]:
    """How the accepted tasks ended."""
    ledger = world.ledger
    return Counter(TaskState(ledger.outcomes[i].state).word for i in ledger.accepted)
