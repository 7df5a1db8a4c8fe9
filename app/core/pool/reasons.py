"""Why queued tasks do not run, in words: from what the pool knows of pauses, workers and their slots.

Decides nothing, and changes nothing. Reasons are worked out for whole queues, so that they cost as much as
there are workers and queues, however many tasks wait in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..lifecycle import TaskState
from ..text import count

if TYPE_CHECKING:
    from .lanes import Lane, Level
    from .machine import Pool
    from .state import Worker

MOST_LANES: Final = 1_000
"""Queues that are looked at in one go."""
MOST_SUSPECTS: Final = 1_000
"""Tasks to be run alone that are looked at in one go."""
LOOKED_AT: Final = 64
"""Entries of a queue among which its oldest task is looked for."""
ORDINARY: Final = frozenset({"turn", "alone", "later", "new"})
"""Codes of reasons that pass by themselves."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something waits."""

    code: str
    """turn, alone, later, new (those pass by themselves); stopping, paused, no_worker, away, leaving,
    quarantined, stuck, no_slot, no_target."""
    text: str

    @property
    def is_ordinary(self) -> bool:
        """Whether it passes by itself: nobody has to do anything."""
        return self.code in ORDINARY


@dataclass(frozen=True, slots=True)
class Wait:
    """Tasks of one queue, and why they wait."""

    kind: str
    target: str | None
    count: int
    reason: Reason
    since: float
    """When the oldest of them was submitted (wall clock); 0 when that is not known."""

    @property
    def text(self) -> str:
        """As `12 tasks wait: no worker offers `foo``."""
        return f"{count(self.count, 'task waits', 'tasks wait')}: {self.reason.text}"


_Standing = tuple[str, str, str]
"""Code, and words of one worker and of several."""
_TURN: Final = Reason("turn", "its turn")
_BUSY: Final = Reason("turn", "its turn: all slots that could run it are busy")
_ALONE: Final = Reason(
    "alone", "it ran on a worker that died, and waits for one that is idle to run it alone"
)
_DELAYED: Final = Reason("later", "it is due later: its delay is not over")
_BACKOFF: Final = Reason("later", "it is due later: the time before its next attempt is not over")
_AWAY: Final = ("away", "is away", "are away")
_LEAVING: Final = ("leaving", "is leaving", "are leaving")
_BARRED: Final = ("quarantined", "is in quarantine", "are in quarantine")
_OWN: Final = ("paused", "is paused by its own operator", "are paused by their own operators")
_PAUSED: Final = ("paused", "is paused", "are paused")
_NEW: Final = ("new", "has just connected", "have just connected")
_CAPPED: Final = (
    "no_slot",
    "may have no tasks, for its limit is 0",
    "may have no tasks, for their limit is 0",
)
_STUCK: Final = (
    "stuck",
    "has all its slots taken by tasks that do not stop",
    "have all their slots taken by tasks that do not stop",
)
_SLOTLESS: Final = (
    "no_slot",
    "has no slot that can run anything (see its log)",
    "have no slot that can run anything (see their logs)",
)
_FULL: Final = ("no_slot", "takes no tasks just now (see its log)", "take no tasks just now (see their logs)")
_ENDING: Final = (
    "no_slot",
    "has not let go of tasks that were cancelled or taken back",
    "have not let go of tasks that were cancelled or taken back",
)
_GONE: Final = {
    "revoked": "was revoked",
    "pending": "waits for approval",
    "offline": "is offline",
}


def standing(pool: Pool, worker: Worker) -> _Standing | None:
    """What keeps this worker from taking tasks, except that it is busy; None when there is nothing."""
    if worker.session is None:
        return _AWAY
    if worker.draining:
        return _LEAVING
    if worker.share.barred_until is not None:
        return _BARRED
    if worker.paused:
        return _OWN
    if f"worker:{worker.id}" in pool.paused:
        return _PAUSED
    return _without_room(pool, worker)


def _without_room(pool: Pool, worker: Worker) -> _Standing | None:
    if not worker.synced:
        return _NEW
    if worker.limit > 0:
        held_up = worker.taken >= worker.limit and not any(map(pool.tasks.__contains__, worker.held))
        return _ENDING if held_up else None
    if pool.caps.get(worker.id) == 0:
        return _CAPPED
    if worker.offered[0] == 0:
        return _STUCK if worker.stuck else _SLOTLESS
    return _FULL


