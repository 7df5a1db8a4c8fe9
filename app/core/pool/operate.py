"""What operators and clients ask for: cancel, retry, pause, resume, drain, watch."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

from ..blob import error_blob
from ..commit import OpenRow
from ..effects import Done, EndLeases, Rejected, Steer
from ..lifecycle import TaskState
from ..stimuli import Cancel, Drain, Limit, Options, Pause, Resume, Retry, SetPriority, Unwatch, Watch
from .backlog import Series
from .conduct import cap
from .settle import finish
from .state import Task
from .submit import enqueue, watch
from .workers import concerns

if TYPE_CHECKING:
    from .machine import Pool

CANCELLED = error_blob("cancelled", "it was cancelled before it ended")
PAUSE = "pause:"
"""Settings of this prefix carry pauses over a restart."""

LIMIT = "limit:"
"""Settings of this prefix carry caps over a restart."""


def on_cancel(pool: Pool, got: Cancel, wall: float) -> None:
    """Open tasks end now; a worker that runs one is told. The slot stays taken until the worker agrees."""
    ended: list[int] = []
    told: dict[int, list[tuple[int, int]]] = {}
    for task_id in got.ids:
        task = pool.tasks.get(task_id) or pool.backlog.pick(task_id)
        if task is None:
            continue
        ended.append(task_id)
        worker = pool.workers.get(task.worker) if task.worker is not None else None
        if worker is not None and worker.session is not None and task_id in worker.held:
            told.setdefault(worker.session, []).append((task_id, task.attempt))
        if task.state is TaskState.QUEUED and not task.suspect:
            _leave_lane(pool, task)
        finish(pool, task, TaskState.CANCELLED, wall, error=CANCELLED)
    pool.effects += [EndLeases(session, leases) for session, leases in told.items()]
    pool.effects.append(Done(got.reply, ended))


def _leave_lane(pool: Pool, task: Task) -> None:
    key = (task.options.kind, task.options.target)
    lane = pool.lanes[key]
    lane.gone()
    if lane.size == 0:  # with it go the entries of all that left it like this
        del pool.lanes[key]


def on_retry(pool: Pool, got: Retry, now: float) -> None:
    """Tasks that failed for good start anew under the same id; only their attempts go on counting."""
    again: list[int] = []
    for row in got.rows:
        task = task_of(row)
        if task.id in pool.tasks or row[8] not in {TaskState.FAILED, TaskState.TIMED_OUT}:
            continue
        task.state, task.due_wall, task.spent, task.crashes = TaskState.QUEUED, None, 0, 0
        pool.tasks[task.id] = task
        if task.key is not None and row[7] is not None:
            pool.keys[task.key] = (task.id, row[7])
        pool.totals[row[8]] -= 1
        pool.totals[TaskState.QUEUED] += 1
        pool.changed_totals = True
        enqueue(pool, task, now)
        pool.commit.reopened.append((TaskState.QUEUED.value, task.attempt, 0, 0, None, task.id))
        again.append(task.id)
    if again:
        pool.events.append(("retried", "", again, ""))
    pool.effects.append(Done(got.reply, again))


def task_of(row: OpenRow) -> Task:
    """A task as the store has it, in no queue yet."""
    task_id, kind, priority, max_attempts, timeout, batch, key, _, _, submitted, due, target, payload = row[
        :13
    ]
    options = Options(
        kind=kind, priority=priority, timeout=timeout, max_attempts=max_attempts, batch=batch, target=target
    )
    task = Task(task_id, options, payload, submitted)
    task.key, task.due_wall = key, due
    task.attempt, task.spent, task.crashes = row[13:]
    return task


def on_pause(pool: Pool, got: Pause) -> None:
    """Nothing new starts in the scope until it is resumed, across restarts too."""
    new = got.scope not in pool.paused
    pool.paused.add(got.scope)
    pool.commit.settings[PAUSE + got.scope] = "1"
    _steer(pool, got.scope, "pause")
    if new:
        pool.events.append(("paused", got.scope, (), ""))
    pool.effects.append(Done(got.reply))


def on_resume(pool: Pool, got: Resume) -> None:
    """The end of a pause; of other scopes' pauses none."""
    ends = got.scope in pool.paused
    pool.paused.discard(got.scope)
    pool.commit.settings[PAUSE + got.scope] = None
    _steer(pool, got.scope, "resume")
    if ends:
        pool.events.append(("resumed", got.scope, (), ""))
    pool.effects.append(Done(got.reply))


