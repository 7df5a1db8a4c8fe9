"""Counts and samples by kind and by worker, for whoever looks at the fleet. Nothing is decided by it.

Counts outlive a restart: they are written down now and then, and what has ended since is counted there.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from ..lifecycle import TaskState
from ..stimuli import Options
from .conduct import Share

KINDS: Final = 1_000
"""Kinds that are told apart; what comes after them is counted with nobody."""
WORKERS: Final = 10_000
"""The same for workers, whether they are here or have left."""
SAVE_SECONDS: Final = 10.0
"""Between two times that the counts are written down."""
SAMPLES: Final = 256
"""Newest durations that are kept of each kind, and newest latencies of all."""


class Tally:
    """What became of the tasks of one kind; their seconds since the manager started."""

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
        self._saved_at: float | None = None
        self._saved = 0

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

    def to_save(self, now: float, wall: float) -> str | None:
        """The counts as text, when it is time and something was counted since; `now` is monotonic."""
        if self._saved_at is None or now - self._saved_at < SAVE_SECONDS:
            self._saved_at = now if self._saved_at is None else self._saved_at
            return None
        self._saved_at = now
        every: list[Tally | Share] = [*self.kinds.values(), *self.workers.values()]
        counted = sum(one.done + one.failed for one in every)
        if counted == self._saved:
            return None
        self._saved = counted
        kinds = {name: [one.done, one.failed] for name, one in self.kinds.items()}
        workers = {name: [one.done, one.failed] for name, one in self.workers.items()}
        return json.dumps({"at": wall, "kinds": kinds, "workers": workers})

    def recover(self, text: str, ended: Iterable[tuple[str, str | None, int, int]]) -> None:
        """Go on from what was saved, and from what has ended since: kind, worker, state, how many."""
        saved: Mapping[str, Mapping[str, list[int]]] = json.loads(text)
        for name, (done, failed) in saved.get("kinds", {}).items():
            kind = self.of(name)
            kind.done, kind.failed = done, failed
        for name, (done, failed) in saved.get("workers", {}).items():
            share = self.worker(name)
            share.done, share.failed = done, failed
        for name, worker, state, number in ended:
            counts: list[Tally | Share] = [self.of(name)]
            counts += [self.worker(worker)] if worker is not None else []
            for one in counts:
                one.done += number if state == TaskState.SUCCEEDED else 0
                one.failed += number if state in {TaskState.FAILED, TaskState.TIMED_OUT} else 0
