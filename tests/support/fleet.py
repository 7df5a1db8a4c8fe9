"""A whole fleet in one process: real manager, workers, TCP, TLS and SQLite, on the test's own event loop.

Times are short (see `FAST`), so that what takes half a minute in life takes a second or two here. Workers run
a `Puppet` unless a test wants real runtimes: it counts what it runs, and ends it when it is told to.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any

import anyio
import msgpack
from anyio.abc import TaskGroup
from msgspec.structs import replace
from taskmessenger.config.model import (
    Backoff,
    Drain,
    Leases,
    ManagerConfig,
    ManagerLimits,
    Reconnect,
    Tasks,
    WorkerConfig,
)
from taskmessenger.config.model import Store as StoreConfig
from taskmessenger.config.model import Transport as Listening
from taskmessenger.core.errors import TaskMessengerError
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Depth
from taskmessenger.handle import ErrorInfo, Group, Outcome, PeerRow
from taskmessenger.net import client
from taskmessenger.net import messages as m
from taskmessenger.net.address import Address
from taskmessenger.net.protocol import Wire
from taskmessenger.net.security import identity as identities
from taskmessenger.net.security import marks
from taskmessenger.net.security.endpoints import TcpEndpoint
from taskmessenger.net.security.enrol import create_invite
from taskmessenger.net.security.identity import Identity
from taskmessenger.net.security.invites import Invite, decode
from taskmessenger.net.security.tls import client_context, wrap_client
from taskmessenger.net.session import Session
from taskmessenger.net.transport import Transport, transport_for
from taskmessenger.paths import Paths, under
from taskmessenger.remote import Remote, attach
from taskmessenger.roles.manager import Manager
from taskmessenger.roles.spool import Spool
from taskmessenger.roles.worker import Worker
from taskmessenger.runtimes.base import CANCELLED, FAILED, STUCK, SUCCEEDED, Ended, Job
from taskmessenger.runtimes.limits import Limits
from taskmessenger.runtimes.registry import KindInfo, Registry
from taskmessenger.runtimes.runner import Runtimes
from taskmessenger.store.sqlite import Bounds, SqliteStore

from tests.support.runtimes import SAMPLES, looked_at, until

BOUND = 30.0
"""Seconds after which a test has failed; nothing takes so long when it works."""
FAST = Leases(ttl=2.0, heartbeat=0.2, dead_after=1.0)
QUICK_RETRY = Backoff(first=0.05, factor=1.0, ceiling=0.05, jitter=0.0)


def packed(value: Any) -> bytes:
    return msgpack.packb(value)


def unpacked(outcome: Outcome) -> Any:
    assert outcome.result is not None, outcome
    return msgpack.unpackb(outcome.result, strict_map_key=False)


class Puppet:
    """A runtime on strings: `echo` returns its payload, `hold` runs until it is told how to end.

    Other kinds: `raise` fails, `deaf` does not end when it is asked to, `broken` is more than this worker can
    do.
    """

    KINDS = ("echo", "hold", "raise", "deaf", "broken")

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        """Every attempt that was ever started here."""
        self.running: dict[int, anyio.Event] = {}
        self.results: dict[int, bytes] = {}
        self.cancelled: list[int] = []
        self.lingers: dict[int, anyio.Event] = {}
        self.closed = False

    @classmethod
    def announce(cls) -> list[KindInfo]:
        return [KindInfo(name, "async", False) for name in cls.KINDS]

    async def run(self, job: Job) -> Ended:
        self.begun.append((job.task, job.attempt))
        if job.kind == "echo":
            return Ended(SUCCEEDED, 0.001, job.payload)
        if job.kind == "raise":
            return Ended(FAILED, 0.001, None, ErrorInfo("failed", "ValueError: no"))
        if job.kind == "broken":
            return Ended(FAILED, 0.0, None, ErrorInfo("worker_fault", "no process can be started"))
        event = self.running[job.task] = anyio.Event()
        try:
            await event.wait()
        finally:
            self.running.pop(job.task, None)
        if job.task in self.results:
            return Ended(SUCCEEDED, 0.01, self.results.pop(job.task))
        if job.kind == "deaf":
            self.lingers[job.task] = anyio.Event()
            return Ended(STUCK, 0.01, None, ErrorInfo("stuck", "does not stop"))
        return Ended(CANCELLED, 0.01, None, ErrorInfo("cancelled", "was cancelled"))

    def finish(self, task: int, value: Any = "done") -> None:
        """Let a running one succeed."""
        self.results[task] = packed(value)
        self.running[task].set()

    def cancel(self, task: int) -> None:
        self.cancelled.append(task)
        if task in self.running:
            self.running[task].set()

    def lingering(self, task: int) -> anyio.Event | None:
        return self.lingers.get(task)

    async def aclose(self) -> None:
        self.closed = True
        for event in self.running.values():
            event.set()


@dataclass
class Node:
    """One worker: its role, its runtime, and what became of it."""

    worker: Worker
    puppet: Puppet
    scope: anyio.CancelScope
    ended: anyio.Event = field(default_factory=anyio.Event)
    error: BaseException | None = None

    @property
    def id(self) -> str:
        return self.worker.identity.peer_id

    async def connected(self) -> None:
        await until(lambda: self.worker.connected is not None)

    async def gone(self) -> None:
        with anyio.fail_after(BOUND):
            await self.ended.wait()

    async def kill(self) -> None:
        """As if by kill -9: no goodbye, nothing given back."""
        self.scope.cancel()
        await self.gone()


class Fleet:
    """A manager that can be stopped, killed and started again, and whoever belongs to it."""

    def __init__(self, home: Path, tasks: TaskGroup, config: ManagerConfig) -> None:
        self.home, self.config = home, config
        self.paths: Paths = under(home / "manager")
        self.address = Address.parse("tcp://127.0.0.1:1")
        self.nodes: list[Node] = []
        self.depth: Depth | None = None
        """Which queued tasks the next manager keeps as objects, and reads as rows when it starts."""
        self._tasks = tasks
        self._manager: Manager | None = None
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._ended.set()

    @property
    def manager(self) -> Manager:
        assert self._manager is not None
        return self._manager

    @property
    def pool(self):
        return self.manager.writer.pool

    # ---- the manager ------------------------------------------------------------------------------------

    async def start(self) -> None:
        for folder in (self.paths.database.parent, self.paths.socket.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        bounds = Bounds(in_full=self.depth.in_full) if self.depth is not None else None
        store = SqliteStore(self.paths.database, ballast=0, low_water=0, bounds=bounds)
        self._manager = Manager(self.config, self.paths, store)
        self.pool.depth = self.depth or self.pool.depth
        self._ended = anyio.Event()
        (listening,) = await self._tasks.start(self._run)
        self.address = Address.parse(listening)
        listen = Listening(listen=(listening,))  # the next one has to be found at the same place
        self.config = replace(self.config, transport=listen)

    async def _run(self, *, task_status) -> None:
        with anyio.CancelScope() as self._scope:
            await self.manager.run(task_status=task_status)
        self._ended.set()

    async def stop(self) -> None:
        """In good order."""
        self.manager.stop()
        with anyio.fail_after(BOUND):
            await self._ended.wait()

    async def kill(self) -> None:
        """Without a word to anybody, and without storing what was decided last."""
        self._scope.cancel()
        with anyio.fail_after(BOUND):
            await self._ended.wait()

    # ---- members ----------------------------------------------------------------------------------------

    async def member(self, role: str = "worker", peer_id: str = "w-fern-0001") -> Identity:
        """Someone who has joined, without the ceremony."""
        key = identities.new_key()
        authority, now = self.manager.authority, time()
        certificate = authority.issue(identities.make_csr(key), role, peer_id, now)
        _, invite = create_invite(
            authority.key_hash, [TcpEndpoint(self.address.host, self.address.port)], role, 1, 900.0, now
        )
        await self.manager.store.add_invite(invite)
        row = PeerRow(peer_id, role, certificate.serial, invite.id, now, certificate.not_after)
        assert await self.manager.store.redeem(invite.id, row, now)
        found = Identity(
            folder=self.home / peer_id,
            fleet_id=authority.fleet_id,
            role=role,
            peer_id=peer_id,
            manager_name=authority.fleet_name,
            certificate=certificate,
            ca_der=authority.ca_der,
            endpoints=(str(self.address),),
        )
        identities.save(found, key)
        return found

    async def invite(self, role: str = "worker", uses: int = 1, endpoints: Sequence[str] = ()) -> Invite:
        """A real one."""
        text, _ = await self.manager.make_invite(m.MakeInvite(0, uses, 900.0, role, list(endpoints)))
        return decode(text, time())

    async def worker(
        self,
        peer_id: str = "w-fern-0001",
        *,
        identity: Identity | None = None,
        capacity: int = 2,
        prefetch: int = 0,
        through: Transport | None = None,
        connected: bool = True,
        runtime: Callable[[Callable[..., None]], Any] | None = None,
        drain: float = 5.0,
        puppet: Puppet | None = None,
    ) -> Node:
        """A worker that is connected, through a bad network if there is to be one."""
        identity = identity or await self.member("worker", peer_id)
        config = WorkerConfig(
            name="w",
            capacity=capacity,
            prefetch=prefetch,
            reconnect=Reconnect(first=0.05, ceiling=0.2, jitter=0.5),
            drain=Drain(deadline=drain),
        )
        puppet = puppet or Puppet()
        role: list[Worker] = []

        def report(*about: Any) -> None:
            role[0].report(*about)

        engine: Any = puppet if runtime is None else runtime(report)
        announced = puppet.announce() if runtime is None else engine.kinds.announce()
        dial = self.dialler(identity, through)
        spool = Spool(self.home / f"spool-{identity.peer_id}", 64 * 1024 * 1024)
        role.append(Worker(config, identity, announced, engine, spool, dial=dial))
        node = Node(role[0], puppet, anyio.CancelScope())
        self.nodes.append(node)
        self._tasks.start_soon(self._serve, node, spool)
        if connected:
            await node.connected()
            await until(lambda: (w := self.pool.workers.get(node.id)) is not None and w.synced)
        return node

    async def _serve(self, node: Node, spool: Spool) -> None:
        try:
            with node.scope:
                await node.worker.run()
        except TaskMessengerError as error:
            node.error = error
        finally:
            spool.close()
            node.ended.set()

    def dialler(self, identity: Identity, through: Transport | None = None):
        """Connects as a process of its own would: with an instance that nobody else has."""
        instance = secrets.token_bytes(16)

        async def dial(fresh: bool):
            address = self.address
            current = identities.load(identity.folder, identity.role)
            stream = await (through or transport_for(address)).dial(address)
            secure = await wrap_client(stream, client_context(current), str(address))
            session = Session(secure, Wire("greeter", anyio.current_time()))
            mark = marks.read(identity.folder)
            hello = m.Hello(m.OLDEST, m.PROTOCOL, identity.role, "1.0", instance, fresh, "", mark)
            try:
                return await client._introduce(session, hello, address)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await session.aclose()
                raise

        return dial

    # ---- clients ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def operator(self, patience: float = BOUND) -> AsyncIterator[Remote]:
        """This user, at the local socket; asks again should this process have stood still for too long."""
        async with attach(lambda: client.connect_locally(self.paths.socket), patience=patience) as remote:
            yield remote

    @asynccontextmanager
    async def client(self, identity: Identity, patience: float = 0.0) -> AsyncIterator[Remote]:
        """A member elsewhere."""

        async def dial():
            return await client.connect(identity, [self.address])

        async with attach(dial, patience=patience) as remote:
            yield remote

    async def settled(self) -> None:
        """Until nobody holds anything, and all that was said was heard."""
        await until(lambda: not any(worker.held for worker in self.pool.workers.values()))


class Real:
    """Real runtimes over the sample kinds, for `Fleet.worker(runtime=...)`."""

    def __init__(self, home: Path, capacity: int = 2) -> None:
        self._home, self._capacity = home, capacity

    def __call__(self, report) -> Runtimes:
        kinds = Registry.load(("*",), [SAMPLES], look=looked_at)
        made = Runtimes(kinds, self._capacity, report, Limits(), self._home, grace=0.2)
        made.kinds = kinds
        return made


async def alarms(fleet: Fleet, code: str) -> list[str]:
    """The texts of alarms of this sort, once there are any."""
    telemetry = fleet.manager.view.telemetry
    with anyio.fail_after(BOUND):
        while True:
            await telemetry.refresh()
            if found := [one.text for one in telemetry.feed.snapshot().alarms if one.code == code]:
                return found
            await anyio.sleep(0.01)


@asynccontextmanager
async def a_fleet(
    home: Path,
    *,
    leases: Leases = FAST,
    limits: ManagerLimits | None = None,
    drain: float = 5.0,
    **tasks: Any,
) -> AsyncIterator[Fleet]:
    """A running manager, without anybody yet."""
    config = ManagerConfig(
        name="lab",
        transport=Listening(listen=("tcp://127.0.0.1:0",)),
        leases=leases,
        tasks=Tasks(backoff=QUICK_RETRY, **tasks),
        store=StoreConfig(ballast=0, low_water_mb=0),
        limits=limits or ManagerLimits(),
        drain=Drain(deadline=drain),
    )
    os.umask(0o022)
    async with anyio.create_task_group() as group:
        fleet = Fleet(home, group, config)
        with anyio.fail_after(BOUND):
            await fleet.start()
        try:
            yield fleet
        finally:
            group.cancel_scope.cancel()


async def submit(remote: Remote, kind: str, *payloads: Any, **options: Any) -> list[int]:
    """Tasks of one kind; their ids."""
    return (await remote.submit([Group(kind, [packed(p) for p in payloads], **options)])).ids


async def results(remote: Remote, ids: Sequence[int], seconds: float = BOUND) -> dict[int, Outcome]:
    """Wait for all of them."""
    found: dict[int, Outcome] = {}
    remote.on_outcomes = lambda outcomes: found.update({one.id: one for one in outcomes})
    with anyio.fail_after(seconds):
        await remote.wait(ids)
    return {i: found[i] for i in ids}


async def running(fleet: Fleet, *ids: int) -> None:
    """Until the manager knows that these run."""
    tasks = fleet.pool.tasks
    await until(lambda: all(i in tasks and tasks[i].state is TaskState.RUNNING for i in ids))
