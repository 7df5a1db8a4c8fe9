"""The simulated events: number N is a pure function of N, but for those that operators caused."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from ...core.lifecycle import TaskState
from ...handle import EventPage, EventRow
from .stream import Scene, Stream
from .tasks import FakeTasks

KEPT: Final = 10_000
"""Events that are remembered."""
MOST_BEFORE: Final = 3_000
"""Events that had happened when the simulation began."""
_AGES: Final = (0, 4, 40)
"""Seconds after which a task is told to be submitted, started, ended."""
PASTS: Final = 4
"""Simulations whose past is remembered, for others of the same numbers in this process."""
_LEVELS: Final = {TaskState.FAILED: "error", TaskState.TIMED_OUT: "error", TaskState.CANCELLED: "warning"}


class Natural:
    """What happens to tasks by itself, `rate` times a second."""

    def __init__(self, tasks: FakeTasks, rate: float, start: float, before: int) -> None:
        """`before`: events that had happened at `start`."""
        self._tasks, self._rate, self._start, self.before = tasks, rate, start, before

    def until(self, now: float) -> int:
        """How many have happened."""
        return self.before + max(0, int((now - self._start) * self._rate))

    def event(self, number: int, place: int) -> EventRow:
        """The one at this place among them, which has this number."""
        at = self._start + (place + 1 - self.before) / self._rate
        tasks, step = self._tasks, place % len(_AGES)
        stream = tasks.stream  # what there was before the start came at the same rate
        # One after the other: nothing happens to a task twice while tasks come as fast as events of one sort.
        newest = stream.size + math.floor((place + 1 - self.before - step) * stream.rate / self._rate)
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


class Past:
    """What had happened when the simulation began: no operator changes that."""

    def __init__(self, natural: Natural) -> None:
        self._natural = natural
        self._known: dict[int, EventRow] = {}

    def event(self, number: int) -> EventRow:
        """Each is made once."""
        known = self._known.get(number)
        if known is None:
            known = self._known[number] = self._natural.event(number, number)
        return known


@lru_cache(maxsize=PASTS)
def past(
    stream: tuple[int, int, float, float], scene: Scene, able: tuple[tuple[str, ...], ...], rate: float
) -> Past:
    """Of one simulation. `stream`: seed, tasks, rate, start; `able`: by kind; `rate`: events a second."""
    tasks = FakeTasks(Stream(*stream, scene), able)
    return Past(Natural(tasks, rate, stream[-1], before(stream[1])))


def before(tasks: int) -> int:
    """Events that had happened when a simulation with so many tasks began."""
    return min(3 * tasks, MOST_BEFORE)


class FakeJournal:
    """Numbered, `rate` a second."""

    def __init__(self, natural: Natural, past: Past) -> None:
        self._natural, self._past = natural, past
        self._made: dict[int, EventRow] = {}

    def next(self, now: float) -> int:
        """The number of the next event."""
        return self._natural.until(now) + len(self._made)

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
            if number < self._natural.before:
                rows.append(self._past.event(number))
                continue
            known = self._made.get(number)
            made += known is not None
            rows.append(known or self._natural.event(number, number - made))
        return EventPage(tuple(rows), stop, max(0, start - cursor))
