"""A worker's slots: leases wait here for one, run, and end. Knows the runtimes; knows nothing of sessions."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Container
from itertools import islice
from time import monotonic, time
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from ..core.errors import PeerError
from ..core.stimuli import How
from ..core.text import count
from ..net.messages import Lease
from ..runtimes.base import CANCELLED, STUCK, Job, Runtime
from .outbox import Outbox, local_fault

log = logging.getLogger(__name__)

YIELD_SECONDS: Final = 0.002
"""How long short tasks may run one after the other before the event loop gets its turn."""
WORTH_KEEPING: Final = 0.0005
"""Seconds, for each slot. What took so long is on disk before the next one begins: should that one take this
process along, the disk shows what had ended. Where they end faster, they are kept together."""
MAX_REMEMBERED: Final = 10_000
"""Ended attempts that are remembered in case their lease arrives after their end."""
MAX_HISTORY: Final = 200
"""Ended attempts that are shown."""
HORIZON: Final = 0.12
"""Seconds of work that should wait here, so that no slot waits for the manager, nor while outcomes gather."""
UNASKED: Final = 64
"""Leases that may wait here beyond twice as many as are ever asked for: the last may be under way."""
COOL_SECONDS: Final = 1.0
"""How long a slot rests after this worker could not run something through no fault of the task's."""
MAX_STUCK: Final = 64
"""Tasks that do not end of which the manager is told."""
MAX_SCOPES: Final = 4_096
"""Pauses in force at a time."""
STALE_SECONDS: Final = 2.0
"""Leases that have waited so long behind others are given back: somebody else may be idle."""


