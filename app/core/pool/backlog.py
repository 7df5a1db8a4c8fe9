"""Queued tasks that have no object of their own: series of ids whose tasks are alike in all else.

Nearly all of a long queue only waits. A task is made when its turn comes near, or when somebody means it by
its id; its payload and its idempotency key are in the store until then, and stay there. So ten million queued
tasks cost a manager little more than none, and it takes them over in no time.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final

from ..stimuli import Options
from .state import Task

if TYPE_CHECKING:
    from .lanes import Level

IN_FULL: Final = 100_000
"""Open tasks up to which each has an object."""
SHALLOW: Final = 1_000
"""Queued tasks of one priority in one lane that have objects all the same."""
DRAWN: Final = 256
"""Tasks that are made at a time when a queue runs out of them."""
LONGEST: Final = 65_536
"""Ids up to which a series grows."""
ALIKE_SECONDS: Final = 60.0
"""Tasks that were submitted within such a time count as submitted at once."""
_BLOCK: Final = 8
"""Bits of an id that make no difference to where its series is looked for."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How many queued tasks have objects."""

    in_full: int = IN_FULL
    shallow: int = SHALLOW
    drawn: int = DRAWN


class Series:
    """Ids in ascending order, and what their tasks have in common."""

    __slots__ = ("end", "ids", "left", "options", "place", "submitted", "taken", "watch")

    def __init__(
        self, ids: Sequence[int], options: Options, submitted: float, watch: int | None = None
    ) -> None:
        """`ids`: a range, or an array of ascending numbers. `watch`: who is told how all of them end."""
        self.ids = ids
        self.options = options
        self.submitted = submitted
        """Wall clock; of the first."""
        self.watch = watch
        self.place = 0
        """Of the first that waits."""
        self.end = self.left = len(ids)
        """The place after the last that waits; and how many do."""
        self.taken: bytearray | None = None
        """By place: not 0 for those that left out of turn. None while nobody has."""

    @property
    def front(self) -> int:
        """The first id that waits; there must be one."""
        return self.ids[self.place]

    def place_of(self, task_id: int) -> int:
        """Where it waits, or -1."""
        ids = self.ids
        if isinstance(ids, range):
            place = task_id - ids.start
        else:
            place = bisect_left(ids, task_id, self.place, self.end)
        if not self.place <= place < self.end or ids[place] != task_id:
            return -1
        return -1 if self.taken is not None and self.taken[place] else place

    def leave(self, place: int) -> None:
        """The one at this place leaves out of turn."""
        self.left -= 1
        if self.taken is None:
            if place == self.end - 1:
                self.end -= 1
                return
            if place == self.place:
                self.place += 1
                return
            self.taken = bytearray(len(self.ids))
        self.taken[place] = 1
        self._narrow()

    def draw(self, most: int) -> Sequence[int]:
        """Take the next in turn."""
        begin = self.place
        self.place = min(begin + most, self.end)
        drawn = self.ids[begin : self.place]
        if self.taken is not None:
            drawn = [i for i, gone in zip(drawn, self.taken[begin : self.place], strict=True) if not gone]
            self._narrow()
        self.left -= len(drawn)
        return drawn

    def extend(self, ids: range) -> None:
        """More that are like these, with higher ids; only while nobody has left out of turn."""
        mine = self.ids
        if isinstance(mine, range) and mine.stop == ids.start:
            self.ids = range(mine.start, ids.stop)
        else:
            if not isinstance(mine, array):
                mine = self.ids = array("Q", mine)
            mine.extend(ids)
        self.end += len(ids)
        self.left += len(ids)

    def _narrow(self) -> None:
        """Those at both ends wait."""
        assert self.taken is not None
        first = self.taken.find(0, self.place, self.end)
        self.place = first if first >= 0 else self.end
        self.end = max(self.place, self.taken.rfind(0, self.place, self.end) + 1)


class Backlog:
    """Which series each id is in; which of them is next is known to the levels of the lanes."""

    def __init__(self, tasks: dict[int, Task], drawn: int) -> None:
        """`tasks`: where those go that are made, so many at a time."""
        self.size = 0
        """Tasks in all series."""
        self._tasks = tasks
        self._drawn = drawn
        self._blocks: dict[int, list[Series]] = {}
        self._numbers = count()

    def __contains__(self, task_id: int) -> bool:
        return self.find(task_id) is not None

    def find(self, task_id: int) -> Series | None:
        """The series in which this task waits."""
        for series in self._blocks.get(task_id >> _BLOCK, ()):
            if series.place_of(task_id) >= 0:
                return series
        return None

    def add(self, level: Level, series: Series) -> None:
        """Its tasks wait in this level."""
        self.size += series.left
        for block in _blocks_of(series.ids):
            self._blocks.setdefault(block, []).append(series)
        heappush(level.waiting, (series.front, next(self._numbers), series))

    def append(self, level: Level, new: Series) -> None:
        """As `add` for tasks newer than all others; they join the newest there when they are like them."""
        last = level.newest
        if (
            last is None
            or not last.left
            or last.options != new.options
            or last.watch != new.watch
            or last.taken is not None
            or last.end != len(last.ids)
            or len(last.ids) + len(new.ids) > LONGEST
            or not 0 <= new.submitted - last.submitted < ALIKE_SECONDS
        ):
            level.newest = new
            self.add(level, new)
            return
        assert isinstance(new.ids, range)
        last.extend(new.ids)
        self.size += new.left
        for block in _blocks_of(new.ids):
            there = self._blocks.setdefault(block, [])
            if last not in there:
                there.append(last)

    def draw(self, level: Level) -> None:
        """Make tasks of the first ones of a level, and put them into its heap."""
        front, number, series = heappop(level.waiting)
        if series.left and series.front == front:
            drawn = series.draw(self._drawn)
            options, submitted, watch = series.options, series.submitted, series.watch
            tasks, heap = self._tasks, level.heap
            is_heap = not heap  # ascending numbers are one
            for task_id in drawn:
                task = tasks[task_id] = Task(task_id, options, None, submitted)
                task.watch = watch
                if is_heap:
                    heap.append(task_id)
                else:
                    heappush(heap, task_id)
            self._left(series, len(drawn))
        if series.left:
            heappush(level.waiting, (series.front, number, series))

    def leave(self, series: Series, task_id: int) -> None:
        """This task leaves its series without becoming an object."""
        series.leave(series.place_of(task_id))
        self._left(series, 1)

    def pick(self, task_id: int) -> Task | None:
        """Make this task, which is then in no queue; its lane still counts it."""
        series = self.find(task_id)
        if series is None:
            return None
        self.leave(series, task_id)
        task = self._tasks[task_id] = Task(task_id, series.options, None, series.submitted)
        task.watch = series.watch
        return task

    def _left(self, series: Series, many: int) -> None:
        self.size -= many
        if series.left:
            return
        for block in _blocks_of(series.ids):
            there = self._blocks.get(block, [])
            if series in there:
                there.remove(series)
            if not there:
                self._blocks.pop(block, None)


def _blocks_of(ids: Sequence[int]) -> Iterable[int]:
    if isinstance(ids, range):
        return range(ids.start >> _BLOCK, (ids.stop - 1 >> _BLOCK) + 1)
    return dict.fromkeys(task_id >> _BLOCK for task_id in ids)
