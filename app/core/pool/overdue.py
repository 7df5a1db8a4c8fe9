"""What workers keep for too long ends, whatever they say: the manager enforces time. Looks once a second.

Honest workers end what has run out of time themselves, and give back what waits behind long tasks; this is
for those that cannot, or do not want to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..blob import error_blob
from ..effects import EndLeases
from ..stimuli import How
from . import conduct
from .losses import strike
from .settle import At, end_attempt

if TYPE_CHECKING:
    from .machine import Pool
    from .state import Task, Worker

OVERDUE = error_blob("timed_out", "its time was up, and the worker did not end it: the manager did")
TAKE_OVER: Final = 5.0
"""Seconds that a lease may wait with one worker while another one is idle."""
LONGER: Final = 6
"""With each time that a task was given back it may wait twice as long, so often: it may be long under way."""
EXTENSION: Final = 4
"""So many graces at most, for a worker that had no link when time was up."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is too long. Both in seconds."""

    start_within: float = 30.0
    """From lease to beginning."""
    grace: float = 15.0
    """Beyond the timeout of a task."""


def look(pool: Pool, at: At) -> None:
    """End what is overdue, take back what waits for nothing, and give it to whoever is idle."""
    for worker in list(pool.workers.values()):
        if worker.session is not None and worker.held:
            _end_overdue(pool, worker, at)
            _take_back(pool, worker, at)
        conduct.look(pool, worker, at.now)
    _take_over(pool, at)


def _end_overdue(pool: Pool, worker: Worker, at: At) -> None:
    grace = pool.patience.grace
    over: list[int] = []
    for task_id, since in worker.running.items():
        task = pool.tasks.get(task_id)
        if task is None or task.options.timeout is None:
            continue
        due = since + task.options.timeout
        if at.now >= due + grace and at.now >= min(worker.fair_from, due + (EXTENSION - 1) * grace) + grace:
            over.append(task_id)
    if over:
        _end(pool, worker, over, How.TIMED_OUT, at)
        conduct.offence(pool, worker, "it did not end what had run out of time")


def _take_back(pool: Pool, worker: Worker, at: At) -> None:
    """What has not begun; at once from who is in quarantine."""
    barred = worker.share.barred_until is not None
    patience = 0.0 if barred else pool.patience.start_within
    late = [task.id for task in _waiting(pool, worker, at.now, patience)]
    if not late:
        return
    small = any(pool.tasks[task_id].payload is not None for task_id in late)
    _end(pool, worker, late, How.RELEASED, at)
    if small and not barred:
        conduct.offence(pool, worker, "it did not begin what it was given")
    else:  # a large payload may have been on its way all the time
        conduct.slow(pool, worker)


def _waiting(pool: Pool, worker: Worker, now: float, patience: float) -> Iterator[Task]:
    """Leases that have not begun within that time, twice as much for each time that it was tried before."""
    for task_id in worker.held:
        task = pool.tasks.get(task_id)
        if task_id in worker.running or task is None or task.grant is None:
            continue
        waited = now - max(task.grant.at, worker.fair_from)
        if waited < patience:
            return  # those that follow came later
        if waited >= patience * 2.0 ** min(task.attempt - task.spent - 1, LONGER):
            yield task


def _take_over(pool: Pool, at: At) -> None:
    """Whoever is idle gets what waits elsewhere, as much as it has room for."""
    idle = [worker for worker in pool.workers.values() if _is_idle(pool, worker)]
    room = sum(worker.credit for worker in idle)
    if not room:
        return
    kinds = frozenset[str]().union(*(worker.kinds for worker in idle))
    kinds = frozenset(kind for kind in kinds if f"kind:{kind}" not in pool.paused)
    for worker in list(pool.workers.values()):
        if room <= 0:
            return
        if worker.session is None or len(worker.held) == len(worker.running):
            continue
        taken = [
            task.id
            for task in _waiting(pool, worker, at.now, TAKE_OVER)
            if task.options.target is None and task.options.kind in kinds and not task.suspect
        ][:room]
        if taken:
            room -= len(taken)
            _end(pool, worker, taken, How.RELEASED, at)
            conduct.slow(pool, worker)


def _is_idle(pool: Pool, worker: Worker) -> bool:
    paused = pool.paused & {"all", f"worker:{worker.id}"}
    return bool(worker.credit) and not (worker.taken or paused)


def _end(pool: Pool, worker: Worker, ids: list[int], how: How, at: At) -> None:
    """These leases are the worker's no longer. Until it says so too, they take room there."""
    leases = [(task_id, worker.held[task_id]) for task_id in ids]
    strike(worker, ids)
    worker.unreturned.update(leases)
    if worker.session is not None:
        pool.effects.append(EndLeases(worker.session, leases))
    for task_id in ids:
        error = OVERDUE if how is How.TIMED_OUT else None
        end_attempt(pool, pool.tasks[task_id], how, at, error=error)
