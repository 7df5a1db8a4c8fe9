"""Hands out leases: who gets which queued tasks. Runs once at the end of every batch."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop
from typing import TYPE_CHECKING, Final

from ..commit import pack_leases
from ..effects import Assign, LeaseRow
from ..lifecycle import TaskState
from .lanes import Lane, LaneKey
from .links import describe_worker
from .state import Grant, Task, Worker

if TYPE_CHECKING:
    from .machine import Pool

ALL = "all"
"""The scope of a pause of the whole fleet."""
STARVED_SHARE: Final = 8
"""While something has waited longer than the pool's aging time, it gets one lease of this many."""


FEW_LANES: Final = 64
"""So many are looked at one by one."""
SHORT: Final = 8
"""A worker that prefetches more than so many times its slots runs short tasks."""
GRAIN_SHARE: Final = 4
"""It gets at least one part in so many of its prefetch at a time."""


def assign(pool: Pool, now: float) -> None:
    """Lease queued tasks to workers with credit: free slots of everybody first, prefetch after that."""
    paused = pool.paused
    if pool.stopping or ALL in paused or not (pool.lanes or pool.suspects):
        return
    ready = [
        w
        for w in pool.workers.values()
        if w.credit and w.lease_until > now and not (paused and f"worker:{w.id}" in paused)
    ]
    if not ready:
        return
    if len(ready) > 1:
        ready.sort(key=_load)
    given: dict[str, list[Task]] = {}
    if pool.suspects:
        ready = _assign_suspects(pool, ready, given)
    lanes = _runnable(pool, ready)
    _share(pool, ready, lanes, given, now, prefetch=False)
    _share(pool, ready, lanes, given, now, prefetch=True)
    for worker_id, tasks in given.items():
        _grant(pool, pool.workers[worker_id], tasks, now)
    for key, lane in lanes.items():
        if lane.size <= 0:
            del pool.lanes[key]


def _grain(worker: Worker) -> int:
    """How many tasks are worth a message to this worker.

    One that asks for many times its slots runs tasks that are over before a message has travelled: dealt out
    evenly to hundreds of such workers they would cost more messages than work.
    """
    spare = worker.limit - worker.capacity
    return spare // GRAIN_SHARE if spare > SHORT * worker.capacity else 1


def _load(worker: Worker) -> tuple[int, int]:
    """Who has least comes first; of several, who has waited longest."""
    return (worker.taken, worker.newest_grant)


def _runnable(pool: Pool, ready: list[Worker]) -> dict[LaneKey, Lane]:
    """The lanes that somebody here can serve: what nobody can run must not count when work is shared."""
    found: dict[LaneKey, Lane] = {}
    here = {w.id: w for w in ready}
    for key in _keys(pool, ready):
        lane = pool.lanes[key]
        kind, target = key
        if f"kind:{kind}" in pool.paused:
            continue
        able = ready if target is None else [here[target]] if target in here else []
        if any(kind in worker.kinds for worker in able):
            found[key] = lane
    return found


def _keys(pool: Pool, ready: list[Worker]) -> Iterable[LaneKey]:
    """Of all lanes those that may matter now: kinds that nobody offers cost nothing, however many."""
    lanes = pool.lanes
    if len(lanes) <= FEW_LANES or len(lanes) <= sum(2 * len(worker.kinds) for worker in ready):
        return list(lanes)
    offered = frozenset[str]().union(*(worker.kinds for worker in ready))
    anybodys = [(kind, None) for kind in offered if (kind, None) in lanes]
    own = [(kind, w.id) for w in ready for kind in w.kinds if (kind, w.id) in lanes]
    return [*anybodys, *own]


