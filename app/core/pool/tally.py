"""Counts and samples by kind and by worker, for whoever looks at the fleet. Nothing is decided by it."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..stimuli import Options
from .conduct import Share

KINDS: Final = 1_000
"""Kinds that are told apart; what comes after them is counted with nobody."""
WORKERS: Final = 10_000
"""The same for workers, whether they are here or have left."""
SAMPLES: Final = 256
"""Newest durations that are kept of each kind, and newest latencies of all."""


class Tally:
    """What became of the tasks of one kind since the manager started."""

    __slots__ = ("done", "failed", "seconds")

    def __init__(self) -> None:
        self.done = self.failed = 0
        self.seconds: deque[float] = deque(maxlen=SAMPLES)
        """How long successful runs took: of those of a group that ended together only the first."""


class Tallies:
    """All kinds, all workers."""

    def __init__(self) -> None:
        self.kinds: dict[str, Tally] = {}
        self.workers: dict[str, Share] = {}
        self.latencies: deque[float] = deque(maxlen=SAMPLES)
        """Seconds from submission to success, sampled in the same way."""

    def of(self, kind: str) -> Tally:
        """The tally of a kind; one that is thrown away when there are too many."""
        tally = self.kinds.get(kind)
        if tally is None:
            tally = Tally()
            if len(self.kinds) < KINDS:
                self.kinds[kind] = tally
        return tally

    def worker(self, worker_id: str) -> Share:
        """The share of a worker; one that is thrown away when there are too many."""
        share = self.workers.get(worker_id)
        if share is None:
            share = Share()
            if len(self.workers) < WORKERS:
                self.workers[worker_id] = share
        return share

    def succeeded(self, options: Options | None, count: int) -> None:
        """So many of one group did."""
        if options is not None:
            self.of(options.kind).done += count

    def sample(self, kind: str, seconds: float, latency: float) -> None:
        """One of those that succeeded just now ran, and took, so long."""
        self.of(kind).seconds.append(seconds)
        self.latencies.append(latency)