class Reasons:
    """Of one moment: ask for as many queues as you like, and throw it away before the pool changes."""

    def __init__(self, pool: Pool, members: Mapping[str, str] | None = None) -> None:
        """`members`: how those are that have joined: `offline`, `pending` or `revoked`; None: not known."""
        self._pool, self._members = pool, members
        self._offers: dict[str, list[Worker]] = {}
        self._here = 0
        for worker in pool.workers.values():
            self._here += worker.session is not None
            for kind in worker.kinds:
                self._offers.setdefault(kind, []).append(worker)
        self._known: dict[tuple[str, str | None], Reason] = {}

    def of(self, kind: str, target: str | None = None, *, suspect: bool = False) -> Reason:
        """Why queued tasks of this kind, for this worker or for all, do not run."""
        key = (kind, target)
        reason = self._known.get(key)
        if reason is None:
            reason = self._known[key] = self._of(kind, target)
        return _ALONE if suspect and reason.is_ordinary else reason

    def of_task(self, task_id: int) -> Reason | None:
        """Why this task does not run; None when it does, or is not open."""
        task = self._pool.tasks.get(task_id)
        if task is None:
            series = self._pool.backlog.find(task_id)
            return None if series is None else self.of(series.options.kind, series.options.target)
        if task.state is TaskState.SCHEDULED:
            return _BACKOFF if task.attempt else _DELAYED
        if task.state is not TaskState.QUEUED:
            return None
        return self.of(task.options.kind, task.options.target, suspect=task.suspect)

    def _of(self, kind: str, target: str | None) -> Reason:
        pool = self._pool
        if pool.stopping:
            return Reason("stopping", "the manager is stopping")
        if "all" in pool.paused:
            return Reason("paused", "the fleet is paused")
        if f"kind:{kind}" in pool.paused:
            return Reason("paused", f"kind `{kind}` is paused")
        return self._of_all(kind) if target is None else self._of_one(kind, target)

    def _of_one(self, kind: str, target: str) -> Reason:
        who = f"worker {target}, the only one that may"
        worker = self._pool.workers.get(target)
        if worker is None:
            if self._members is None:
                return Reason("no_target", f"{who}, is not connected")
            state = self._members.get(target)
            gone = _GONE.get(state or "", "does not exist: see `taskmessenger worker ls`")
            return Reason("no_target", f"{who}, {gone}")
        what = standing(self._pool, worker)
        if what is None and kind not in worker.kinds:
            return Reason("no_target", f"{who}, does not offer `{kind}`")
        if what is not None:
            return Reason(what[0], f"{who}, {what[1]}")
        return _TURN if worker.credit else _BUSY

    def _of_all(self, kind: str) -> Reason:
        able = self._offers.get(kind, [])
        here = [worker for worker in able if worker.session is not None]
        if not here:
            return self._nobody(kind, able)
        counts: Counter[_Standing] = Counter()
        for worker in here:
            what = standing(self._pool, worker)
            if what is None:
                return _TURN if any(one.credit for one in here) else _BUSY
            counts[what] += 1
        if len(here) == 1:
            ((code, words, _),) = counts
            return Reason(code, f"worker {here[0].id}, the only one that offers `{kind}`, {words}")
        if len(counts) == 1:
            ((code, words, _),) = counts
            return Reason(code, f"every worker that offers `{kind}` {words}")
        # With one that has only just come it may be over in a moment.
        code = "new" if _NEW in counts else counts.most_common(1)[0][0][0]
        told = ", ".join(f"{many} {one if many == 1 else more}" for (_, one, more), many in counts.items())
        return Reason(code, f"no worker that offers `{kind}` takes tasks: {told}")

    def _nobody(self, kind: str, away: Sequence[Worker]) -> Reason:
        if away:
            who = away[0].id if len(away) == 1 else count(len(away), "worker")
            does = "is away" if len(away) == 1 else "are away"
            return Reason("away", f"no worker offers `{kind}` now: {who}, which did, {does}")
        if not self._here:
            return Reason("no_worker", f"no worker offers `{kind}`: none is connected")
        return Reason("no_worker", f"no worker offers `{kind}`")


def waits(pool: Pool, members: Mapping[str, str] | None = None) -> tuple[list[Wait], int]:
    """Of each queue why its tasks wait; and how many queues were not looked at, for there are so many."""
    reasons = Reasons(pool, members)
    found = [
        Wait(kind, target, lane.size, reasons.of(kind, target), _oldest(pool, lane))
        for (kind, target), lane in islice(pool.lanes.items(), MOST_LANES)
        if lane.size > 0
    ]
    alone: dict[tuple[str, str | None], list[float]] = {}
    for task_id in pool.suspects[:MOST_SUSPECTS]:
        task = pool.tasks.get(task_id)
        if task is not None and task.state is TaskState.QUEUED:
            alone.setdefault((task.options.kind, task.options.target), []).append(task.submitted)
    found += [
        Wait(kind, target, len(since), reasons.of(kind, target, suspect=True), min(since))
        for (kind, target), since in alone.items()
    ]
    return found, max(0, len(pool.lanes) - MOST_LANES)


def _oldest(pool: Pool, lane: Lane) -> float:
    """When the oldest task of a queue was submitted; 0 when it would take too long to find it."""
    return min((one for level in lane.levels.values() for one in _oldest_of(pool, level)), default=0.0)


def _oldest_of(pool: Pool, level: Level) -> Iterator[float]:
    if level.waiting:
        yield level.waiting[0][2].submitted
    for task_id in level.heap[:LOOKED_AT]:  # a heap: the first that still waits is about the oldest
        task = pool.tasks.get(task_id)
        if task is not None and task.state is TaskState.QUEUED and task_id not in level.moved:
            yield task.submitted
            return
