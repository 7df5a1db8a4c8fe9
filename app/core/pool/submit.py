"""New tasks come in, and what a batch has gathered goes out."""

from __future__ import annotations

import json
from heapq import heappush
from typing import TYPE_CHECKING

from ..effects import Accepted, Ack, Rejected, Tell
from ..lifecycle import TaskState
from ..stimuli import Submit
from .lanes import Lane
from .payloads import SMALL
from .state import Task

if TYPE_CHECKING:
    from .machine import Pool

TOTALS = "totals"
"""The setting that carries lifetime totals of final states over a restart."""


def on_submit(pool: Pool, got: Submit, now: float, wall: float) -> None:
    """All of the group is accepted, or none of it."""
    if len(pool.tasks) + len(got.payloads) > pool.max_pending:
        message = f"{len(pool.tasks)} tasks are pending and {pool.max_pending} is the bound; try again later"
        pool.effects.append(Rejected(got.reply, "overloaded", message))
        return
    if got.watch is not None:
        pool.watches.add(got.watch)
    if got.keys is None:
        ids = _accept(pool, got, range(len(got.payloads)), now, wall)
        pool.effects.append(Accepted(got.reply, ids, 0))
        return
    _submit_keyed(pool, got, now, wall)


def _submit_keyed(pool: Pool, got: Submit, now: float, wall: float) -> None:
    assert got.keys is not None
    assert got.digests is not None
    ids: list[int] = []
    fresh: dict[str, tuple[int, bytes]] = {}
    new: list[int] = []
    for place, (key, digest) in enumerate(zip(got.keys, got.digests, strict=True)):
        known = pool.keys.get(key) or pool.ended_keys.get(key) or got.known.get(key) or fresh.get(key)
        if known is None:
            known = fresh[key] = (pool.next_id + len(new), digest)
            new.append(place)
        elif known[1] != digest:
            message = f"key `{key}` belongs to task {known[0]}, which has another kind, payload or options"
            pool.effects.append(Rejected(got.reply, "conflict", message))
            return
        ids.append(known[0])
    _accept(pool, got, new, now, wall)
    pool.keys.update(fresh)
    if got.watch is not None:
        for task_id in ids:
            if task_id in pool.tasks:
                watch(pool, pool.tasks[task_id], got.watch)
    pool.effects.append(Accepted(got.reply, ids, len(ids) - len(new)))


def _accept(pool: Pool, got: Submit, places: range | list[int], now: float, wall: float) -> list[int]:
    """Make tasks of the payloads at `places`."""
    options, watcher, payloads = got.options, got.watch, got.payloads
    due_wall = wall + got.delay if got.delay > 0 else None
    state = TaskState.QUEUED if due_wall is None else TaskState.SCHEDULED
    code = state.value
    first = pool.next_id
    pool.next_id += len(places)
    ids = list(range(first, pool.next_id))
    rows, tasks = pool.commit.submitted, pool.tasks
    kind, priority, attempts = options.kind, options.priority, options.max_attempts
    timeout, batch, target = options.timeout, options.batch, options.target
    for task_id, place in zip(ids, places, strict=True):
        payload = payloads[place]
        task = tasks[task_id] = Task(task_id, options, payload, wall)
        key = digest = None
        if got.keys is not None and got.digests is not None:
            key, digest = task.key, _ = got.keys[place], got.digests[place]
        task.watch = watcher
        rows.append((
            task_id, kind, priority, attempts, timeout, batch, key, digest, code, wall, due_wall, target,
            payload,
        ))  # fmt: skip
        if due_wall is not None:
            task.state, task.due, task.due_wall = state, now + got.delay, due_wall
            heappush(pool.due, (task.due, task_id))
        else:
            enqueue(pool, task, now)
    if payloads and max(map(len, payloads)) > SMALL:
        for task_id, place in zip(ids, places, strict=True):
            if len(payloads[place]) > SMALL:
                pool.kept.add(tasks[task_id])
    pool.accepted += len(ids)
    pool.totals[code] += len(ids)
    pool.changed_totals = True
    if ids:
        pool.events.append(("submitted", kind, ids, ""))
    return ids


def enqueue(pool: Pool, task: Task, now: float) -> None:
    """Put a task whose state is `queued` where it will be found."""
    if task.suspect:
        heappush(pool.suspects, task.id)
        return
    options = task.options
    key = (options.kind, options.target)
    lane = pool.lanes.get(key)
    if lane is None:
        lane = pool.lanes[key] = Lane()
    lane.push(task.id, options.priority, now)


def watch(pool: Pool, task: Task, watcher: int) -> None:
    """Tell one more of the end of this task."""
    before = task.watch if isinstance(task.watch, tuple) else (task.watch,)
    others = [w for w in before if w is not None and w != watcher and w in pool.watches]
    task.watch = (*others, watcher) if others else watcher
    pool.watches.add(watcher)


def flush(pool: Pool) -> None:
    """Turn what the batch gathered for each session into one effect each."""
    pool.effects += [
        Ack(session, tasks, attempts) for session, (tasks, attempts) in pool.acks.items() if tasks
    ]
    for watchers, outcomes in pool.tells.items():
        for one in (watchers,) if isinstance(watchers, int) else watchers:
            if one in pool.watches:
                pool.effects.append(Tell(one, outcomes))
    pool.acks, pool.tells, pool.ended_keys = {}, {}, {}
    if pool.changed_totals:
        pool.changed_totals = False
        final = {str(state): count for state, count in pool.totals.items() if TaskState(state).final}
        pool.commit.settings[TOTALS] = json.dumps({"accepted": pool.accepted, "final": final})
