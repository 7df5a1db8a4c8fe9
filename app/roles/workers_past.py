"""The last minutes of each worker, whether somebody looks or not: its load, its work, what happened to it.

So a console that is opened after something went wrong still shows how it came. Takes little: two dozen bytes
for a worker and a step. Tells nobody by itself.
"""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, Final

from ..core.effects import Event
from ..core.journal import Journal
from ..core.pool import Pool, Worker
from ..handle import EventRow, WorkerPast
from .happenings import told

STEP: Final = 2.5
"""Seconds."""
STEPS: Final = 120
MOST: Final = 5_000
"""Workers that are followed."""
EVENTS: Final = 20
"""Newest events of one worker that are kept."""
READ: Final = 10_000
"""Events of the pool that are read at a time."""
UNKNOWN: Final = -1.0
_OF_WORKERS: Final = frozenset(
    {"joined", "disconnected", "lost", "left", "revoked", "draining", "quarantined", "readmitted"}
)
_COLUMNS: Final = 4
Load = Callable[[str], Mapping[str, float]]
"""What a worker told last of its machine."""


class _Ring:
    """Some columns of the newest steps; what was not written in a step is not known."""

    __slots__ = ("_columns", "_steps", "ended", "newest")

    def __init__(self) -> None:
        self._columns = [array("f", [UNKNOWN]) * STEPS for _ in range(_COLUMNS)]
        self._steps = array("q", [-1]) * STEPS
        self.newest = -1
        self.ended: int | None = None
        """Attempts that had ended at the newest step."""

    def put(self, step: int, values: tuple[float, ...]) -> None:
        place = step % STEPS
        self._steps[place] = self.newest = step
        for column, value in zip(self._columns, values, strict=True):
            column[place] = value

    def columns(self, newest: int) -> Iterator[tuple[float, ...]]:
        """Those that end in this step."""
        steps = range(max(0, newest - STEPS + 1), newest + 1)
        for column in self._columns:
            yield tuple(
                round(column[step % STEPS], 3) if self._steps[step % STEPS] == step else UNKNOWN
                for step in steps
            )


class WorkersPast:
    """All workers of one manager."""

    def __init__(self) -> None:
        self._rings: dict[str, _Ring] = {}
        self._events: OrderedDict[str, deque[EventRow]] = OrderedDict()
        self._numbers = count(-1, -1)
        self._step = -1
        self._due = -math.inf
        self._cursor = 0

    def is_due(self, now: float) -> bool:
        """Whether a step has passed; then `take`. `now`: monotonic."""
        if now < self._due:
            return False
        self._due = now + STEP
        return True

    def take(self, pool: Pool, load: Load) -> None:
        """Note how all that are here are now; forget those that have not been for long."""
        self._step += 1
        for worker in pool.workers.values():
            ring = self._rings.get(worker.id)
            if ring is None:
                if len(self._rings) >= MOST:
                    continue
                ring = self._rings[worker.id] = _Ring()
            ring.put(self._step, _values(worker, ring, load(worker.id)))
            ring.ended = worker.share.done + worker.share.failed
        if self._step % STEPS == 0:
            for name in [n for n, ring in self._rings.items() if ring.newest <= self._step - STEPS]:
                del self._rings[name]

    def catch_up(self, journal: Journal[tuple[float, Event]]) -> None:
        """Read what has happened since the last time, and keep what is about workers."""
        page = journal.since(self._cursor, READ)
        self._cursor = page.cursor
        for at, event in page.events:
            what, who, _, why = event
            steered = what in {"paused", "resumed"} and who.startswith("worker:")
            if what in _OF_WORKERS or steered:
                self._keep(at, (what, who.removeprefix("worker:"), (), why))

    def _keep(self, at: float, event: Event) -> None:
        _, level, what, who, text = told(at, event)
        events = self._events.get(who)
        if events is None:
            events = self._events[who] = deque(maxlen=EVENTS)
            if len(self._events) > MOST:
                self._events.popitem(last=False)
        self._events.move_to_end(who)
        events.append(EventRow(next(self._numbers), at, level, what, who, text))

    def of(self, worker_id: str) -> WorkerPast:
        """What is known of one."""
        ring, events = self._rings.get(worker_id), tuple(self._events.get(worker_id, ()))
        if ring is None:
            return WorkerPast(STEP, events=events)
        cpu, memory, busy, ended = ring.columns(self._step)
        return WorkerPast(STEP, cpu=cpu, memory=memory, busy=busy, ended=ended, events=events)


def _values(worker: Worker, ring: _Ring, load: Mapping[str, Any]) -> tuple[float, ...]:
    ended = worker.share.done + worker.share.failed
    rate = UNKNOWN if ring.ended is None else max(ended - ring.ended, 0) / STEP
    busy = min(len(worker.running) / worker.capacity, 1.0) if worker.capacity else UNKNOWN
    return _part(load, "cpu"), _part(load, "memory"), busy, rate


def _part(load: Mapping[str, Any], name: str) -> float:
    """A worker says so itself: anything may stand there."""
    value = load.get(name, UNKNOWN)
    return min(float(value), 1.0) if value >= 0 else UNKNOWN
