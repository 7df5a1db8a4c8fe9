"""A pool that agrees with rows of a store, and of whose waiting tasks workers hold some."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Pool, Task, Worker
from taskmessenger.core.stimuli import Options
from taskmessenger.handle import TaskRow


def a_pool(rows: Sequence[TaskRow], rng: Random) -> Pool:
    """Every third open task is leased or runs, on one of three workers."""
    pool = Pool()
    pool.workers = {name: Worker(name) for name in ("w1", "w2", "w3")}
    for row in rows:
        state = TaskState(row.state)
        pool.totals[state] += 1
        if state.final:
            continue
        options = Options(kind=row.kind, priority=row.priority, batch=row.batch, target=row.target)
        task = pool.tasks[row.id] = Task(row.id, options, b"", row.submitted_at)
        task.state, task.attempt, task.key = state, row.attempt, row.key
        if rng.random() < 0.3:
            worker = pool.workers[rng.choice(list(pool.workers))]
            task.attempt, task.worker = row.attempt + 1, worker.id
            worker.held[task.id] = task.attempt
            pool.totals[task.state] -= 1
            task.state = rng.choice((TaskState.LEASED, TaskState.RUNNING))
            pool.totals[task.state] += 1
            if task.state is TaskState.RUNNING:
                task.started = row.submitted_at + rng.random()
    return pool