def _steer(pool: Pool, scope: str, verb: str) -> None:
    """Tell the workers of a scope, so that leases that wait on them do not start."""
    for worker in pool.workers.values():
        if worker.session is not None and concerns(scope, worker):
            pool.effects.append(Steer(worker.session, verb, scope))


def on_drain(pool: Pool, got: Drain) -> None:
    """Nothing new for this worker; it is told to finish and leave."""
    worker = pool.workers.get(got.worker)
    if worker is None or worker.session is None:
        pool.effects.append(Rejected(got.reply, "not_found", f"worker {got.worker} is not connected"))
        return
    worker.draining, worker.drain_seconds = True, got.deadline
    pool.effects.append(Steer(worker.session, "drain", deadline=got.deadline))
    pool.events.append(("draining", worker.id, (), f"{got.deadline:.0f}"))
    pool.effects.append(Done(got.reply))


def on_set_priority(pool: Pool, got: SetPriority, now: float) -> None:
    """What a worker has is left as it is: it has had its turn. Answers with those that were changed."""
    done: list[int] = []
    shared: dict[Options, Options] = {}
    for task_id in got.ids:
        task = pool.tasks.get(task_id)
        if task is None or task.state not in {TaskState.QUEUED, TaskState.SCHEDULED}:
            continue
        before = task.options
        if before.priority == got.priority:
            done.append(task_id)
            continue
        waits = task.state is TaskState.QUEUED and not task.suspect
        if waits:
            pool.lanes[before.kind, before.target].moves(task_id, before.priority)
        task.options = shared.setdefault(before, replace(before, priority=got.priority))
        if waits:
            enqueue(pool, task, now)
        done.append(task_id)
    if pool.backlog.size:
        done += _reprice_backlog(pool, got, now)
    if done:
        pool.commit.repriced.append((got.priority, done))
        pool.events.append(("priority", str(got.priority), done, ""))
    pool.effects.append(Done(got.reply, done))


def _reprice_backlog(pool: Pool, got: SetPriority, now: float) -> list[int]:
    """Those of the tasks that are in the backlog go on waiting there."""
    done: list[int] = []
    moving: dict[tuple[Options, int | None], tuple[float, list[int]]] = {}
    for task_id in got.ids:
        series = pool.backlog.find(task_id)
        if series is None:
            continue
        done.append(task_id)
        if series.options.priority != got.priority:
            pool.backlog.leave(series, task_id)
            alike = (series.options, series.watch)
            moving.setdefault(alike, (series.submitted, []))[1].append(task_id)
    for (before, watcher), (submitted, ids) in moving.items():
        lane = pool.lanes[before.kind, before.target]
        lane.gone(len(ids))
        options = replace(before, priority=got.priority)
        lane.add(Series(array("Q", sorted(ids)), options, submitted, watcher), now)
    return done


def on_limit(pool: Pool, got: Limit) -> None:
    """A cap holds until it is taken back, across restarts too; leases above it end in their own time."""
    if got.most is None:
        pool.caps.pop(got.worker, None)
    else:
        pool.caps[got.worker] = got.most
    pool.commit.settings[LIMIT + got.worker] = None if got.most is None else str(got.most)
    worker = pool.workers.get(got.worker)
    if worker is not None:
        cap(pool, worker)
    pool.events.append(("limited", got.worker, (), "" if got.most is None else str(got.most)))
    pool.effects.append(Done(got.reply))


def on_watch(pool: Pool, got: Watch) -> None:
    """Tell this watcher how open tasks end. Answers with those that are open."""
    found = [task_id for task_id in got.ids if watch(pool, task_id, got.watch)]
    pool.effects.append(Done(got.reply, found))


def on_unwatch(pool: Pool, got: Unwatch) -> None:
    """The watcher is gone. Its tasks keep the number, unheard."""
    pool.watches.discard(got.watch)
