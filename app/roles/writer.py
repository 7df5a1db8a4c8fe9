"""The single writer: decides in memory, commits once for a batch, and only then lets anything leave.

While one batch is on its way to the disk the next one is decided, and what arrives meanwhile gathers in the
inbox: the busier it is, the larger the batches. Knows nothing of connections; `act` does what was decided.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from time import time
from typing import Final, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from ..core.effects import Decision, Effect, Event, kept
from ..core.errors import StoreBusy, StoreFull
from ..core.journal import Journal
from ..core.lifecycle import TaskState
from ..core.pool import Pool
from ..core.ports import TaskStore
from ..core.stimuli import Retry, Stimulus, Submit, Tick
from .inbox import Inbox

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""Longest time between two looks at the clock."""
FULL_RETRY_SECONDS: Final = 1.0
"""How often a batch that found no space on the disk is tried again."""
RATE_SECONDS: Final = 10.0
_CANCELLED: Final = TaskState.CANCELLED.value
_TOLD: Final = frozenset({"submitted", "succeeded", "failed", "timed_out", "cancelled", "retried"})
"""What happens to tasks and is a line of the log at `debug`."""
_T = TypeVar("_T")


class Writer:
    """Owns the pool."""

    def __init__(
        self,
        pool: Pool,
        store: TaskStore,
        act: Callable[[list[Effect]], None],
        *,
        clock: Callable[[], float] = anyio.current_time,
        wall: Callable[[], float] = time,
    ) -> None:
        self.pool = pool
        self.inbox = Inbox()
        self.journal: Journal[tuple[float, Event]] = Journal()
        """What happened, and when (wall clock)."""
        self.degraded = ""
        """Why nothing new is accepted; empty when all is well."""
        self._store = store
        self._act = act
        self._clock, self._wall = clock, wall
        self.settled = 0
        """Outcomes since the start, those of tasks that somebody cancelled left out."""
        self._settled: deque[tuple[float, int]] = deque()
        self._turn = anyio.Lock(fast_acquire=True)
        self._under_way = 0
        """Decisions that are not stored yet: the one that waits, and the one on its way to the disk."""
        self._stored = anyio.Event()

    def now(self) -> float:
        """The monotonic time that decides."""
        return self._clock()

    async def run(self) -> None:
        """Serve the inbox until cancelled.

        Raises:
            StoreFailed: the disk failed; nothing of the last batch has left, and nothing may any more.
        """
        send, receive = anyio.create_memory_object_stream[Decision](0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._release, receive)
            await self._decide(send)

    def rate(self) -> float:
        """Outcomes per second over the last seconds."""
        self._count(0)
        return sum(count for _, count in self._settled) / RATE_SECONDS

    def _count(self, settled: int) -> None:
        """So many more outcomes; what is too long ago to count is forgotten."""
        now = self._clock()
        while self._settled and self._settled[0][0] < now - RATE_SECONDS:
            self._settled.popleft()
        if settled:
            self.settled += settled
            self._settled.append((now, settled))

    async def _decide(self, send: MemoryObjectSendStream[Decision]) -> None:
        pool, inbox = self.pool, self.inbox
        looked = self._clock()
        async with send:
            while True:
                await inbox.wait(self._patience())
                async with self._turn:
                    batch = inbox.take()
                    await self._look_up(batch)
                    now = self._clock()
                    if not batch or now - looked >= LOOK_SECONDS or _is_due(pool, now):
                        looked = now
                        batch.append(Tick())
                    decision = pool.handle(batch, now, self._wall())
                    if decision.commit or decision.effects or decision.events:
                        self._under_way += 1
                        await send.send(decision)

    async def _release(self, receive: MemoryObjectReceiveStream[Decision]) -> None:
        """Store, then act: strictly in the order of the decisions."""
        async with receive:
            async for decision in receive:
                if decision.commit:
                    await self._commit(decision)
                self._under_way -= 1
                if not self._under_way:
                    self._stored.set()
                    self._stored = anyio.Event()
                if decision.events:
                    if log.isEnabledFor(logging.DEBUG):
                        _tell_tasks(decision.events)
                    wall = self._wall()
                    self.journal.extend((wall, kept(event)) for event in decision.events)
                if decision.commit.settled:
                    self._count(sum(row[0] != _CANCELLED for row in decision.commit.settled))
                self._act(decision.effects)

    async def _commit(self, decision: Decision) -> None:
        """A full disk is waited out, and so are too many open files: the pool has decided on this batch."""
        while True:
            try:
                await self._store.commit(decision.commit)
            except (StoreBusy, StoreFull) as error:
                if not self.degraded:
                    log.warning("nothing is accepted: %s", error)
                self.degraded = str(error)
                await anyio.sleep(FULL_RETRY_SECONDS)
            else:
                if self.degraded:
                    log.warning("the store can be written to again: tasks are accepted")
                self.degraded = ""
                return

    async def between(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Await `call` when all decisions are stored: for what changes the store by another way."""
        async with self._turn:
            await self._all_stored()
            return await call()

    def note(self, what: str, who: str, why: str) -> None:
        """An event that no decision led to."""
        self.journal.extend([(self._wall(), (what, who, (), why))])

    async def _all_stored(self) -> None:
        while self._under_way:
            await self._stored.wait()

    async def _look_up(self, batch: list[Stimulus]) -> None:
        """Tasks that have ended, and their idempotency keys, are known to the store alone."""
        for stimulus in batch:
            if isinstance(stimulus, Submit) and stimulus.keys is not None:
                unknown = [key for key in stimulus.keys if key not in self.pool.keys]
                await self._all_stored()
                stimulus.known = await self._store.find_keys(unknown)
            elif isinstance(stimulus, Retry):
                await self._all_stored()
                stimulus.rows = await self._store.task_rows(stimulus.ids)

    def _patience(self) -> float:
        deadline = self.pool.deadline()
        if deadline is None:
            return LOOK_SECONDS
        return min(LOOK_SECONDS, max(0.0, deadline - self._clock()))


def _tell_tasks(events: list[Event]) -> None:
    """A line for each task that comes or ends."""
    for what, who, tasks, why in events:
        if what in _TOLD:
            for task_id in tasks:
                log.debug("task %d: %s%s%s", task_id, what, who and f", {who}", why and f": {why}")


def _is_due(pool: Pool, now: float) -> bool:
    deadline = pool.deadline()
    return deadline is not None and deadline <= now