class Slots:
    """Runs up to `capacity` leases at a time, in the order in which they came."""

    def __init__(
        self, runtime: Runtime, outbox: Outbox, capacity: int, prefetch: int, *, free_stuck: bool = False
    ) -> None:
        self.capacity = capacity
        self.running: dict[int, tuple[int, str, float]] = {}
        """By task: attempt, kind, monotonic start."""
        self.stuck: dict[object, tuple[int, str, float]] = {}
        """Slots taken by threads that do not end: of each the task, its kind, and since when (monotonic)."""
        self.resting = 0
        """Slots that wait because this worker could not run something."""
        self.leaving = False
        """What has not begun does not begin any more."""
        self.paused: set[str] = set()
        """Scopes the manager has paused here: `all`, `kind:NAME`, `worker:ID`."""
        self.closed = False
        """This worker's own operator lets nothing new begin."""
        self.average: float | None = None
        """Seconds that an attempt has taken lately; None before the first has ended."""
        self.history: deque[tuple[int, int, str, int, float, float, str]] = deque(maxlen=MAX_HISTORY)
        """What ended last: task, attempt, kind, status, seconds, when (wall clock), message of an error."""
        self._runtime, self._outbox = runtime, outbox
        self._prefetch, self._free_stuck = prefetch, free_stuck
        self._queue: deque[tuple[Job, float]] = deque()
        self._more = anyio.Event()
        self._ended: dict[tuple[int, int], None] = {}
        self._giving_back: set[int] = set()
        self._void: set[tuple[int, int]] = set()
        """Attempts that are being ended and belong to a life of the manager's data that is over."""
        self._complained = float("-inf")
        self._blocked: dict[int, tuple[Job, float]] = {}
        """Leases of tasks of which an older attempt has not ended here yet."""

    @property
    def waiting(self) -> int:
        """Leases without a slot."""
        return len(self._queue)

    @property
    def usable(self) -> int:
        """Slots that can run something, now or after what they run."""
        return max(0, self.capacity - len(self.stuck) - self.resting)

    @property
    def limit(self) -> int:
        """How many leases to ask for: the slots, and as much as keeps them busy while news travels."""
        usable = self.usable
        if self.leaving or self._outbox.full or not usable:
            return 0
        if self.average is None:
            return usable
        longest = max((monotonic() - start for _, _, start in self.running.values()), default=0.0)
        expected = max(self.average, longest / 2, 1e-6)
        return usable + min(self._prefetch, int(usable * HORIZON / expected))

    @property
    def leases(self) -> list[tuple[int, int]]:
        """Task and attempt of everything that waits or runs."""
        return self.begun + [(job.task, job.attempt) for job, _ in (*self._queue, *self._blocked.values())]

    @property
    def begun(self) -> list[tuple[int, int]]:
        """Task and attempt of everything that runs."""
        held = [(task, attempt) for task, (attempt, _, _) in self.running.items()]
        return [lease for lease in held if lease not in self._void] if self._void else held

    async def run(self) -> None:
        """Serve until cancelled."""
        async with anyio.create_task_group() as tasks:
            for _ in range(self.capacity):
                tasks.start_soon(self._slot)

    def assign(self, kind: str, leases: list[Lease]) -> None:
        """New leases. A large one may come after a pause that was sent later.

        What nobody asked for goes back: a manager cannot fill this worker's memory.
        """
        most = UNASKED + 2 * (self.capacity + self._prefetch)
        too_many = len(self._queue) + len(leases) > most
        if self.leaving or self._outbox.full or too_many or self._is_paused(kind):
            self._outbox.released([lease for t, a, *_ in leases if (lease := (t, a)) not in self._ended])
            return
        now = monotonic()
        for task, attempt, timeout, payload in leases:
            if (task, attempt) in self._ended:
                continue  # its end overtook it
            self._queue.append((Job(task, attempt, kind, payload, timeout), now))
        self._more.set()

    def end(self, leases: list[tuple[int, int]]) -> None:
        """The manager wants these ended: cancelled, or no longer ours."""
        gone = set(leases)
        waiting = {(job.task, job.attempt) for job, _ in self._queue}
        self._queue = deque(entry for entry in self._queue if (entry[0].task, entry[0].attempt) not in gone)
        for task, attempt in leases:
            if task in self._blocked and self._blocked[task][0].attempt == attempt:
                del self._blocked[task]
            if self.running.get(task, (None,))[0] == attempt and (task, attempt) not in self._void:
                self._runtime.cancel(task)
            else:
                _remember(self._ended, (task, attempt))
                self._outbox.released([(task, attempt)], How.CANCELLED)
        if gone & waiting:
            log.info("ended before they ran: %s", count(len(gone & waiting), "lease"))

    def give_back(self, *, running: bool = False) -> None:
        """Release what waits; with `running` also end what runs and release that.

        Also for leases that are about to run out unseen: whoever is cut off has to stop using them.
        """
        waiting = [job for job, _ in (*self._queue, *self._blocked.values())]
        self._queue.clear()
        self._blocked.clear()
        self._outbox.released([(job.task, job.attempt) for job in waiting])
        if running:
            for task in list(self.running):
                self._giving_back.add(task)
                self._runtime.cancel(task)

    def forget(self) -> int:
        """What is here belongs to a life that is over: it ends, and nobody is told; says how much that is."""
        count = len(self.leases)
        self._queue.clear()
        self._blocked.clear()
        self._ended.clear()
        for task, attempt in self.begun:
            self._void.add((task, attempt))
            self._runtime.cancel(task)
        return count

    def pause(self, scope: str) -> None:
        """Start nothing in `scope`; what waits there goes back."""
        if scope not in self.paused and len(self.paused) >= MAX_SCOPES:
            raise PeerError(f"more than {MAX_SCOPES} pauses at a time")
        self.paused.add(scope)
        out = [job for job, _ in (*self._queue, *self._blocked.values()) if self._is_paused(job.kind)]
        self._queue = deque(entry for entry in self._queue if not self._is_paused(entry[0].kind))
        for job in out:
            self._blocked.pop(job.task, None)
        self._outbox.released([(job.task, job.attempt) for job in out])

    def keep_kinds(self, kinds: Container[str]) -> None:
        """Only these are offered any more: what waits for another one goes back."""
        out = [job for job, _ in (*self._queue, *self._blocked.values()) if job.kind not in kinds]
        self._queue = deque(entry for entry in self._queue if entry[0].kind in kinds)
        for job in out:
            self._blocked.pop(job.task, None)
        self._outbox.released([(job.task, job.attempt) for job in out])

    def resume(self, scope: str) -> None:
        """The end of a pause."""
        self.paused.discard(scope)

    def release_stale(self) -> bool:
        """Give back what has waited too long behind tasks that turned out to be long; says whether any has.

        So does all that waits when there is no room to keep what would come of it.
        """
        if not self._queue:
            return False
        behind = len(self.running) >= self.usable and monotonic() - self._queue[0][1] >= STALE_SECONDS
        if not (behind or self._outbox.full):
            return False
        log.info(
            "%s given back, because other workers may be idle",
            count(len(self._queue), "lease is", "leases are"),
        )
        self.give_back()
        return True

    def _is_paused(self, kind: str) -> bool:
        if self.closed:
            return True
        return f"kind:{kind}" in self.paused or any(not scope.startswith("kind:") for scope in self.paused)

    async def _slot(self) -> None:
        queue, yielded = self._queue, monotonic()
        while True:
            queue = self._queue
            if not queue:
                self._more = anyio.Event() if self._more.is_set() else self._more
                await self._more.wait()
                yielded = monotonic()
                continue
            entry = queue.popleft()
            job = entry[0]
            if job.task in self.running:
                self._blocked[job.task] = entry
                continue
            await self._run(job, monotonic())
            now = monotonic()
            if now - yielded > YIELD_SECONDS:
                await checkpoint()
                yielded = monotonic()

    async def _run(self, job: Job, started: float) -> None:
        task, attempt = job.task, job.attempt
        self.running[task] = (attempt, job.kind, started)
        self._outbox.started(task, attempt)
        try:
            ended = await self._runtime.run(job)
        finally:
            self.running.pop(task, None)
            if task in self._blocked:
                self._queue.append(self._blocked.pop(task))
                self._more.set()
        giving_back = task in self._giving_back
        self._giving_back.discard(task)
        if (task, attempt) in self._void:
            self._void.discard((task, attempt))
            self._outbox.outputs.take(task, attempt)
            if ended.status == STUCK:
                await self._linger(task, job.kind)
            return
        fault = local_fault(ended)
        if fault or (giving_back and ended.status in {CANCELLED, STUCK}):
            self._outbox.released([(task, attempt)])
            if fault:
                await self._rest(task, fault)
            elif ended.status == STUCK:
                await self._linger(task, job.kind)
            return
        self._outbox.ended(task, attempt, ended, keep=ended.seconds >= WORTH_KEEPING * self.capacity)
        said = ended.error.message if ended.error is not None else ""
        self.history.append((task, attempt, job.kind, ended.status, ended.seconds, time(), said))
        average = self.average
        self.average = ended.seconds if average is None else average + (ended.seconds - average) / 16
        if ended.status == STUCK:
            await self._linger(task, job.kind)

    async def _rest(self, task: int, fault: str) -> None:
        """This worker is in trouble: somebody else may do better, and trying at once again would not help."""
        now = monotonic()
        if now - self._complained >= COOL_SECONDS:
            self._complained = now
            log.warning("task %d goes back, and its slot rests for %g s: %s", task, COOL_SECONDS, fault)
        self.resting += 1
        try:
            await anyio.sleep(COOL_SECONDS)
        finally:
            self.resting -= 1

    async def _linger(self, task: int, kind: str) -> None:
        """A thread that does not end keeps its slot, and is reported as such."""
        event = self._runtime.lingering(task)
        if event is None or self._free_stuck:
            return
        slot = object()
        self.stuck[slot] = (task, kind, monotonic())
        log.warning("task %d of `%s` does not stop; its slot is taken until it does", task, kind)
        try:
            await event.wait()
        finally:
            del self.stuck[slot]


def stuck_in(slots: Slots) -> list[tuple[int, str, float]]:
    """What does not end and keeps its slot: task, kind, for how many seconds; the first of many."""
    now = monotonic()
    return [(task, kind, now - since) for task, kind, since in islice(slots.stuck.values(), MAX_STUCK)]


def _remember(ended: dict[tuple[int, int], None], lease: tuple[int, int]) -> None:
    """The newest ones only."""
    ended[lease] = None
    while len(ended) > MAX_REMEMBERED:
        del ended[next(iter(ended))]


def shut(slots: Slots, *, by_operator: bool) -> bool:
    """Whether the worker's own operator wants nothing new to begin; the log says so when that changes."""
    if by_operator is not slots.closed:
        how = "paused by its own operator: nothing new begins until that is ended here"
        log.info(how if by_operator else "its own operator has ended the pause")
    slots.closed = by_operator
    return by_operator
