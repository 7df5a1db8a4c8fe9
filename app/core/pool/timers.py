"""What only the passing of time does: backoffs end, leases expire."""

from __future__ import annotations

from heapq import heappop
from typing import TYPE_CHECKING, Final

from ..commit import TALLIES
from ..lifecycle import TaskState, check
from . import overdue
from .losses import expire
from .settle import At
from .submit import enqueue

if TYPE_CHECKING:
    from .machine import Pool

LOOK: Final = 1.0
"""Seconds between looks at the clock while there are workers."""
STALL: Final = 2.5
"""Seconds without a look at the clock after which this manager, not its workers, was away."""


def forgive_stall(pool: Pool, now: float) -> None:
    """Time in which the manager did not run (blocked, stopped, suspended) does not count against leases."""
    if pool.last_now is not None and now - pool.last_now > STALL:
        away = now - pool.last_now
        for worker in pool.workers.values():
            worker.lease_until += away
            worker.fair_from = now
            worker.running = {task_id: since + away for task_id, since in worker.running.items()}
    pool.last_now = now


def on_tick(pool: Pool, now: float, wall: float) -> None:
    """End what has reached its moment."""
    while pool.due and pool.due[0][0] <= now:
        moment, task_id = heappop(pool.due)
        task = pool.tasks.get(task_id)
        if task is None or task.state is not TaskState.SCHEDULED or task.due != moment:
            continue  # it was cancelled, or its moment was moved
        task.state = check(task.state, TaskState.QUEUED)
        task.due = task.due_wall = None
        pool.totals[TaskState.SCHEDULED] -= 1
        pool.totals[TaskState.QUEUED] += 1
        enqueue(pool, task, now)
    if now - pool.looked >= LOOK:
        pool.looked = now
        overdue.look(pool, At(now, wall))
        if (tallies := pool.tallies.to_save(now, wall)) is not None:
            pool.commit.settings[TALLIES] = tallies
    for worker in [w for w in pool.workers.values() if w.lease_until <= now]:
        expire(pool, worker, At(now, wall))


def deadline(pool: Pool) -> float | None:
    """When to look at the clock again: something ends then, or a stall could not be told from silence."""
    moments = [moment for moment, _ in pool.due[:1]]
    if pool.workers:
        moments.append(min(worker.lease_until for worker in pool.workers.values()))
        if pool.last_now is not None:
            moments.append(pool.last_now + LOOK)
    return min(moments, default=None)
