"""Attempts end: recorded when they are current, counted when they come too late, refused when forged."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappush
from typing import TYPE_CHECKING, Final

from ..blob import error_blob
from ..lifecycle import TaskState, check
from ..stimuli import Broke, Finished, How, Started, Wrote
from . import conduct
from .doubts import clear, forget
from .links import cut
from .payloads import SMALL
from .state import Task, Worker
from .submit import enqueue

if TYPE_CHECKING:
    from .machine import Pool

_WORDS = {
    How.FAILED: "failed",
    How.TIMED_OUT: "timed_out",
    How.CRASHED: "crashed",
    How.CANCELLED: "cancelled",
    How.STUCK: "timed_out",
    How.RELEASED: "released",
    How.REFUSED: "failed",
}
_GOOD = TaskState.SUCCEEDED.value
ORPHANED: Final = "orphaned"
"""How an attempt ended that another task may have ended: it costs none."""
MAX_OUTPUT: Final = 1024 * 1024
"""Bytes of output that are taken of one attempt; workers send its end, once."""
FREE_RELEASES: Final = 5
"""How often a task may be given back and be handed out again at once."""
RELEASED_WAIT: Final = 1.0
"""Seconds it waits after that, each time: whoever gives everything back must not keep everybody busy."""


def on_started(pool: Pool, got: Started, now: float, wall: float) -> None:
    """Leases run now."""
    worker = pool.by_session.get(got.session)
    if worker is None:
        return
    if len(got.tasks) != len(got.attempts):
        _crime(pool, worker, "columns of unequal length")
        return
    begun: list[int] = []
    for task_id, attempt in zip(got.tasks, got.attempts, strict=True):
        task = pool.tasks.get(task_id)
        if task is None or worker.held.get(task_id) != attempt or task.state is not TaskState.LEASED:
            continue
        task.state = TaskState.RUNNING
        task.started = wall
        worker.running[task_id] = now
        begun.append(task_id)
    pool.totals[TaskState.LEASED] -= len(begun)
    pool.totals[TaskState.RUNNING] += len(begun)
    if begun:
        pool.events.append(("started", worker.id, begun, ""))


def on_wrote(pool: Pool, got: Wrote) -> None:
    """Attempts wrote something. What is no longer this worker's, or more than one can keep, is left out."""
    worker = pool.by_session.get(got.session)
    if worker is None:
        return
    for piece in got.pieces:
        task_id, attempt, _, data = piece
        taken = worker.wrote.get(task_id, 0) + len(data)
        if worker.held.get(task_id) == attempt and taken <= MAX_OUTPUT:
            worker.wrote[task_id] = taken
            pool.commit.outputs.append(piece)


def on_finished(pool: Pool, got: Finished, wall: float) -> None:
    """Attempts succeeded. The hot path: no call for a task that is as it should be."""
    worker = pool.by_session.get(got.session)
    if worker is None or _uneven(pool, worker, got):
        return
    tasks, held, totals = pool.tasks, worker.held, pool.totals
    settled, running, tells = pool.commit.settled, worker.running, pool.tells
    done: list[int] = []
    worker_id = worker.id
    options, told = None, 0
    for task_id, attempt, result, seconds in zip(
        got.tasks, got.attempts, got.results, got.seconds, strict=True
    ):
        task = tasks.get(task_id)
        if task is None or held.get(task_id) != attempt:
            if not _account_late(pool, worker, task_id, attempt, wall):
                break
            continue
        del held[task_id], tasks[task_id]
        running.pop(task_id, None)
        totals[task.state] -= 1
        settled.append((_GOOD, attempt, task.spent, worker_id, wall, seconds, result, None, task_id))
        if task.payload is not None and len(task.payload) > SMALL:
            pool.kept.gone(task.payload)
            task.payload = None
        _close_grant(pool, task)
        if task.key is not None:
            pool.batch_keys[task.key] = pool.keys.pop(task.key)
        if task.watch is not None:
            tells.setdefault(task.watch, []).append(
                (task_id, _GOOD, attempt, worker_id, result, None, seconds)
            )
        if task.options is not options:  # those of one group mostly end one after the other
            pool.tallies.succeeded(options, len(done) - told)
            options, told = task.options, len(done)
            pool.tallies.sample(options.kind, seconds, wall - task.submitted)
        done.append(task_id)
    else:
        ids, attempts = pool.acks.setdefault(got.session, ([], []))
        ids += got.tasks
        attempts += got.attempts
    pool.tallies.succeeded(options, len(done) - told)
    conduct.succeeded(pool, worker, len(done))
    totals[_GOOD] += len(done)
    _off_the_books(worker, done)
    forget(pool, done)
    if done:
        pool.changed_totals = True
        pool.events.append(("succeeded", worker_id, done, ""))