def _share(
    pool: Pool,
    ready: list[Worker],
    lanes: dict[LaneKey, Lane],
    given: dict[str, list[Task]],
    now: float,
    *,
    prefetch: bool,
) -> None:
    """Deal tasks to the workers in even shares until the room or the tasks run out."""
    todo = ready
    while todo and (queued := sum(lane.size for lane in lanes.values())) > 0:
        share = -(-queued // len(todo))
        again: list[Worker] = []
        for worker in todo:
            mine = given.setdefault(worker.id, [])
            grain = _grain(worker)
            top = worker.limit if prefetch else min(max(worker.capacity, grain), worker.limit)
            room = top - worker.taken - len(mine)
            if room <= 0:
                continue
            wanted = min(room, max(share, grain))
            taken = _take(pool, worker, lanes, wanted, now)
            mine += taken
            if len(taken) == wanted and room > wanted:
                again.append(worker)
        todo = again


def _take(pool: Pool, worker: Worker, lanes: dict[LaneKey, Lane], wanted: int, now: float) -> list[Task]:
    """The next tasks that this worker can run, best first."""
    mine = [
        lane
        for kind in worker.kinds
        for target in (None, worker.id)
        if (lane := lanes.get((kind, target))) is not None and lane.size > 0
    ]
    if len(mine) == 1 and len(mine[0].levels) == 1:
        taken = mine[0].take(pool.tasks, wanted, now)
        for leased in taken:
            leased.state = TaskState.LEASED
        return taken
    taken = []
    while len(taken) < wanted and (task := _next(pool, worker, mine, now)) is not None:
        task.state = TaskState.LEASED
        taken.append(task)
    return taken


def _next(pool: Pool, worker: Worker, lanes: list[Lane], now: float) -> Task | None:
    """The task of the highest priority, then the lowest id; now and then one that starves."""
    tasks = pool.tasks
    heads = [(head, lane) for lane in lanes if (head := lane.head(tasks)) is not None]
    if not heads:
        return None
    worker.picks += 1
    if worker.picks % STARVED_SHARE == 0:
        before = now - pool.aging
        starving = [(hungry, lane) for lane in lanes if (hungry := lane.starving(tasks, before)) is not None]
        if starving:
            (_, priority), lane = min(starving, key=_first)
            return lane.pop(tasks, priority, None)
    (negative, _), lane = min(heads, key=_first)
    return lane.pop(tasks, -negative, now)


def _first(pair: tuple[tuple[float, int], Lane]) -> tuple[float, int]:
    return pair[0]


def _assign_suspects(pool: Pool, ready: list[Worker], given: dict[str, list[Task]]) -> list[Worker]:
    """Each suspect gets a worker of its own that holds nothing else. Returns who is left for the others.

    When a suspect finds nobody idle, the worker with the least to do gets nothing new until it is idle:
    otherwise a busy fleet would never run a suspect at all.
    """
    idle = [w for w in ready if not w.taken]
    reserved: Worker | None = None
    waiting: list[int] = []
    in_vain: set[LaneKey] = set()
    while pool.suspects and (idle or reserved is None):
        task = pool.tasks.get(heappop(pool.suspects))
        if task is None or task.state is not TaskState.QUEUED:
            continue
        kind, target = key = (task.options.kind, task.options.target)
        able: list[Worker] = []
        if key not in in_vain and f"kind:{kind}" not in pool.paused:
            able = [w for w in ready if w.alone is None and kind in w.kinds and target in {None, w.id}]
        if able and not able[0].taken:  # the least loaded comes first
            idle.remove(able[0])
            able[0].alone = task.id
            task.state = TaskState.LEASED
            given[able[0].id] = [task]
            continue
        in_vain.add(key)
        waiting.append(task.id)
        reserved = reserved or next(iter(able), None)
    pool.suspects += waiting
    pool.suspects.sort()  # a sorted list is a heap
    return [w for w in ready if w.alone is None and w is not reserved]


def _grant(pool: Pool, worker: Worker, tasks: list[Task], now: float) -> None:
    """Write the leases down, and send them."""
    if not tasks:
        return
    assert worker.session is not None
    assert len(worker.held) + len(tasks) <= worker.limit, "I8: more leases than credit"
    grant = Grant(pool.next_grant, len(tasks), now)
    worker.newest_grant = grant.seq
    describe_worker(pool, worker)
    pool.next_grant += 1
    leases: list[LeaseRow] = []
    held, worker_id = worker.held, worker.id
    for task in tasks:
        task.attempt += 1
        task.worker, task.grant = worker_id, grant
        held[task.id] = task.attempt
        leases.append((task.id, task.attempt, task.options, task.payload))
    ids = [task.id for task in tasks]
    pool.commit.granted.append((grant.seq, worker_id, pack_leases(ids, [task.attempt for task in tasks])))
    pool.totals[TaskState.QUEUED] -= len(tasks)
    pool.totals[TaskState.LEASED] += len(tasks)
    pool.effects.append(Assign(worker.session, worker_id, leases))
    pool.events.append(("leased", worker_id, ids, ""))
