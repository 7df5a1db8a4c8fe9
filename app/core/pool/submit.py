"""New tasks come in, and what a batch has gathered goes out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from heapq import heappush
from itertools import repeat
from typing import TYPE_CHECKING, Final

from ..effects import Accepted, Ack, Rejected, Tell
from ..keys import difference
from ..lifecycle import TaskState
from ..stimuli import Options, Submit
from ..text import count
from .backlog import Series
from .lanes import Lane
from .payloads import SMALL
from .state import Task

if TYPE_CHECKING:
    from .machine import Pool

_QUEUED: Final = TaskState.QUEUED.value
_SCHEDULED: Final = TaskState.SCHEDULED.value
_NONE: Final = repeat(None)

MAX_LANES: Final = 10_000
"""Kinds, and workers that tasks are for, that may have something waiting at a time."""
TOTALS = "totals"
"""The setting that carries lifetime totals of final states over a restart."""


def on_submit(pool: Pool, got: Submit, now: float, wall: float) -> None:
    """All of the group is accepted, or none of it."""
    if pool.pending + len(got.payloads) > pool.max_pending:
        many = count(pool.pending, "task is", "tasks are")
        message = f"{many} pending, and {pool.max_pending:,} is the bound; try again later"
        pool.effects.append(Rejected(got.reply, "overloaded", message))
        return
    if len(pool.lanes) >= MAX_LANES and (got.options.kind, got.options.target) not in pool.lanes:
        message = f"tasks of {MAX_LANES:,} kinds or for as many workers wait already; try again later"
        pool.effects.append(Rejected(got.reply, "overloaded", message))
        return
    if got.watch is not None:
        pool.watches.add(got.watch)
    if got.keys is None:
        ids = _accept(pool, got, None, now, wall)
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
        known = pool.keys.get(key) or pool.batch_keys.get(key) or got.known.get(key) or fresh.get(key)
        if known is None:
            known = fresh[key] = (pool.next_id + len(new), digest)
            new.append(place)
        elif known[1] != digest:
            message = f"key `{key}` belongs to task {known[0]}, which has {difference(known[1], digest)}"
            pool.effects.append(Rejected(got.reply, "conflict", message))
            return
        ids.append(known[0])
    new_from = pool.next_id
    made = _accept(pool, got, new, now, wall)
    if made and made[0] in pool.tasks:
        pool.keys.update(fresh)
        for key, (task_id, _) in fresh.items():
            pool.tasks[task_id].key = key
    else:
        pool.batch_keys.update(fresh)
    if got.watch is not None:
        for task_id in ids:
            if task_id < new_from:
                watch(pool, task_id, got.watch)
    pool.effects.append(Accepted(got.reply, ids, len(ids) - len(new)))


def _accept(pool: Pool, got: Submit, places: Sequence[int] | None, now: float, wall: float) -> list[int]:
    """Make tasks of the payloads at `places`, or of all."""
    payloads, keys, digests = got.payloads, got.keys, got.digests
    if places is not None and keys is not None and digests is not None:
        payloads = [payloads[place] for place in places]
        keys, digests = [keys[place] for place in places], [digests[place] for place in places]
    first = pool.next_id
    pool.next_id = end = first + len(payloads)
    ids = list(range(first, end))
    if not ids:
        return ids
    options = got.options
    code, due_wall = (_QUEUED, None) if got.delay <= 0 else (_SCHEDULED, wall + got.delay)
    kind, priority, attempts = options.kind, options.priority, options.max_attempts
    timeout, batch, target = options.timeout, options.batch, options.target
    pool.commit.submitted += [
        (
            task_id,
            kind,
            priority,
            attempts,
            timeout,
            batch,
            key,
            digest,
            code,
            wall,
            due_wall,
            target,
            payload,
        )
        for task_id, payload, key, digest in zip(ids, payloads, keys or _NONE, digests or _NONE, strict=False)
    ]
    if due_wall is not None:
        _make(pool, got, ids, payloads, wall)
        _schedule(pool, ids, now + got.delay, due_wall)
    else:
        lane = pool.lanes.get((kind, target)) or lane_of(pool, options)
        depth = pool.depth
        if len(pool.tasks) + len(ids) > depth.in_full and lane.is_deep(priority, len(ids), depth.shallow):
            lane.append(Series(range(first, end), options, wall, got.watch), now)
        else:
            _make(pool, got, ids, payloads, wall)
            lane.extend(ids, priority, now)
    pool.accepted += len(ids)
    pool.totals[code] += len(ids)
    pool.changed_totals = True
    pool.events.append(("submitted", kind, range(first, end), ""))
    return ids


def _make(pool: Pool, got: Submit, ids: list[int], payloads: Sequence[bytes], wall: float) -> None:
    """Objects for them, in no queue yet."""
    options, watcher, tasks = got.options, got.watch, pool.tasks
    for task_id, payload in zip(ids, payloads, strict=True):
        task = tasks[task_id] = Task(task_id, options, payload, wall)
        task.watch = watcher
        if len(payload) > SMALL:
            pool.kept.add(task)


def _schedule(pool: Pool, ids: list[int], due: float, due_wall: float | None) -> None:
    for task_id in ids:
        task = pool.tasks[task_id]
        task.state, task.due, task.due_wall = TaskState.SCHEDULED, due, due_wall
        heappush(pool.due, (due, task_id))


def lane_of(pool: Pool, options: Options) -> Lane:
    """The lane for tasks with these options; a new one when there is none."""
    key = (options.kind, options.target)
    lane = pool.lanes.get(key)
    if lane is None:
        lane = pool.lanes[key] = Lane(pool.backlog)
    return lane


def enqueue(pool: Pool, task: Task, now: float) -> None:
    """Put a task whose state is `queued` where it will be found."""
    if task.suspect:
        heappush(pool.suspects, task.id)
        return
    lane_of(pool, task.options).push(task.id, task.options.priority, now)


def summon(pool: Pool, task_id: int) -> Task | None:
    """This open task, as an object from now on; one of the backlog keeps its place in the queue."""
    task = pool.tasks.get(task_id)
    if task is None:
        task = pool.backlog.pick(task_id)
        if task is not None:
            pool.lanes[task.options.kind, task.options.target].restore(task_id, task.options.priority)
    return task


def watch(pool: Pool, task_id: int, watcher: int) -> bool:
    """Tell one more of the end of this task; says whether it is open."""
    task = summon(pool, task_id)
    if task is None:
        return False
    before = task.watch if isinstance(task.watch, tuple) else (task.watch,)
    others = [w for w in before if w is not None and w != watcher and w in pool.watches]
    task.watch = (*others, watcher) if others else watcher
    pool.watches.add(watcher)
    return True


def flush(pool: Pool) -> None:
    """Turn what the batch gathered for each session into one effect each."""
    pool.effects += [
        Ack(session, tasks, attempts) for session, (tasks, attempts) in pool.acks.items() if tasks
    ]
    for watchers, outcomes in pool.tells.items():
        for one in (watchers,) if isinstance(watchers, int) else watchers:
            if one in pool.watches:
                pool.effects.append(Tell(one, outcomes))
    pool.acks, pool.tells, pool.batch_keys = {}, {}, {}
    if pool.changed_totals:
        pool.changed_totals = False
        final = {str(state): count for state, count in pool.totals.items() if TaskState(state).final}
        pool.commit.settings[TOTALS] = json.dumps({"accepted": pool.accepted, "final": final})