def _uneven(pool: Pool, worker: Worker, got: Finished) -> bool:
    """Whether the columns do not fit together; that is a crime."""
    if len(got.tasks) == len(got.attempts) == len(got.results) == len(got.seconds):
        return False
    _crime(pool, worker, "columns of unequal length")
    return True


def _off_the_books(worker: Worker, done: list[int]) -> None:
    """It no longer has these; a worker that has run its suspect may have others again."""
    if worker.wrote:
        for task_id in done:
            worker.wrote.pop(task_id, None)
    if worker.alone is not None and worker.alone not in worker.held:
        worker.alone = None


def on_broke(pool: Pool, got: Broke, now: float, wall: float) -> None:
    """Attempts ended in another way than success."""
    worker = pool.by_session.get(got.session)
    if worker is None:
        return
    ids, attempts = pool.acks.setdefault(got.session, ([], []))
    for task_id, attempt, how, seconds, error in got.ends:
        task = pool.tasks.get(task_id)
        if task is None or worker.held.get(task_id) != attempt:
            if not _account_late(pool, worker, task_id, attempt, wall, how):
                return
        elif how is How.SUCCEEDED:
            _crime(pool, worker, f"a success of task {task_id} among the failures")
            return
        else:
            if how not in {How.RELEASED, How.CANCELLED}:
                conduct.failed(pool, worker)
            _drop(worker, task_id)
            if how is not How.RELEASED:
                clear(pool, task)
            end_attempt(pool, task, how, At(now, wall), error=error, seconds=seconds)
        ids.append(task_id)
        attempts.append(attempt)


def _account_late(
    pool: Pool, worker: Worker, task_id: int, attempt: int, wall: float, how: How = How.SUCCEEDED
) -> bool:
    """An outcome that changes nothing: cancelled meanwhile, fenced, sent twice. False when it is forged.

    What the worker has said to have before it got anything here may be of a life of the data that was taken
    back: unwanted, and no crime.
    """
    worker.unreturned.discard((task_id, attempt))
    if worker.held.get(task_id) == attempt:  # the task was cancelled while it ran
        _drop(worker, task_id)
        return True
    task = pool.tasks.get(task_id)
    foreign = task is not None and task.attempt == attempt and task.worker not in {None, worker.id}
    future = task.attempt < attempt if task is not None else task_id in pool.backlog
    if task_id >= pool.next_id or task_id < 1 or attempt < 1 or foreign or future:
        if (task_id, attempt) in worker.unwanted or not worker.synced:
            worker.unwanted.discard((task_id, attempt))
            return True
        _crime(pool, worker, f"an outcome of task {task_id}, attempt {attempt}, which it was never leased")
        return False
    if how in {How.RELEASED, How.CANCELLED}:
        return True  # it was asked to end it, or gives back what it no longer had: nobody lost anything
    pool.late += 1
    if task is not None:
        pool.commit.attempts.append((task_id, attempt, worker.id, None, wall, "late", None))
    return True


def _crime(pool: Pool, worker: Worker, what: str) -> None:
    """A worker sent what it had no right to send: nothing changes, and it is cut off."""
    pool.refused += 1
    conduct.offence(pool, worker, f"it sent {what}")
    cut(pool, worker, "peer_error", f"worker {worker.id} sent {what}")


