"""What attempts wrote, for the store that forgets everything with the process; bounded as on disk."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.commit import OutputRow
from ..handle import TaskOutput
from .outputs import OutputBounds


class MemoryOutputs:
    """Of all tasks."""

    def __init__(self, bounds: OutputBounds | None = None) -> None:
        self.bounds = bounds or OutputBounds()
        self._kept: dict[int, dict[int, tuple[int, bytes]]] = {}
        """By task and attempt: how many bytes it wrote, and the last of them."""

    def write(self, rows: Iterable[OutputRow]) -> None:
        """Keep these pieces."""
        for task, attempt, start, data in rows:
            attempts = self._kept.setdefault(task, {})
            end, before = attempts.get(attempt, (0, b""))
            if start < end:
                continue  # it is there already
            whole = (before if start == end else b"") + data
            most = self.bounds.attempt
            attempts[attempt] = (start + len(data), whole[max(0, len(whole) - most) :])
            for old in sorted(attempts, reverse=True)[self.bounds.attempts :]:
                del attempts[old]
        self._make_room()

    def _make_room(self) -> None:
        """The oldest goes when there is too much of all."""
        total = sum(len(data) for attempts in self._kept.values() for _, data in attempts.values())
        for attempts in self._kept.values():
            for attempt, (end, data) in attempts.items():
                if total <= self.bounds.in_all:
                    return
                attempts[attempt] = (end, b"")
                total -= len(data)

    def forget(self, task: int) -> None:
        """This task is gone."""
        self._kept.pop(task, None)

    def read(self, task: int, attempt: int, most: int) -> TaskOutput | None:
        """As `outputs.read`."""
        attempts = self._kept.get(task)
        if not attempts:
            return None
        written = tuple((number, end, len(data)) for number, (end, data) in sorted(attempts.items()))
        attempt = attempt or written[-1][0]
        if attempt not in attempts:
            return TaskOutput(task, attempt, written=written)
        end, data = attempts[attempt]
        data = data[max(0, len(data) - most) :]
        return TaskOutput(task, attempt, end - len(data), data, written)
