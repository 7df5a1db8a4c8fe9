"""The simulated events: number N is a pure function of N, but for those that operators caused."""

from __future__ import annotations

from typing import Final

from ...core.lifecycle import TaskState
from ...handle import EventPage, EventRow
from .stream import mix
from .tasks import FakeTasks

KEPT: Final = 10_000
"""Events that are remembered."""
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
        tasks, bits = self._tasks, mix(77, place)
        stream = tasks.stream  # what there was before the start came at the same rate
        newest = min(tasks.newest(at), stream.size + int((at - stream.start) * stream.rate))
        if bits % 61 == 0:
            text = "the store took 41 ms for a commit of 312 tasks"
            return EventRow(number, at, "debug", "log", "taskmessenger.store", text)
        age = (0, 4, 40)[place % 3] + bits % 5
        task_id = max(1, newest - int(age * stream.rate) - (bits >> 8) % max(1, int(stream.rate)))
        row = tasks.row(task_id, at)
        if place % 3 == 0 or row.worker is None:
            return EventRow(
                number, at, "info", "task.submitted", str(task_id), f"{row.kind}, batch {row.batch}"
            )
        if place % 3 == 1 or not TaskState(row.state).final:
            return EventRow(number, at, "debug", "task.started", str(task_id), f"{row.kind} on {row.worker}")
        state = TaskState(row.state)
        text = f"{row.kind} on {row.worker}" + (f": {row.error}" if row.error else "")
        return EventRow(number, at, _LEVELS.get(state, "info"), f"task.{state.word}", str(task_id), text)