def _drop(worker: Worker, task_id: int) -> None:
    """The worker no longer has this lease."""
    worker.held.pop(task_id, None)
    worker.running.pop(task_id, None)
    worker.wrote.pop(task_id, None)
    if worker.alone == task_id:
        worker.alone = None


def _close_grant(pool: Pool, task: Task) -> None:
    grant = task.grant
    if grant is not None:
        task.grant = None
        grant.open -= 1
        if grant.open == 0:
            pool.commit.grants_ended.append(grant.seq)


@dataclass(frozen=True, slots=True)
class At:
    """One moment on both clocks."""

    now: float
    wall: float


def end_attempt(
    pool: Pool,
    task: Task,
    how: How,
    at: At,
    *,
    error: bytes | None = None,
    seconds: float | None = None,
    word: str | None = None,
) -> None:
    """The current attempt of an open task ended without success: try again, or settle it.

    The lease must already be off the worker's books.
    """
    word = word or _WORDS[how]
    pool.commit.attempts.append((task.id, task.attempt, task.worker, task.started, at.wall, word, error))
    _close_grant(pool, task)
    if how in {How.RELEASED, How.CANCELLED}:
        often = task.attempt - task.spent > FREE_RELEASES
        reopen(pool, task, at, delay=RELEASED_WAIT if often else 0.0, why=word)
        return
    task.spent += word != ORPHANED
    task.crashes += how is How.CRASHED
    if how is How.REFUSED or task.spent >= task.options.max_attempts or task.crashes >= pool.max_crashes:
        state = TaskState.TIMED_OUT if how in {How.TIMED_OUT, How.STUCK} else TaskState.FAILED
        error = error or error_blob(word, "the worker gave no reason")
        finish(pool, task, state, at.wall, error=error, seconds=seconds)
        return
    reopen(pool, task, at, delay=pool.backoff.delay(max(1, task.spent), pool.rng), why=word)


def finish(
    pool: Pool,
    task: Task,
    state: TaskState,
    wall: float,
    *,
    error: bytes | None,
    seconds: float | None = None,
) -> None:
    """The task has its one outcome, and it is not success."""
    pool.totals[task.state] -= 1
    task.state = check(task.state, state)
    pool.totals[state] += 1
    pool.changed_totals = True
    if state is not TaskState.CANCELLED:
        pool.tallies.of(task.options.kind).failed += 1
    row = (state.value, task.attempt, task.spent, task.worker, wall, seconds, None, error, task.id)
    pool.commit.settled.append(row)
    _close_grant(pool, task)
    if task.payload is not None:
        pool.kept.gone(task.payload)
        task.payload = None
    del pool.tasks[task.id]
    forget(pool, [task.id])
    if task.key is not None:
        pool.batch_keys[task.key] = pool.keys.pop(task.key)
    if task.watch is not None:
        told = (task.id, state.value, task.attempt, task.worker, None, error, seconds)
        pool.tells.setdefault(task.watch, []).append(told)
    pool.gathered.say(pool.events, state.word, task.worker or "", task.id)


def reopen(pool: Pool, task: Task, at: At, *, delay: float, why: str) -> None:
    """The task goes back to wait for a worker: at once, or after `delay` seconds. `why`: how it ended."""
    state = TaskState.SCHEDULED if delay > 0 else TaskState.QUEUED
    pool.totals[task.state] -= 1
    task.state = check(task.state, state)
    pool.totals[state] += 1
    task.worker = None
    task.started = None
    task.due = task.due_wall = None
    if delay > 0:
        task.due, task.due_wall = at.now + delay, at.wall + delay
        heappush(pool.due, (task.due, task.id))
    else:
        enqueue(pool, task, at.now)
    store_open(pool, task)
    pool.gathered.say(pool.events, "requeued", task.options.kind, task.id, delay, why)


def store_open(pool: Pool, task: Task) -> None:
    """Write down how an open task stands. The lease that it may have is in the lease log alone."""
    waits = task.state is TaskState.SCHEDULED
    state = TaskState.SCHEDULED if waits else TaskState.QUEUED
    attempt = task.attempt - (task.worker is not None)
    pool.commit.reopened.append((state.value, attempt, task.spent, task.crashes, task.due_wall, task.id))
