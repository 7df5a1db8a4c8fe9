"""Removes what no value is in any more, when no reader can still be looking for one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class Reclaim:
    """Dead segments wait here for the readings that began before they died, and for no others.

    A reading lasts as long as one snapshot of the database, so each has an end. Every thread may call it.
    """

    def __init__(self, remove: Callable[[int], None]) -> None:
        self._remove = remove
        self._lock = threading.Lock()
        self._deaths = 0
        self._begun: dict[object, int] = {}
        """For each reading, how many deaths there were when it began."""
        self._dead: deque[tuple[int, int]] = deque()
        """Which death it was, and of what, oldest first."""

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Nothing that is referred to in a snapshot which begins in here is removed before the end of it."""
        token = object()
        with self._lock:
            self._begun[token] = self._deaths
        try:
            yield
        finally:
            with self._lock:
                del self._begun[token]
            self.sweep()

    def retire(self, segments: Iterable[int]) -> None:
        """Have these removed. That nothing refers to them is durable already."""
        with self._lock:
            for segment in segments:
                self._deaths += 1
                self._dead.append((self._deaths, segment))

    def sweep(self) -> None:
        """Remove those that nobody can be reading; takes milliseconds for each."""
        while self._dead:
            with self._lock:
                oldest = min(self._begun.values(), default=self._deaths)
                if not self._dead or self._dead[0][0] > oldest:
                    return
                _, segment = self._dead.popleft()
            self._remove(segment)
