"""How much a worker is trusted with: room grows with what it has ended, and shrinks when it breaks the rules.

Nothing here ends a lease; `overdue` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .machine import Pool
    from .state import Worker

FIRST_ROOM: Final = 64
"""Leases that a worker may hold before it has ended any. Each that it ends makes room for one more."""
BEGUN_ROOM: Final = 16
"""More of them with every look, while all that it holds has begun: it may have many slots and long tasks."""
MAX_ROOM: Final = 100_000
"""Leases that one worker may hold, whatever it says it can take."""
OFFENCES: Final = 3
"""Broken rules after which a worker is put in quarantine."""
QUARANTINE_SECONDS: Final = 60.0
"""The first time; twice as long each time after that."""
QUARANTINE_MOST: Final = 3600.0
FORGIVEN: Final = 100
"""Successes after which what a worker did wrong counts one quarantine less, and no offence."""


class Share:
    """What one worker has done of it; kept when it leaves, so that it goes on when it is back."""

    __slots__ = ("barred_until", "bars", "done", "failed", "good", "offences", "room")

    def __init__(self) -> None:
        self.done = self.failed = 0
        self.room = FIRST_ROOM
        """Leases that it may hold at most."""
        self.offences = 0
        """Since its last quarantine."""
        self.bars = 0
        """Quarantines that are not forgiven."""
        self.good = 0
        """Successes since something was forgiven."""
        self.barred_until: float | None = None
        """Monotonic: the end of its quarantine."""


def cap(pool: Pool, worker: Worker) -> None:
    """Have it take what it offers, or less by the will of an operator: then it prefetches nothing either.

    It starts leases as it has slots, so those that wait with it could run beside each other.
    """
    worker.capacity, worker.limit = worker.offered
    most = pool.caps.get(worker.id)
    if most is not None and most < worker.capacity:
        worker.capacity = worker.limit = most
    share = worker.share
    worker.limit = 0 if share.barred_until is not None else min(worker.limit, share.room)


def succeeded(pool: Pool, worker: Worker, count: int) -> None:
    """It has done so many tasks. Once for each batch."""
    share = worker.share
    share.done += count
    if share.room < worker.offered[1]:
        _grow(pool, worker, count)
    if share.offences or share.bars:
        share.good += count
        if share.good >= FORGIVEN:
            share.good = share.offences = 0
            share.bars = max(0, share.bars - 1)


def failed(pool: Pool, worker: Worker) -> None:
    """It has ended one in another way: that was work too."""
    worker.share.failed += 1
    if worker.share.room < worker.offered[1]:
        _grow(pool, worker, 1)


def _grow(pool: Pool, worker: Worker, count: int) -> None:
    worker.share.room = min(worker.share.room + count, MAX_ROOM)
    cap(pool, worker)


def slow(pool: Pool, worker: Worker) -> None:
    """It left waiting what others could have done: half the room."""
    worker.share.room = max(1, min(worker.share.room, worker.limit or worker.share.room) // 2)
    cap(pool, worker)


def offence(pool: Pool, worker: Worker, why: str) -> None:
    """It broke a rule: half the room; and nothing more for a time, when that was not the first."""
    share = worker.share
    share.offences += 1
    share.good = 0
    if share.offences >= OFFENCES and share.barred_until is None:
        seconds = min(QUARANTINE_SECONDS * 2.0 ** min(share.bars, 16), QUARANTINE_MOST)
        share.barred_until = (pool.last_now or 0.0) + seconds
        share.bars += 1
        share.offences = 0
        pool.events.append(("quarantined", worker.id, (), f"{seconds:.0f} s: {why}"))
    slow(pool, worker)


def look(pool: Pool, worker: Worker, now: float) -> None:
    """Quarantine ends; and who begins all that it gets may have more."""
    share = worker.share
    if share.barred_until is not None and share.barred_until <= now:
        share.barred_until = None
        pool.events.append(("readmitted", worker.id, (), ""))
        cap(pool, worker)
    full = len(worker.running) >= worker.limit > 0
    if full and len(worker.held) == len(worker.running) and share.room < worker.offered[1]:
        _grow(pool, worker, BEGUN_ROOM)
