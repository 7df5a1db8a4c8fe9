"""A whole fleet in virtual time: real roles, real sessions, an imagined disk and network, faults from a seed.

What is real: the pool, the writer, the manager's sessions, the workers with their slots, outboxes and spools,
the client with its reconnects, frames and heartbeats. What is imagined: TLS and the door (peers are
introduced), the disk (rows in memory that outlive a manager; a commit takes time, and a crash may fall before
or after it), and what tasks do (they wait, then succeed, fail or crash as their payload says).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskGroup
from taskmessenger.config.model import WorkerConfig
from taskmessenger.core.commit import Commit
from taskmessenger.core.errors import Conflict, NotFound, TaskMessengerError, Unreachable
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Pool, check
from taskmessenger.core.retry import Backoff
from taskmessenger.handle import Act, ErrorInfo, Group, Outcome
from taskmessenger.handle.filters import query_of
from taskmessenger.net import messages as m
from taskmessenger.net.address import Address
from taskmessenger.net.client import Connected
from taskmessenger.net.faulty import FaultyTransport, Way
from taskmessenger.net.memory import MemoryStream, stream_pair
from taskmessenger.net.protocol import Wire
from taskmessenger.net.session import Session
from taskmessenger.remote import Remote, attach
from taskmessenger.roles.deliver import Delivery
from taskmessenger.roles.desk import Desk
from taskmessenger.roles.door import Guest
from taskmessenger.roles.sessions import Sessions
from taskmessenger.roles.spool import Spool
from taskmessenger.roles.standing import Standing
from taskmessenger.roles.worker import Worker
from taskmessenger.roles.writer import Writer
from taskmessenger.runtimes.base import CANCELLED, CRASHED, FAILED, SUCCEEDED, Ended, Job
from taskmessenger.runtimes.registry import KindInfo
from taskmessenger.store.memory import MemoryStore

HEARTBEAT, DEAD_AFTER, LEASE = 1.0, 3.0, 6.0
EPOCH = 1_700_000_000.0
KINDS = [KindInfo("inside", "async", isolated=False), KindInfo("apart", "process", isolated=True)]
PATIENCE = 3_600.0


class Disk(MemoryStore):
    """Outlives managers. A commit is all or nothing and takes time; a crash falls before or after it."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.slowness = 0.0
        self.commits = 0
        self._rng = rng

    async def commit(self, batch: Commit) -> None:
        await anyio.sleep(self._rng.random() * (0.002 + self.slowness))
        await super().commit(batch)
        self.commits += 1
        await anyio.sleep(self._rng.random() * 0.002)


class Clock:
    """Wall time, which an operator may turn."""

    def __init__(self) -> None:
        self.offset = EPOCH

    def __call__(self) -> float:
        return self.offset + anyio.current_time()


class Checked(Pool):
    """A pool that looks at its invariants after every batch."""

    def handle(self, stimuli: Any, now: float, wall: float) -> Any:
        decision = super().handle(stimuli, now, wall)
        check(self)
        return decision


@dataclass
class Manager:
    """One incarnation."""

    tasks: TaskGroup
    sessions: Sessions
    writer: Writer
    streams: list[MemoryStream] = field(default_factory=list)


