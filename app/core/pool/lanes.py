"""Queues: one lane for each kind (and target worker), by priority, then by age.

They know what waits; which of them is served next is the business of `assign`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush

from ..lifecycle import TaskState
from .backlog import Backlog, Series
from .state import Task

LaneKey = tuple[str, str | None]
"""Kind, and the one worker that may run it or None."""


@dataclass(slots=True)
class Level:
    """Tasks of one priority, by id: retries go back to where their submission put them."""

    heap: list[int] = field(default_factory=list)
    """Of those that have objects."""
    waiting: list[tuple[int, int, Series]] = field(default_factory=list)
    """Heap of the others: first id, a number that no other entry has, and the series."""
    newest: Series | None = None
    """The last that was put into `waiting` by a submission."""
    served: float = 0.0
    """When its turn last came, or it was empty."""
    starved: bool = False
    """It has waited too long, and gets a share of the leases until it is empty."""
    moved: set[int] = field(default_factory=set)
    """Queued tasks that are in another level now; their entries here are void."""

    @property
    def is_empty(self) -> bool:
        """Whether it has no entries at all."""
        return not (self.heap or self.waiting)


class Lane:
    """Queued tasks that the same workers may run.

    A task that leaves the queue by another way (cancelled) stays in its heap until it comes to the top.
    """

    __slots__ = ("_backlog", "_order", "levels", "size")

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self.levels: dict[int, Level] = {}
        self._order: list[int] = []
        self.size = 0
        """Tasks that are really queued."""

    def push(self, task_id: int, priority: int, now: float) -> None:
        """Queue a task."""
        level = self.level(priority, now)
        if task_id in level.moved:  # it comes back before its old entry was thrown away
            level.moved.discard(task_id)
        else:
            heappush(level.heap, task_id)
        self.size += 1

    def level(self, priority: int, now: float) -> Level:
        """The level of this priority, for what is to be queued there."""
        level = self.levels.get(priority)
        if level is None:
            level = self.levels[priority] = Level(served=now)
            self._order = sorted(self.levels, reverse=True)
        elif not level.heap and not level.waiting:
            level.served = now
        return level

    def extend(self, ids: list[int], priority: int, now: float) -> None:
        """Queue tasks that are newer than all others."""
        level = self.levels.get(priority)
        if level is None or not level.heap:
            level = self.level(priority, now)
        level.heap += ids  # what is greater than all in a heap belongs at its end
        self.size += len(ids)

    def restore(self, task_id: int, priority: int) -> None:
        """A task of this lane that was counted all the time, and has got an object, keeps its turn."""
        heappush(self.levels[priority].heap, task_id)

    def add(self, series: Series, now: float) -> None:
        """Queue all tasks of a series."""
        self._backlog.add(self.level(series.options.priority, now), series)
        self.size += series.left

    def append(self, series: Series, now: float) -> None:
        """Queue all tasks of a series, which are newer than all others."""
        self._backlog.append(self.level(series.options.priority, now), series)
        self.size += series.left

    def is_deep(self, priority: int, more: int, bound: int) -> bool:
        """Whether with so many more in one level not all have an object."""
        level = self.levels.get(priority)
        if level is None:
            return more > bound
        return bool(level.waiting) or len(level.heap) + more > bound

    def gone(self, many: int = 1) -> None:
        """Queued tasks left by another way; their entries are skipped when they come to the top."""
        self.size -= many

    def moves(self, task_id: int, priority: int) -> None:
        """A queued task leaves this level, for another one of the lane."""
        self.size -= 1
        self.levels[priority].moved.add(task_id)

    def head(self, tasks: dict[int, Task]) -> tuple[int, int] | None:
        """Sort key of the next task in turn, (minus priority, id), or None when nothing is queued."""
        for priority in self._order:
            level = self.levels[priority]
            if _live(level, tasks, self._backlog):
                return (-priority, level.heap[0])
        return None

    def starving(self, tasks: dict[int, Task], before: float) -> tuple[float, int] | None:
        """The level that has waited longest of those last served before a moment: (moment, priority)."""
        found = [
            (level.served, priority)
            for priority, level in self.levels.items()
            if (level.starved or level.served < before) and _live(level, tasks, self._backlog)
        ]
        return min(found, default=None)

    def pop(self, tasks: dict[int, Task], priority: int, served: float | None) -> Task:
        """Take the next task of a level that has one. `served`: the time, or None when out of turn."""
        level = self.levels[priority]
        self.size -= 1
        task = tasks[heappop(level.heap)]
        if served is None:
            level.starved = True
        elif not level.starved:
            level.served = served
        if level.is_empty:
            level.starved = False
            if len(self._order) > 1:
                del self.levels[priority]
                self._order.remove(priority)
        return task

    def take(self, tasks: dict[int, Task], most: int, now: float) -> list[Task]:
        """The next tasks of a lane that has one priority only; there nothing has to be weighed."""
        (level,) = self.levels.values()
        heap, taken, waiting = level.heap, list[Task](), level.waiting
        while len(taken) < most:
            if waiting and (not heap or heap[0] > waiting[0][0]):
                self._backlog.draw(level)
                continue
            if not heap:
                break
            task_id = heappop(heap)
            if level.moved and task_id in level.moved:
                level.moved.discard(task_id)
                continue
            task = tasks.get(task_id)
            if task is not None and task.state is TaskState.QUEUED:
                taken.append(task)
        self.size -= len(taken)
        level.served = now
        level.starved = level.starved and not level.is_empty
        return taken


def _live(level: Level, tasks: dict[int, Task], backlog: Backlog) -> bool:
    """Whether the level has a queued task, which then is the first in its heap.

    Throws away what is no longer queued on the way.
    """
    heap, waiting = level.heap, level.waiting
    while heap or waiting:
        if waiting and (not heap or heap[0] > waiting[0][0]):
            backlog.draw(level)
            continue
        task = tasks.get(heap[0])
        moved = level.moved and heap[0] in level.moved
        if task is not None and task.state is TaskState.QUEUED and not moved:
            return True
        level.moved.discard(heappop(heap))
    return False
