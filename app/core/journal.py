"""The last events, numbered. Readers keep a cursor; the writer never waits for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Page(Generic[E]):
    """Events since a cursor, and where to read on."""

    events: tuple[E, ...]
    cursor: int
    missed: int
    """How many events fell out of the ring before this reader came back."""


class Journal(Generic[E]):
    """One writer appends, any number of readers page through at their own pace."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._ring: deque[E] = deque(maxlen=capacity)
        self._next = 0

    @property
    def next(self) -> int:
        """The number that the next event will get: also how many there ever were."""
        return self._next

    def extend(self, events: Iterable[E]) -> None:
        """Number the events and keep them; forget the oldest when full."""
        for event in events:
            self._ring.append(event)
            self._next += 1

    def since(self, cursor: int, limit: int = 1_000) -> Page[E]:
        """Up to `limit` events from `cursor` on. A cursor from the future starts over at the newest."""
        oldest = self._next - len(self._ring)
        start = min(max(cursor, oldest), self._next)
        events = tuple(islice(self._ring, start - oldest, start - oldest + limit))
        return Page(events, start + len(events), missed=max(0, start - cursor))
