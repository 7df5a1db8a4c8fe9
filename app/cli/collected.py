"""Outcomes on their way from the link to the output: they come in any order and leave in one.

Kept is what fits into a bound of bytes; of the rest is only known that it has ended, and it is asked for
again when its turn has come. So many tasks with large results cost no more memory than a few.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import anyio

from ..core.errors import NotFound
from ..core.lifecycle import TaskState

if TYPE_CHECKING:
    from ..handle import Outcome
    from ..remote import Remote

KEPT_BYTES: Final = 64 * 1024 * 1024
"""Of outcomes that wait for their turn, unless one is larger: it is kept when its turn has come."""
FETCH_BYTES: Final = 16 * 1024 * 1024
FETCH_TASKS: Final = 100
"""Of outcomes that are asked for again at a time, unless one is larger."""
BATCH_BYTES: Final = 256 * 1024
"""Of outcomes that leave at a time, about."""
OVERHEAD: Final = 500
"""Bytes that an outcome takes beside its result."""
_OPEN, _KEPT, _LEFT, _GONE = range(4)
"""A task has not ended; its outcome is here; it ended, and has to be asked how; its outcome has left."""

Batch = list[tuple[int, "Outcome"]]
"""Places in the input, and what became of what is there."""


class Collected:
    """The outcomes of one command."""

    def __init__(self, ids: Sequence[int], *, in_order: bool) -> None:
        self.ids = ids
        self.ended = self.failed = 0
        """Of the tasks, one for each place."""
        self._state = bytearray(len(ids))
        self._sizes = array("Q", bytes(8 * len(ids)))
        self._kept: dict[int, Outcome] = {}
        self._bytes = 0
        self._next, self._in_order = 0, in_order
        self._arrived: deque[int] = deque()
        self._first_open = 0
        self._places = None if _ascends(ids) else _places(ids)
        self._came = anyio.Event()

    @property
    def complete(self) -> bool:
        """Whether all have ended and their outcomes have left."""
        return self._next == len(self.ids)

    @property
    def kept(self) -> int:
        """Bytes that wait here."""
        return self._bytes

    def first_open(self) -> int | None:
        """The id of the first task that has not ended."""
        while self._first_open < len(self.ids) and self._state[self._first_open] != _OPEN:
            self._first_open += 1
        return self.ids[self._first_open] if self._first_open < len(self.ids) else None

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """These have ended. One that comes twice counts once.

        Called by the link, so it must not print: an output that fails would look like a link that broke.
        """
        for outcome in outcomes:
            for place in self._where(outcome.id):
                if self._state[place] == _OPEN:
                    self._add(place, outcome)
        came, self._came = self._came, anyio.Event()
        came.set()

    def _add(self, place: int, outcome: Outcome) -> None:
        size = len(outcome.result or b"") + OVERHEAD
        self.ended += 1
        self.failed += outcome.state != TaskState.SUCCEEDED
        self._sizes[place] = size
        if not self._in_order:
            self._arrived.append(place)
        if self._bytes + size <= KEPT_BYTES or (self._in_order and place == self._next):
            self._state[place] = _KEPT
            self._kept[place] = outcome
            self._bytes += size
        else:
            self._state[place] = _LEFT

    async def room(self, asked: int, most: int) -> None:
        """Until of so many tasks that were asked for fewer than `most` are open."""
        while asked - self.ended >= most:
            await self._came.wait()

    async def batch(self, remote: Remote) -> Batch:
        """The next outcomes whose turn it is; waits for the first of them."""
        while (front := self._front()) is None:
            await self._came.wait()
        if self._state[front] == _LEFT:
            return await self._again(remote, self._run_of(_LEFT, FETCH_BYTES, FETCH_TASKS))
        found: Batch = []
        for place in self._run_of(_KEPT, BATCH_BYTES, len(self.ids)):
            found.append((place, self._kept.pop(place)))
            self._bytes -= self._sizes[place]
        return found

    async def _again(self, remote: Remote, places: list[int]) -> Batch:
        found = {one.id: one for one in await remote.outcomes([self.ids[place] for place in places])}
        for place in places:
            if self.ids[place] not in found:
                raise NotFound(f"the outcome of task {self.ids[place]} is not kept any more")
        return [(place, found[self.ids[place]]) for place in places]

    def _run_of(self, state: int, size: int, most: int) -> list[int]:
        """Those whose turn it is and that are in this state; they leave now."""
        places: list[int] = []
        total = 0
        while len(places) < most and (place := self._front()) is not None and self._state[place] == state:
            total += self._sizes[place]
            if places and total > size:
                break
            places.append(place)
            self._state[place] = _GONE
            self._next += 1
            if not self._in_order:
                self._arrived.popleft()
        return places

    def _front(self) -> int | None:
        """The place whose turn it is, if its task has ended."""
        if not self._in_order:
            return self._arrived[0] if self._arrived else None
        is_there = self._next < len(self.ids) and self._state[self._next] != _OPEN
        return self._next if is_there else None

    def _where(self, task_id: int) -> Iterable[int]:
        """The places of a task; none of one that is not ours."""
        if self._places is not None:
            return self._places.get(task_id, ())
        place = bisect_left(self.ids, task_id)
        return (place,) if place < len(self.ids) and self.ids[place] == task_id else ()


def _ascends(ids: Sequence[int]) -> bool:
    return all(ids[n] < ids[n + 1] for n in range(len(ids) - 1))


def _places(ids: Sequence[int]) -> dict[int, list[int]]:
    """Where each id is: with keys a task may be there several times."""
    found: dict[int, list[int]] = {}
    for place, task_id in enumerate(ids):
        found.setdefault(task_id, []).append(place)
    return found
