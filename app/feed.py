"""What a node gives out to whoever looks: its newest snapshot and its newest events.

One thread writes; any thread reads, without a lock and without waiting. Asking is noted, so that nothing is
gathered that nobody wants to see. Knows nothing of where the facts come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import Final

from .handle import EventPage, EventRow, Snapshot

EVENTS: Final = 10_000
"""Newest events that are kept."""
LOOKED_SECONDS: Final = 3.0
"""For so long after somebody looked the next look is expected."""
Happening = tuple[float, str, str, str, str]
"""An event without its number: wall clock, level, what, subject, text."""


class Feed:
    """Newest snapshot, newest events."""

    def __init__(self, first: Snapshot, capacity: int = EVENTS) -> None:
        self._snapshot = first
        self._ring: list[EventRow | None] = [None] * capacity
        self._next = 0
        self._looked = float("-inf")

    @property
    def wanted(self) -> bool:
        """Whether somebody has looked in the last seconds."""
        return monotonic() - self._looked < LOOKED_SECONDS

    @property
    def next(self) -> int:
        """The number that the next event will get."""
        return self._next

    @property
    def newest(self) -> Snapshot:
        """The newest snapshot, for whoever makes the next: nobody looks."""
        return self._snapshot

    # ---- the one thread that writes ---------------------------------------------------------------------

    def publish(self, snapshot: Snapshot) -> None:
        """From now on this is the newest."""
        self._snapshot = snapshot

    def add(self, happenings: Iterable[Happening]) -> None:
        """Number these events and keep them; the oldest give way."""
        ring, size = self._ring, len(self._ring)
        for at, level, what, subject, text in happenings:
            number = self._next
            ring[number % size] = EventRow(number, at, level, what, subject, text)
            self._next = number + 1  # only now: readers look at nothing from here on

    def skip(self, count: int) -> None:
        """So many events were forgotten before they came here: readers are told that they missed them."""
        self._next += count

    # ---- any thread -------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The newest; and let there be newer ones for a while."""
        self._looked = monotonic()
        return self._snapshot

    def since(self, cursor: int, limit: int) -> EventPage:
        """Up to `limit` events from `cursor` on. A cursor from the future starts over at the newest."""
        self._looked = monotonic()
        end, size = self._next, len(self._ring)
        start = min(max(cursor, end - size, 0), end)
        stop = min(end, start + max(1, limit))
        found = (self._ring[number % size] for number in range(start, stop))
        # A row may be overwritten while we read, and those that were skipped never came.
        rows = tuple(
            row for number, row in enumerate(found, start) if row is not None and row.number == number
        )
        return EventPage(rows, stop, max(0, stop - cursor - len(rows)) if cursor <= end else 0)
