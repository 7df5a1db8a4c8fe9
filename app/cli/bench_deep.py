"""A deep queue: what submitting a task and leasing it cost then, and how long a restart takes.

The worker of this measure is part of the measuring process, so that the moment when a lease arrives is known
on the same clock as the moment of its submission. It runs nothing: it answers a few leases now and then, and
thereby keeps the deep queue moving while single tasks of higher priority overtake it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import psutil

from ..core.errors import TimedOut
from ..handle import Group
from ..net import messages as m
from ..net.client import connect, join
from ..net.security.invites import decode
from ..net.session import Session
from ..remote import Remote, attach
from ..runtimes.payload import pack
from .bench_measures import BENCH_KIND, percentile, queue
from .connect import dialler
from .demo_fleet import MANAGER, Fleet

PROBES: Final = 300
"""Single tasks, each submitted when the one before has been leased."""
WARM_UP: Final = 20
PRIORITY: Final = 50
CAPACITY: Final = 16
LIMIT: Final = 32
"""Leases at a time: so few that each is given by itself, as soon as there is room."""
ANSWERED: Final = 4
"""Leases in each tick."""
TICK: Final = 0.004
"""Seconds. Together a load that a busy machine bears too: what is measured is the depth of the queue."""
ROOM: Final = 10_000
"""Tasks that are open beside those of the deep queue, at most."""
LEASE_SECONDS: Final = 30.0


class _Consumer:
    """A worker's session that notes when leases come, and answers them at a steady pace."""

    def __init__(self, session: Session) -> None:
        self.serving = True
        """Whether leases are answered; while they are not, the session lives on."""
        self.answered = 0
        self._session = session
        self._held: deque[tuple[int, int, bytes]] = deque()
        """Task, attempt and payload."""
        self._wanted = b""
        self._seen = 0.0
        self._arrived = anyio.Event()

    def expect(self, payload: bytes) -> None:
        """The lease with this payload is to be noted."""
        self._wanted, self._arrived = payload, anyio.Event()

    async def arrival(self) -> float:
        """When that lease came.

        Raises:
            TimedOut: it does not come.
        """
        with anyio.move_on_after(LEASE_SECONDS):
            await self._arrived.wait()
            return self._seen
        raise TimedOut(f"a task of high priority was not leased within {LEASE_SECONDS:g} s")

    async def run(self) -> None:
        """Offer the work of a small worker, and do it until cancelled."""
        self._session.send(m.Offer([BENCH_KIND], [], CAPACITY, LIMIT))
        self._session.send(m.Holding([], []))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._session.run, self._take)
            while True:
                await anyio.sleep(TICK)
                if self.serving and self._held:
                    self._answer([self._held.popleft() for _ in range(min(ANSWERED, len(self._held)))])

    async def _take(self, messages: list[m.Message]) -> None:
        now = time.perf_counter()
        for message in messages:
            if isinstance(message, m.Steer):
                self._session.send(m.Steered(message.sequence))
            if not isinstance(message, m.Assign):
                continue
            for task, attempt, _, payload in (lease for _, group in message.leases for lease in group):
                self._held.append((task, attempt, payload))
                if payload == self._wanted:
                    self._seen = now
                    self._arrived.set()

    def _answer(self, held: list[tuple[int, int, bytes]]) -> None:
        self.answered += len(held)
        tasks, attempts, payloads = (list(column) for column in zip(*held, strict=True))
        self._session.send(m.Finished(tasks, attempts, payloads, [0.0] * len(held)))


async def deep_queue(fleet: Fleet, tasks: int) -> dict[str, float]:
    """Submit and lease latency on an empty pool and on one with so many tasks queued; then a restart."""
    figures: dict[str, float] = {}
    fleet.configure(tasks_max_pending=tasks + ROOM)
    await fleet.start_manager()
    figures["empty_manager_mib"] = _memory(fleet)
    async with attach(dialler(fleet.paths)) as remote, _worker(fleet, remote) as consumer:
        figures |= await _probe("empty", remote, consumer)
        consumer.serving = False
        await queue(remote, tasks)
        consumer.serving = True
        figures |= await _probe("deep", remote, consumer)
        figures["deep_manager_mib"] = _memory(fleet)
        figures["deep_left"] = float((await remote.status()).totals.get("queued", 0))
    fleet.kill(MANAGER)
    start = time.perf_counter()
    await fleet.start_manager()
    figures["deep_restart_s"] = time.perf_counter() - start
    figures["deep_restart_mib"] = _memory(fleet)
    return figures


def _memory(fleet: Fleet) -> float:
    """What the manager takes, in MiB; right after a start it is at its highest."""
    return float(psutil.Process(fleet.pid(MANAGER)).memory_info().rss) / 2**20


@asynccontextmanager
async def _worker(fleet: Fleet, remote: Remote) -> AsyncIterator[_Consumer]:
    made = await remote.make_invite(1, 600.0)
    identity = await join(decode(made.text, time.time()), "consumer", fleet.home / "consumer")
    connected = await connect(identity, identity.addresses)
    consumer = _Consumer(connected.session)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(consumer.run)
            yield consumer
            group.cancel_scope.cancel()
    finally:
        await connected.session.aclose()


async def _probe(name: str, remote: Remote, consumer: _Consumer) -> dict[str, float]:
    """p99 in milliseconds from submission to its answer, and from submission to the lease."""
    submits: list[float] = []
    leases: list[float] = []
    for number in range(WARM_UP + PROBES):
        payload = pack(f"{name} {number}")
        consumer.expect(payload)
        start = time.perf_counter()
        await remote.submit([Group(BENCH_KIND, [payload], priority=PRIORITY)])
        submits.append(time.perf_counter() - start)
        leases.append(await consumer.arrival() - start)
    return {
        f"{name}_submit_p99_ms": percentile(submits[WARM_UP:], 99) * 1e3,
        f"{name}_lease_p99_ms": percentile(leases[WARM_UP:], 99) * 1e3,
    }
