"""Takes over what a store held when the manager starts."""

from __future__ import annotations

import json
from collections import deque
from heapq import heapify
from typing import TYPE_CHECKING

from ..commit import TALLIES, OpenRow, Recovered, WaitingRow, unpack_leases
from ..lifecycle import TaskState
from ..stimuli import Options
from . import doubts
from .backlog import Series
from .links import SLOTS, recover_worker
from .operate import LIMIT, PAUSE
from .state import Grant, Task, Worker
from .submit import TOTALS, enqueue, lane_of

if TYPE_CHECKING:
    from .machine import Pool


def recover(pool: Pool, found: Recovered, now: float, wall: float) -> None:
    """Tasks go back to their queues, or to the workers that have them. Takes the tasks out of `found`."""
    assert not pool.tasks, "a pool recovers before anything else happens"
    pool.next_id, pool.next_grant = found.next_task_id, found.next_grant
    pool.paused = {name.removeprefix(PAUSE) for name in found.settings if name.startswith(PAUSE)}
    pool.caps = {
        name.removeprefix(LIMIT): int(value)
        for name, value in found.settings.items()
        if name.startswith(LIMIT)
    }
    pool.tallies.recover(found.settings.get(TALLIES, "{}"), found.ended)
    shared: dict[tuple[object, ...], Options] = {}
    _load_tasks(pool, found.tasks, shared, now, wall)
    _load_waiting(pool, found.waiting, shared, now)
    _load_grants(pool, found, now)
    doubts.recover(pool, found.settings)
    pool.totals[TaskState.QUEUED] += pool.backlog.size
    for task in pool.tasks.values():
        pool.totals[task.state] += 1
        if task.state is TaskState.QUEUED:
            enqueue(pool, task, now)
    for name in found.settings:
        if name.startswith(SLOTS) and name.removeprefix(SLOTS) not in pool.workers:
            pool.commit.settings[name] = None
    saved = json.loads(found.settings.get(TOTALS, "{}"))
    for state, count in saved.get("final", {}).items():
        pool.totals[int(state)] += count
    pool.accepted = sum(pool.totals.values())
    pool.last_now = now


def _load_tasks(
    pool: Pool, rows: list[OpenRow], shared: dict[tuple[object, ...], Options], now: float, wall: float
) -> None:
    """As they were stored. Options are shared again between tasks that have the same.

    Takes the rows away: many of them in memory beside the tasks would take twice the room.
    """
    left = deque(rows)
    rows.clear()
    tasks, keys = pool.tasks, pool.keys
    while left:
        (
            task_id, kind, priority, max_attempts, timeout, batch, key, digest, state, submitted, due, target,
            payload, attempt, spent, crashes,
        ) = left.popleft()  # fmt: skip
        same = (kind, priority, max_attempts, timeout, batch, target)
        options = shared.get(same) or _options(same, shared)
        task = tasks[task_id] = Task(task_id, options, payload, submitted)
        task.attempt, task.spent, task.crashes = attempt, spent, crashes
        if key is not None and digest is not None:
            task.key = key
            keys[key] = (task_id, digest)
        if state == TaskState.SCHEDULED:
            task.state = TaskState.SCHEDULED
            # The wall clock may have jumped while we were away: a wait never grows by it.
            longest = pool.backoff.longest if attempt else (due or submitted) - submitted
            wait = max(0.0, min((due or wall) - wall, longest))
            task.due, task.due_wall = now + wait, due
            pool.due.append((task.due, task_id))
    heapify(pool.due)


def _options(
    same: tuple[str, int, int, float | None, str | None, str | None],
    shared: dict[tuple[object, ...], Options],
) -> Options:
    kind, priority, max_attempts, timeout, batch, target = same
    options = shared[same] = Options(
        kind=kind, priority=priority, max_attempts=max_attempts, timeout=timeout, batch=batch, target=target
    )
    return options


def _load_waiting(
    pool: Pool, rows: list[WaitingRow], shared: dict[tuple[object, ...], Options], now: float
) -> None:
    """Into the backlog."""
    for ids, kind, priority, max_attempts, timeout, batch, target, submitted in rows:
        same = (kind, priority, max_attempts, timeout, batch, target)
        options = shared.get(same) or _options(same, shared)
        lane_of(pool, options).add(Series(ids, options, submitted), now)


def _load_grants(pool: Pool, found: Recovered, now: float) -> None:
    """Leases whose end was not stored hold for one full period from now."""
    grants: list[Grant] = []
    for seq, worker_id, packed in found.grants:
        grant = Grant(seq, 0, now)
        for task_id, attempt in unpack_leases(packed):
            task = pool.tasks.get(task_id) or _pick(pool, task_id)
            if task is None or task.attempt >= attempt:
                continue
            worker = pool.workers.get(worker_id)
            if worker is None:
                worker = pool.workers[worker_id] = Worker(worker_id, pool.tallies.worker(worker_id))
                worker.lease_until = now + pool.lease_ttl
                recover_worker(worker, found.settings)
            _forget_older(pool, task)
            task.state, task.attempt = TaskState.LEASED, attempt
            task.worker, task.grant = worker_id, grant
            worker.held[task_id] = attempt
            grant.open += 1
        grants.append(grant)
    pool.commit.grants_ended += [grant.seq for grant in grants if grant.open == 0]


def _pick(pool: Pool, task_id: int) -> Task | None:
    """A task that a worker has is not in the backlog."""
    task = pool.backlog.pick(task_id)
    if task is not None:
        lane = pool.lanes[task.options.kind, task.options.target]
        lane.gone()
        if lane.size == 0:
            del pool.lanes[task.options.kind, task.options.target]
    return task


def _forget_older(pool: Pool, task: Task) -> None:
    """Of two grants of one task the later one holds."""
    if task.worker is not None:
        pool.workers[task.worker].held.pop(task.id, None)
        if task.grant is not None:
            task.grant.open -= 1
