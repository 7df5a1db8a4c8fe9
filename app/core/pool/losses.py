"""Leases end because their worker did, or seems to have: who is to blame, and who only stood beside it."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..blob import error_blob
from ..lifecycle import TaskState
from ..stimuli import How, WorkerJoined
from . import doubts
from .doubts import Death, Loss
from .links import cut, forget_worker
from .settle import ORPHANED, At, end_attempt, store_open
from .state import Task, Worker
from .submit import enqueue

if TYPE_CHECKING:
    from .machine import Pool

LOST_RESTARTED = error_blob("lost", "the worker's process ended and was started again")
LOST_SILENT = error_blob("lost", "the worker gave no sign of life while its lease lasted")
MAX_LOSSES: Final = 1_000
"""Silent workers of whom it is remembered what their silence was held against, in case they are back."""
UNTOLD: Final = 64
"""Short tasks that may have ended on a worker before it told of the first of them, or nearly all that may."""
SPARED: Final = 1
"""So often a task in a process of its own may see its worker die beside others before it, too, runs alone."""


def lose(
    pool: Pool,
    worker: Worker,
    ids: Iterable[int],
    at: At,
    *,
    died: bool,
    error: bytes = LOST_RESTARTED,
    untold: int = 0,
) -> list[tuple[int, int]]:
    """These leases are void: their tasks go back, or fail when that was their last attempt.

    `died`: the process is gone, as far as one can know, so whatever may have run in it is under suspicion.
    `untold`: so many of those that it got first may be over without our knowing, and as many more begun.
    Returns the leases whose tasks are.
    """
    gone = list(ids)
    ran = may_have_run(worker, gone) if died else set[int]()
    if died and untold:
        ran.update(i for i in gone[: worker.capacity + untold] if not _is_isolated(pool, worker, i))
    leases = [(task_id, worker.held[task_id]) for task_id in gone if task_id in ran]
    strike(worker, gone)
    # A cancelled task was company too: its neighbour did not run alone.
    accused = {i for i in ran if not _is_isolated(pool, worker, i)}
    for task_id in gone:
        task = pool.tasks.get(task_id)
        if task is None:
            continue  # cancelled meanwhile; the slot is free now, and that is all
        if task_id not in ran:
            end_attempt(pool, task, How.RELEASED, at)
        elif task_id in accused or (task.suspect and len(ran) == 1):
            _accuse(pool, task, worker, at, error, alone=accused in ({task_id}, set()))
        elif len(ran) > 1:
            _spare(pool, task, at, error)
        else:
            end_attempt(pool, task, How.FAILED, at, error=error, word="lost")
    return [lease for lease in leases if (t := pool.tasks.get(lease[0])) is not None and t.suspect]


def _is_isolated(pool: Pool, worker: Worker, task_id: int) -> bool:
    task = pool.tasks.get(task_id)
    return task is not None and task.options.kind in worker.isolated


def _accuse(pool: Pool, task: Task, worker: Worker, at: At, error: bytes, *, alone: bool) -> None:
    death = Death(worker.id, at.wall, task.attempt, alone, counted=alone)
    if alone:
        doubts.convict(pool, task, death)
        blob = doubts.evidence(pool, task)
        end_attempt(pool, task, How.CRASHED, at, error=blob, word="crashed")
    else:
        doubts.suspect(pool, task, death)
        _orphan(pool, task, at, error)


def _spare(pool: Pool, task: Task, at: At, error: bytes) -> None:
    """In a process of its own it hardly killed anybody; but who is beside it once too often runs alone."""
    doubt = doubts.doubt_of(pool, task)
    if doubt.free >= SPARED:
        task.suspect = True
    _orphan(pool, task, at, error)


def _orphan(pool: Pool, task: Task, at: At, error: bytes) -> None:
    """Another one may have caused it: that costs no attempt, as long as there is an end to it."""
    free = doubts.spare(pool, task)
    end_attempt(pool, task, How.FAILED, at, error=error, word=ORPHANED if free else "lost")


def may_have_run(worker: Worker, ids: list[int]) -> set[int]:
    """Of these leases, oldest first, those that were begun, or may have been without our knowing.

    A worker begins leases in the order it got them, and never more than it has slots; word of a beginning may
    have been on its way. Where the slots are not known, any lease may have been begun.
    """
    begun = worker.running.keys() & set(ids)
    free = worker.capacity - len(begun) if worker.capacity else len(ids)
    return begun | set(islice((i for i in ids if i not in begun), max(0, free)))


def strike(worker: Worker, ids: Iterable[int]) -> None:
    """Off the worker's books."""
    for task_id in ids:
        del worker.held[task_id]
        worker.running.pop(task_id, None)
        worker.wrote.pop(task_id, None)
        if worker.alone == task_id:
            worker.alone = None


def expire(pool: Pool, worker: Worker, at: At) -> None:
    """The leases of a silent worker end. It is taken for dead, unless it was told to leave."""
    held = list(worker.held)
    # A worker that fetches ahead runs short tasks and tells of several ends at once. What it kept is gone.
    untold = UNTOLD if worker.limit > worker.capacity else 0
    accused = lose(pool, worker, held, at, died=not worker.draining, error=LOST_SILENT, untold=untold)
    if accused:
        doubts.may_return(pool, worker.instance, accused)
        pool.blame.losses.pop(worker.id, None)
        pool.blame.losses[worker.id] = Loss(worker.instance, accused)
        while len(pool.blame.losses) > MAX_LOSSES:
            del pool.blame.losses[next(iter(pool.blame.losses))]
    if held:
        pool.events.append(("lost", worker.id, held, "lease expired"))
    if worker.session is None:
        forget_worker(pool, worker)
    else:  # connected and mute: it has to come back before it gets anything
        cut(pool, worker, "silent", f"worker {worker.id} gave no sign of life while its lease lasted")


def withdraw(pool: Pool, got: WorkerJoined, now: float) -> None:
    """A worker that was taken for dead is back. If it is the same process, nobody killed it."""
    loss = pool.blame.losses.pop(got.worker, None)
    if loss is None or (loss.instance != got.instance if loss.instance is not None else got.fresh):
        return
    cleared: list[Task] = []
    for task_id, attempt in loss.leases:
        task = pool.tasks.get(task_id)
        if task is None or not doubts.excuse(pool, task, got.worker, attempt):
            continue
        store_open(pool, task)
        if not task.suspect:
            cleared.append(task)
    if cleared:
        _let_go(pool, cleared, now)
        pool.events.append(("cleared", got.worker, [task.id for task in cleared], ""))


def _let_go(pool: Pool, cleared: list[Task], now: float) -> None:
    """They need not run alone."""
    ids = {task.id for task in cleared}
    pool.suspects = [task_id for task_id in pool.suspects if task_id not in ids]
    heapify(pool.suspects)
    for task in cleared:
        if task.state is TaskState.QUEUED:
            enqueue(pool, task, now)
        elif task.worker is not None and (worker := pool.workers[task.worker]).alone == task.id:
            worker.alone = None
