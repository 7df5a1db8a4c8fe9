"""Who may run now, and who waits for a turn: bounded, in order, and each can be called off while waiting.

Used on the event loop's thread only.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from ..core.text import count
from .base import CANCELLED, Ended, Job
from .endings import cut_short, refused

MAX_WAITING: Final = 10_000
"""Jobs that may wait for a turn; a worker never sends so many, so more of them are a fault."""


class Turns:
    """Up to `size` at a time."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.taken = 0
        """Turns that are out."""
        self._waiting: OrderedDict[int, asyncio.Future[bool]] = OrderedDict()
        self._granted: dict[int, bool] = {}
        """Has a turn but does not know yet; whether it may keep it."""
        self._closed = False

    def take_now(self) -> bool:
        """Take a turn if one is free."""
        if self.taken >= self._size or self._closed:
            return False
        self.taken += 1
        return True

    async def take(self, job: Job) -> Ended | None:
        """Wait for a turn and take it. How the job ended when it got none."""
        if self.take_now():
            return None
        if self._closed:
            return cut_short(CANCELLED, job, None, 0.0)
        if len(self._waiting) >= MAX_WAITING:
            return refused(
                "overloaded", f"{count(len(self._waiting), 'job')} in line already for a slot of this worker"
            )
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[job.task] = turn
        try:
            granted = await turn
        except asyncio.CancelledError:
            self._waiting.pop(job.task, None)
            if self._granted.pop(job.task, None) is not None:
                self.give_back()  # it was granted in the moment the caller went away
            raise
        if granted and self._granted.pop(job.task):
            return None
        if granted:
            self.give_back()
        return cut_short(CANCELLED, job, None, 0.0)

    def give_back(self) -> None:
        """A turn is free again: the longest waiting one gets it."""
        while self._waiting:
            task, turn = self._waiting.popitem(last=False)
            if not turn.done():
                self._granted[task] = True
                turn.set_result(True)
                return
        self.taken -= 1

    def cancel(self, task: int) -> bool:
        """Call off one that waits; says whether it did wait."""
        if task in self._granted:
            self._granted[task] = False
            return True
        turn = self._waiting.pop(task, None)
        if turn is None:
            return False
        if not turn.done():
            turn.set_result(False)
        return True

    def close(self) -> None:
        """Nobody gets a turn any more."""
        self._closed = True
        for task in [*self._waiting, *self._granted]:
            self.cancel(task)