class SimRuntime:
    """Runs jobs in virtual time; the world keeps the books."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._running: dict[int, anyio.CancelScope] = {}

    async def run(self, job: Job) -> Ended:
        seconds, how = msgspec.msgpack.decode(job.payload)
        self._world.executions[job.task] += 1
        start = anyio.current_time()
        with anyio.CancelScope() as scope:
            self._running[job.task] = scope
            await anyio.sleep(seconds)
        self._running.pop(job.task, None)
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

    def __init__(self, seed: int, folder: Path, workers: int = 3) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.names = [f"w{number}" for number in range(workers)]
        self.disk = Disk(random.Random(self.rng.random()))
        self.wall = Clock()
        self.executions: Counter[int] = Counter()
        self.outcomes: dict[int, Outcome] = {}
        self.accepted: set[int] = set()
        self.cancelled: set[int] = set()
        self.manager: Manager | None = None
        self.workers: dict[str, Worker] = {}
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._instances = 0
        self.tasks: TaskGroup
        self.net: FaultyTransport

    # ---- the manager ------------------------------------------------------------------------------------

    async def start_manager(self) -> None:
        """A new incarnation on the old disk."""
        started = anyio.Event()
        self.tasks.start_soon(self._manager, started)
        await started.wait()

    async def _manager(self, started: anyio.Event) -> None:
        rng = random.Random(self.rng.random())
        pool = Checked(lease_ttl=LEASE, backoff=Backoff(first=0.5, ceiling=4.0), rng=rng)
        found = await self.disk.open()
        pool.recover(found, anyio.current_time(), self.wall())
        check(pool)
        async with anyio.create_task_group() as tasks:
            delivery = Delivery(self.disk.payloads, tasks.start_soon, 4 * 1024 * 1024)
            writer = Writer(pool, self.disk, delivery.act, wall=self.wall)
            desk = Desk(writer, self.disk, self.disk, delivery, name="sim", fleet="sim")
            office: Any = SimpleNamespace(
                max_payload=2**20, accepting=lambda: None, outcomes=self.disk.outcomes, desk=desk,
                store=self.disk, view=SimpleNamespace(standing=Standing()),
            )  # fmt: skip
            registrar: Any = None
            sessions = Sessions(writer, delivery, desk, registrar, office)
            self.manager = Manager(tasks, sessions, writer)
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
        if manager is None:
            raise Unreachable("nobody listens")
        near, far = stream_pair()
        manager.streams.append(far)
        link = self.net.wrap(near)
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
        self._instances += 1
        instance = b"%016d" % self._instances
        config = WorkerConfig(name=name, capacity=2, prefetch=6)
        identity: Any = SimpleNamespace(
            certificate=SimpleNamespace(not_before=0.0, not_after=1e12), endpoints=(), role="worker"
        )

        async def dial(fresh: bool) -> Connected:
            return await self.dial("worker", name, instance, fresh)

        spool = Spool(self.folder / name, 2**20)
        role = Worker(
            config, identity, KINDS, SimRuntime(self), spool, dial=dial, rng=random.Random(self.rng.random())
        )
        self.workers[name] = role
        with anyio.CancelScope() as scope:
            self._scopes[name] = scope
            try:
                await role.run()
            except Conflict:  # displaced by a second connection: whoever looks after it starts it again
                await anyio.sleep(1.0)
                self.start_worker(name)
        spool.close()

    async def crash_worker(self, name: str, away: float) -> None:
        """As if killed, and started again after a while."""
        self._scopes[name].cancel()
        await anyio.sleep(away)
        self.start_worker(name)

    async def second_connection(self, name: str) -> None:
        """Somebody else with this worker's identity turns up, says hello and falls silent."""
        with suppress(TaskMessengerError):
            other = await self.dial("worker", name, b"an impostor's 16", fresh=False)
            other.session.send(m.Holding([], []))
            with anyio.move_on_after(0.5):
                await other.session.run(_ignore)
            await other.session.aclose()

    # ---- the client -------------------------------------------------------------------------------------

    async def client(self, batches: int) -> None:
        """Submits, cancels a few, and waits for all."""
        rng = random.Random(self.rng.random())
        async with attach(self._dial_client, patience=PATIENCE) as remote:
            remote.on_outcomes = self.take
            for number in range(batches):
                await self._submit(remote, rng, number)
                await anyio.sleep(rng.random() * 3)
            await remote.wait(self.accepted)

    async def _dial_client(self) -> Connected:
        while True:
            try:
                return await self.dial("operator", "client", b"client", fresh=True)
            except Unreachable:
                await anyio.sleep(0.2)

    async def _submit(self, remote: Remote, rng: random.Random, number: int) -> None:
        size = rng.randrange(1, 12)
        hows = ["", "", "", "", "fail once", "fail", "crash"]
        payloads = [msgspec.msgpack.encode([rng.random() ** 3 * 3, rng.choice(hows)]) for _ in range(size)]
        group = Group(
            rng.choice(["inside", "apart"]),
            payloads,
            keys=[f"{number}-{place}" for place in range(size)],
            priority=rng.choice([0, 0, 5]),
            max_attempts=rng.choice([1, 3, 6]),
            delay=rng.choice([0.0, 0.0, 1.5]),
        )
        answer = await remote.submit([group], watch=True)
        again = await remote.submit([group], watch=True) if rng.random() < 0.2 else answer
        assert again.ids == answer.ids, "I10: one key, two tasks"
        self.accepted.update(answer.ids)
        if rng.random() < 0.2:
            self.cancelled.update(await remote.command("cancel", ids=[rng.choice(answer.ids)]))
        if rng.random() < 0.2:
            wish = query_of(rng.choice(["kind:inside", "state:queued", "-state:ended"]), 0.0)
            await remote.act(Act("set_priority", query=wish, number=rng.choice([0, 5, 9])))
        if rng.random() < 0.1:
            await self._limit(remote, rng.choice(self.names), rng)
        if rng.random() < 0.15:
            scope = rng.choice(["all", "kind:inside", "worker:w0"])
            await remote.command("pause", scope=scope)
            await anyio.sleep(rng.random())
            await remote.command("resume", scope=scope)

    async def _limit(self, remote: Remote, name: str, rng: random.Random) -> None:
        """For a while. A worker that is not here is nobody's to limit."""
        with suppress(NotFound):
            await remote.act(Act("limit", scope=name, number=rng.choice([0, 1])))
            await anyio.sleep(rng.random())
        while True:
            try:
                await remote.act(Act("limit", scope=name, number=-1))
                return
            except NotFound:
                await anyio.sleep(1.0)

    def take(self, outcomes: Sequence[Outcome]) -> None:
        """G2: what was told once is never told otherwise."""
        for one in outcomes:
            before = self.outcomes.get(one.id)
            assert before is None or (before.state, before.attempt, before.result) == (
                one.state, one.attempt, one.result,
            ), f"the outcome of task {one.id} changed: {before} -> {one}"  # fmt: skip
            self.outcomes[one.id] = one

    # ---- faults -----------------------------------------------------------------------------------------

    async def one_fault(self) -> None:
        """Something goes wrong, for a while."""
        rng, net = self.rng, self.net
        away = rng.choice([0.1, 1.0, 4.0, LEASE + 2])
        match rng.randrange(9):
            case 0:
                self.crash_manager()
                await anyio.sleep(away / 2)
                await self.start_manager()
            case 1:
                await self.crash_worker(rng.choice(self.names), away)
            case 2 if net.links:
                rng.choice(net.links).reset()
            case 3 if net.links:
                rng.choice(net.links).vanish()
            case 4:
                net.partition(rng.choice([Way.OUT, Way.IN, None]))
                await anyio.sleep(away)
                net.heal()
            case 5:
                net.change(None, delay=rng.random() * 0.4, jitter=rng.random() * 0.2)
                await anyio.sleep(away)
                net.change(None, delay=0.0, jitter=0.0)
            case 6:
                self.disk.slowness = rng.random()
                await anyio.sleep(away)
                self.disk.slowness = 0.0
            case 7:
                self.wall.offset += rng.choice([-86_400.0, -3_600.0, 3_600.0, 86_400.0])
            case 8:
                await self.second_connection(rng.choice(self.names))
            case _:
                pass


async def _ignore(messages: list[m.Message]) -> None:
    del messages


def final_states(world: World) -> Counter[str]:
    """How the accepted tasks ended."""
    return Counter(TaskState(world.outcomes[i].state).word for i in world.accepted)
