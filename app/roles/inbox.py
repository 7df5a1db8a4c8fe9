"""The bounded queue in front of the single writer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import anyio

from ..core.stimuli import Beat, Stimulus

MAX_WEIGHT: Final = 20_000
"""Tasks that may wait to be decided on; beyond that, whoever brings more waits."""
MAX_BATCH: Final = 4_000
"""Tasks decided on at a time, about: bounds the latency of whatever comes next."""
UNIT_BYTES: Final = 4_096
"""Bytes of payloads and results that weigh as much as a task: they wait in memory too."""
WORKERS_SHARE: Final = 5
"""Workers wait only beyond so many times the weight: results free what submissions fill."""


def weight_of(bodies: Iterable[bytes | None]) -> int:
    """What these payloads or results weigh: one each, and more for large ones. At least 1."""
    count = size = 0
    for body in bodies:
        count += 1
        size += len(body) if body is not None else 0
    return max(1, count + size // UNIT_BYTES)


class Inbox:
    """Many put, one takes. Order is kept, but for signs of life, which come first in a batch."""

    def __init__(self, max_weight: int = MAX_WEIGHT) -> None:
        self._queue: deque[tuple[Stimulus, int]] = deque()
        self._weight = 0
        self._max_weight = max_weight
        self._beats: dict[int, None] = {}
        self._filled = anyio.Event()
        self._emptied = anyio.Event()

    @property
    def full(self) -> bool:
        """Whether `put` would wait."""
        return self._weight >= self._max_weight

    def put_nowait(self, stimulus: Stimulus, weight: int = 1) -> None:
        """For what must not wait, and comes once for each session: that it began, and that it ended."""
        self._queue.append((stimulus, weight))
        self._weight += weight
        self._filled.set()

    def beat(self, session: int) -> None:
        """A sign of life of a worker. One that was not looked at yet says as much as two."""
        self._beats[session] = None
        self._filled.set()

    async def put(self, stimulus: Stimulus, weight: int = 1, *, share: int = 1) -> None:
        """Wait for room, then queue it. `weight`: see `weight_of`; `share`: multiplies the bound."""
        while self._weight >= share * self._max_weight:
            if self._emptied.is_set():
                self._emptied = anyio.Event()
            await self._emptied.wait()
        self.put_nowait(stimulus, weight)

    async def wait(self, seconds: float) -> None:
        """Until something is there, or `seconds` have passed."""
        if not (self._queue or self._beats):
            if self._filled.is_set():
                self._filled = anyio.Event()
            with anyio.move_on_after(seconds):
                await self._filled.wait()

    def take(self) -> list[Stimulus]:
        """What is there, up to a batch."""
        batch: list[Stimulus] = [Beat(session) for session in self._beats]
        self._beats.clear()
        taken = 0
        queue = self._queue
        while queue and taken < MAX_BATCH:
            stimulus, weight = queue.popleft()
            batch.append(stimulus)
            taken += weight
        self._weight -= taken
        if not queue:
            self._filled = anyio.Event()
        if taken:
            self._emptied.set()
        return batch
