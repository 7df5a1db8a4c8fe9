"""The invariants that can be seen in a pool alone: I1 to I4, I6, I8 and I10. Tests ask after every step.

I5, I7, I9 and I11 are about what is stored, said and kept elsewhere: `tests.support.pool_books` and
`tests.simulation.ledger` hold them against a pool from outside.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..lifecycle import TaskState
from .lanes import Lane
from .losses import MAX_LOSSES
from .payloads import SMALL

if TYPE_CHECKING:
    from .machine import Pool


def check(pool: Pool) -> None:
    """Raise `AssertionError` naming the broken invariant. Takes time in proportion to the pool."""
    _totals(pool)
    _leases(pool)
    _queues(pool)
    _doubts(pool)
    heavy = (task.payload for task in pool.tasks.values())
    assert pool.kept.size == sum(len(p) for p in heavy if p is not None and len(p) > SMALL), "kept bytes"
    for key, (task_id, _) in pool.keys.items():
        task = pool.tasks.get(task_id)
        assert task is not None, f"I10: key {key} leads to no open task"
        assert task.key == key, f"I10: key {key} leads to another task's"


def _totals(pool: Pool) -> None:
    assert sum(pool.totals.values()) == pool.accepted, "I1: states do not add up to what was accepted"
    live = Counter(task.state for task in pool.tasks.values())
    backlog = Counter({TaskState.QUEUED: pool.backlog.size})
    for state in TaskState:
        assert pool.totals[state] >= 0, f"I1: negative count of {state.word}"
        if not state.final:
            assert pool.totals[state] == live[state] + backlog[state], f"I1: count of {state.word} is wrong"
    assert not any(state.final for state in live), "I4: a settled task is still open"


def _leases(pool: Pool) -> None:
    holders: Counter[int] = Counter()
    for worker in pool.workers.values():
        for task_id, attempt in worker.held.items():
            task = pool.tasks.get(task_id)
            if task is not None:
                holders[task_id] += 1
                assert task.attempt == attempt, f"I3: worker holds attempt {attempt} of task {task_id}"
                assert task.worker == worker.id, f"I6: task {task_id} does not know its worker"
        assert worker.running.keys() <= worker.held.keys(), "I6: something runs without a lease"
        assert worker.credit >= 0, "I8: negative credit"
        assert worker.alone is None or list(worker.held) == [worker.alone], "a suspect does not run alone"
        if worker.session is not None:
            assert pool.by_session[worker.session] is worker, "I6: a session leads elsewhere"
    for task in pool.tasks.values():
        leased = task.state in {TaskState.LEASED, TaskState.RUNNING}
        assert holders[task.id] == leased, (
            f"I2: task {task.id} is {task.state.word}, leased {holders[task.id]} times"
        )
        assert (task.worker is not None) == leased, (
            f"I6: task {task.id} is {task.state.word} by {task.worker}"
        )
        assert (task.grant is not None) == leased, f"I2: task {task.id} has no row in the lease log"
        assert task.attempt >= task.spent, f"I3: task {task.id} spent more attempts than it had"


def _doubts(pool: Pool) -> None:
    """Nothing is held against a task without saying why, and nothing against one that has ended."""
    assert pool.blame.doubts.keys() <= pool.tasks.keys(), "doubts about a task that has ended"
    for task in pool.tasks.values():
        doubt = pool.blame.doubts.get(task.id)
        assert not task.suspect or doubt is not None, f"nobody knows why task {task.id} is suspected"
        if doubt is not None:
            counted = sum(death.counted for death in doubt.deaths)
            assert counted <= task.crashes, f"task {task.id} has fewer crashes than deaths"
            assert doubt.free <= task.options.max_attempts, f"G4: task {task.id} runs for nothing for ever"
    assert len(pool.blame.losses) <= MAX_LOSSES, "too many silent workers are remembered"


def _is_elsewhere(pool: Pool, task_id: int, priority: int) -> bool:
    task = pool.tasks.get(task_id)
    return task is not None and task.state is TaskState.QUEUED and task.options.priority != priority


def _backlog(pool: Pool, lane: Lane) -> list[int]:
    """The tasks of a lane that have no object; each can be found by its id, in its level."""
    found: list[int] = []
    for priority, level in lane.levels.items():
        for front, _, series in level.waiting:
            waiting = [i for i in series.ids if series.place_of(i) >= 0]
            assert len(waiting) == series.left, "I1: a series miscounts"
            assert not waiting or series.front == waiting[0] >= front, "I1: a series waits at the wrong place"
            assert series.options.priority == priority, "I1: a series waits among those of another priority"
            for task_id in waiting:
                assert pool.backlog.find(task_id) is series, f"I1: task {task_id} is not found in its series"
                assert task_id not in pool.tasks, f"I1: task {task_id} waits in two places"
            found += waiting
    return found


def _queues(pool: Pool) -> None:
    """Every queued task can be found, once; every scheduled one has its moment."""
    found: Counter[int] = Counter(pool.suspects)
    for lane in pool.lanes.values():
        entries = [i for level in lane.levels.values() for i in level.heap if i not in level.moved]
        for priority, level in lane.levels.items():
            wrong = [i for i in level.heap if i not in level.moved and _is_elsewhere(pool, i, priority)]
            assert not wrong, f"I1: tasks {wrong} wait among those of priority {priority}"
            assert level.moved <= set(level.heap), "I1: a task moved away from where it was not"
        live = [i for i in entries if i in pool.tasks and pool.tasks[i].state is TaskState.QUEUED]
        waiting = _backlog(pool, lane)
        assert lane.size == len(live) + len(waiting), "I1: a lane miscounts"
        found.update(live)
        found.update(waiting)
    assert pool.backlog.size == sum(n for i, n in found.items() if i in pool.backlog), (
        "I1: the backlog miscounts"
    )
    moments = {task_id for _, task_id in pool.due}
    for task in pool.tasks.values():
        if task.state is TaskState.QUEUED:
            assert found[task.id] == 1, f"I1: queued task {task.id} is in {found[task.id]} queues"
        if task.state is TaskState.SCHEDULED:
            assert task.id in moments, f"I1: scheduled task {task.id} waits for no moment"
