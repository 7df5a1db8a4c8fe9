"""The last minutes in numbers, one step a second: of the fleet, and outcomes of each kind."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

from ..core.lifecycle import TaskState
from ..core.pool import Pool
from ..core.pool.tally import Tally
from ..handle import History

STEPS: Final = 300
"""Seconds that are kept."""
UNKNOWN: Final = -1.0
"""The latency of a second in which nothing ended."""
STALLED: Final = 10
"""Steps that are filled in when the clock has jumped; beyond that the curves begin anew."""


@dataclass(slots=True)
class _Rates:
    """Outcomes of one kind in each second, in a ring; and how many there have been."""

    ended: array[int]
    failed: array[int]
    """Failures among them."""
    total: int
    total_failed: int

    @classmethod
    def of(cls, tally: Tally) -> _Rates:
        empty = bytes(8 * STEPS)
        return cls(array("q", empty), array("q", empty), tally.done + tally.failed, tally.failed)

    def note(self, place: int, tally: Tally) -> None:
        """What came since goes to this place of the ring."""
        self.ended[place] = tally.done + tally.failed - self.total
        self.failed[place] = tally.failed - self.total_failed
        self.total, self.total_failed = tally.done + tally.failed, tally.failed


class Curves:
    """Call `step` often; it takes a value when a second has passed."""

    def __init__(self) -> None:
        self._columns = [deque[float](maxlen=STEPS) for _ in range(7)]
        self._kinds: dict[str, _Rates] = {}
        self._second: int | None = None
        self._accepted = self._settled = self._failed = self._cancelled = 0
        self._steps = 0

    def step(self, wall: float, pool: Pool, settled: int) -> bool:
        """Note how it is at `wall`; `settled` counts all outcomes ever. Says whether a second has passed."""
        second = int(wall)
        if self._second is None:
            self._begin(second, pool, settled)
        passed = second - (self._second or 0)
        if passed <= 0:
            if passed < -STALLED:
                self._begin(second, pool, settled)
            return False
        if passed > STALLED:
            self._begin(second - 1, pool, settled)
            passed = 1
        self._second = second
        self._note(passed, pool, settled)
        return True

    def _begin(self, second: int, pool: Pool, settled: int) -> None:
        for column in self._columns:
            column.clear()
        self._second, self._accepted, self._settled = second, pool.accepted, settled
        self._failed, self._cancelled = _failed(pool), pool.totals[TaskState.CANCELLED]
        self._kinds = {kind: _Rates.of(one) for kind, one in pool.tallies.kinds.items()}
        self._steps = 0

    def _note(self, passed: int, pool: Pool, settled: int) -> None:
        totals, latencies = pool.totals, pool.tallies.latencies
        failed, cancelled = _failed(pool), totals[TaskState.CANCELLED]
        new = (
            (settled - self._settled) / passed,
            (pool.accepted - self._accepted) / passed,
            totals[TaskState.QUEUED],
            totals[TaskState.RUNNING],
            median(latencies) if latencies else UNKNOWN,
            max(failed - self._failed, 0) / passed,
            max(cancelled - self._cancelled, 0) / passed,  # those that are long ago are forgotten
        )
        latencies.clear()
        self._settled, self._accepted = settled, pool.accepted
        self._failed, self._cancelled = failed, cancelled
        for _ in range(passed):
            for column, value in zip(self._columns, new, strict=True):
                column.append(value)
        for kind, tally in pool.tallies.kinds.items():
            rates = self._kinds.get(kind)
            if rates is None:
                rates = self._kinds[kind] = _Rates.of(Tally())
            for past in range(passed - 1):
                rates.ended[(self._steps + past) % STEPS] = rates.failed[(self._steps + past) % STEPS] = 0
            rates.note((self._steps + passed - 1) % STEPS, tally)
        self._steps += passed

    def rate(self, kind: str, seconds: int) -> float:
        """Outcomes per second of a kind over the last seconds."""
        rates, known = self._kinds.get(kind), min(seconds, self._steps)
        if rates is None or not known:
            return 0.0
        return sum(rates.ended[(self._steps - 1 - back) % STEPS] for back in range(known)) / known

    def recent(self, kind: str) -> tuple[int, int]:
        """Outcomes of a kind in the last minutes, and failures among them."""
        rates = self._kinds.get(kind)
        return (sum(rates.ended), sum(rates.failed)) if rates is not None else (0, 0)

    def history(self) -> History:
        """As it is shown."""
        finished, submitted, queued, running, latency, failed, cancelled = self._columns
        return History(
            start=float((self._second or 0) - len(finished)),
            finished=tuple(round(value, 2) for value in finished),
            submitted=tuple(round(value, 2) for value in submitted),
            queued=tuple(map(int, queued)),
            running=tuple(map(int, running)),
            latency=tuple(round(value, 6) for value in latency),
            failed=tuple(round(value, 2) for value in failed),
            cancelled=tuple(round(value, 2) for value in cancelled),
        )


def _failed(pool: Pool) -> int:
    """Failures of all kinds, ever."""
    return sum(one.failed for one in pool.tallies.kinds.values())
