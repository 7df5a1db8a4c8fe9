"""The simulated events: number N is a pure function of N, but for those that operators caused."""

from __future__ import annotations

import math
from typing import Final

from ...core.lifecycle import TaskState
from ...handle import EventPage, EventRow
from .tasks import FakeTasks

KEPT: Final = 10_000
"""Events that are remembered."""
_AGES: Final = (0, 4, 40)
"""Seconds after which a task is told to be submitted, started, ended."""
_LEVELS: Final = {TaskState.FAILED: "error", TaskState.TIMED_OUT: "error", TaskState.CANCELLED: "warning"}


class FakeJournal:
    """Numbered, `rate` a second."""

    def __init__(self, tasks: FakeTasks, rate: float, start: float, before: int) -> None:
        """`before`: events that had happened at `start`."""
        self._tasks, self._rate, self._start, self._before = tasks, rate, start, before
        self._made: dict[int, EventRow] = {}

    def next(self, now: float) -> int:
        """The number of the next event."""
        return self._before + max(0, int((now - self._start) * self._rate)) + len(self._made)

    def add(self, now: float, level: str, what: str, subject: str, text: str) -> None:
        """Something that an operator caused."""
        number = self.next(now)
        self._made[number] = EventRow(number, now, level, what, subject, text)

    def since(self, cursor: int, limit: int, now: float) -> EventPage:
        """From a cursor on; one from the future starts over at the newest."""
        end = self.next(now)
        oldest = max(0, end - KEPT)
        start = min(max(cursor, oldest), end)
        stop = min(end, start + max(1, limit))
        made = sum(1 for number in self._made if number < start)
        rows = []
        for number in range(start, stop):
            known = self._made.get(number)
            made += known is not None
            rows.append(known or self._natural(number, number - made))
        return EventPage(tuple(rows), stop, max(0, start - cursor))

    def _natural(self, number: int, place: int) -> EventRow:
        at = self._start + (place + 1 - self._before) / self._rate
        tasks, step = self._tasks, place % len(_AGES)
        stream = tasks.stream  # what there was before the start came at the same rate
        # One after the other: nothing happens to a task twice while tasks come as fast as events of one sort.
        newest = stream.size + math.floor((place + 1 - self._before - step) * stream.rate / self._rate)
        task_id = tasks.numbers.id_of(max(1, newest - int(_AGES[step] * stream.rate)))
        row = tasks.row(min(task_id, tasks.newest(at)), at)
        state, about, where = TaskState(row.state), str(row.id), f" on {row.worker}" if row.worker else ""
        if step == 0:
            return EventRow(number, at, "info", "task.submitted", about, f"{row.kind}, batch {row.batch}")
        if step == 1 and where:
            return EventRow(number, at, "debug", "task.started", about, f"{row.kind}{where}")
        if step == 1 or not state.final:
            text = "the store took 41 ms for a commit of 312 tasks"
            return EventRow(number, at, "debug", "log", "taskmessenger.store", text)
        text = f"{row.kind}{where}" + (f": {row.error}" if row.error else "")
        return EventRow(number, at, _LEVELS.get(state, "info"), f"task.{state.word}", about, text)
