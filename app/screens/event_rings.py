"""The newest events, of each family and weight apart: a flood of one sort pushes out its own, and no other.

What is rare is what an operator looks for: ten thousand tasks that end must not cost the line that says who
paused the fleet, nor ten thousand that fail the one about the worker that was lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge
from operator import attrgetter
from typing import Final

from ..handle import EventRow

KEPT: Final = 5_000
"""Ordinary events of tasks: most of all there are."""
KEPT_APART: Final = 1_000
"""Of every other family and weight."""
GAP: Final = "gap"
"""What a row is about that stands for events that were missed."""
LIGHT: Final = frozenset({"debug", "info"})
FAMILIES: Final = frozenset({"task", "log", GAP})
"""What comes in floods; all others (workers, pauses, alarms, invites) are one family."""
_number = attrgetter("number")


class EventRings:
    """Events in the order of their numbers, as many as are kept of each sort."""

    def __init__(self, most: int = KEPT, apart: int = KEPT_APART) -> None:
        self._most, self._apart = most, apart
        self._rings: dict[tuple[str, bool], deque[EventRow]] = {}
        self.newest = -1
        """Number of the newest."""
        self.thinned = -1
        """Up to this number some have been forgotten."""

    def add(self, rows: Iterable[EventRow]) -> None:
        """What has happened since, oldest first."""
        for row in rows:
            ring = self._ring(row)
            if len(ring) == ring.maxlen:
                self.thinned = max(self.thinned, ring[0].number)
            ring.append(row)
            self.newest = row.number

    def _ring(self, row: EventRow) -> deque[EventRow]:
        family, light = row.what.partition(".")[0], row.level in LIGHT
        sort = (family if family in FAMILIES else "", light)
        ring = self._rings.get(sort)
        if ring is None:
            most = self._most if sort == ("task", True) else self._apart
            ring = self._rings[sort] = deque(maxlen=most)
        return ring

    def __len__(self) -> int:
        return sum(map(len, self._rings.values()))

    def __iter__(self) -> Iterator[EventRow]:
        """Oldest first."""
        return merge(*self._rings.values(), key=_number)

    def __reversed__(self) -> Iterator[EventRow]:
        return merge(*map(reversed, self._rings.values()), key=_number, reverse=True)

    def listed(self) -> tuple[EventRow, ...]:
        """All of them, newest first."""
        rows = [row for ring in self._rings.values() for row in ring]
        rows.sort(key=_number, reverse=True)  # a few runs that are in order: next to nothing to do
        return tuple(rows)

    def serious(self) -> Iterator[EventRow]:
        """Warnings and what is worse, newest first."""
        heavy = (ring for (_, light), ring in self._rings.items() if not light)
        return merge(*map(reversed, heavy), key=_number, reverse=True)
