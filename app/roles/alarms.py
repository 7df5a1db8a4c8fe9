"""What an operator should look at, worked out from the facts of the moment. Remembers only since when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ..core.pool.reasons import Wait
from ..core.text import count as number_of
from ..core.text import printable
from ..handle import Alarm, WorkerRow
from .conduct import Offender

IDLE_SECONDS: Final = 5.0
"""Workers may be idle beside a full queue for so long before that is strange."""
RETURN_SECONDS: Final = 5.0
"""After a restart workers have so long to come back before their absence is an alarm."""
MOST: Final = 100
"""Alarms at a time."""
FAILING: Final = 0.5
"""Share of the outcomes of a kind that may be failures."""
ENOUGH: Final = 20
"""Outcomes of a kind before its share says anything."""
STUCK_SHOWN: Final = 3
"""Tasks that do not stop which an alarm names."""
_ABSENT: Final = frozenset({"no_worker", "no_target", "away"})
_Key = tuple[str, str]


@dataclass(slots=True)
class Facts:
    """What alarms are worked out from."""

    degraded: str = ""
    """What keeps the manager from accepting tasks."""
    paused: bool = False
    """The whole fleet is."""
    waits: tuple[Wait, ...] = ()
    """Why the tasks of each queue wait."""
    workers: tuple[WorkerRow, ...] = ()
    """Those that are here, or whose leases hold."""
    idle: dict[str, int] = field(default_factory=dict)
    """By kind: connected workers that offer it and run nothing, though they would take more."""
    recent: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By kind: outcomes, and failures among them, of the last minutes."""
    pending: int = 0
    """Members that wait for approval."""
    pending_since: float = 0.0
    """When the first of them joined."""
    offenders: tuple[Offender, ...] = ()
    data: str = ""
    """What is wrong with the data as a whole."""


@dataclass(slots=True)
class _Found:
    """An alarm that holds."""

    alarm: Alarm
    since: float = 0.0
    """It cannot have begun before (wall clock); 0 when that is not known."""
    exact: bool = False
    """It began just then."""
    after: float = 0.0
    """It has to hold for so long before it is shown."""


class Alarms:
    """Keeps since when each alarm holds."""

    def __init__(self) -> None:
        self.began: list[Alarm] = []
        """Those that the last look was the first to show."""
        self.ended: list[Alarm] = []
        """Those that the last look did not show any more."""
        self._since: dict[_Key, float] = {}
        self._shown: dict[_Key, Alarm] = {}
        self._looked: float | None = None
        self._returned = 0.0
        """Wall clock: until then workers may come back."""

    def now(self, facts: Facts, wall: float) -> tuple[Alarm, ...]:
        """Those that hold at this moment, errors first, then the oldest.

        Each is as old as what it tells of: no younger than the look before the one that found it, and where
        nobody looked before, as old as the oldest task that waits.
        """
        if self._looked is None and facts.waits:
            self._returned = wall + RETURN_SECONDS
        found = {(one.alarm.code, one.alarm.scope): one for one in _all(facts)}
        self._since = {key: self._began(key, one, wall) for key, one in found.items()}
        self._looked = wall
        shown: dict[_Key, Alarm] = {}
        for key, one in found.items():
            since, alarm = self._since[key], one.alarm
            if wall - since < one.after or (wall < self._returned and alarm.code in _ABSENT):
                continue
            shown[key] = Alarm(alarm.level, alarm.code, alarm.text, since, alarm.scope)
        self.began = [alarm for key, alarm in shown.items() if key not in self._shown]
        self.ended = [alarm for key, alarm in self._shown.items() if key not in shown]
        self._shown = shown
        alarms = sorted(shown.values(), key=lambda one: (one.level != "error", one.since, one.scope))
        return tuple(alarms[:MOST])

    def _began(self, key: _Key, one: _Found, wall: float) -> float:
        own = min(one.since, wall)
        if one.exact and own:
            return own
        if key in self._since:
            return self._since[key]
        if not own or one.after:  # nothing tells how long workers were idle
            return wall
        return own if self._looked is None else max(own, min(self._looked, wall))


def _all(facts: Facts) -> Iterator[_Found]:
    if facts.degraded:
        yield _Found(Alarm("error", "degraded", f"nothing is accepted: {facts.degraded}", 0.0))
    if facts.data:
        yield _Found(Alarm("error", "data", facts.data, 0.0))
    queued = sum(wait.count for wait in facts.waits)
    if facts.paused and queued:
        text = f"the fleet is paused: {_tasks(queued)}"
        yield _Found(Alarm("warning", "paused", text, 0.0, "all"), _oldest(facts.waits))
    else:
        yield from _of_queues(facts)
    for kind, (ended, failed) in facts.recent.items():
        if ended >= ENOUGH and failed / ended > FAILING:
            text = f"`{kind}`: {failed:,} of the last {ended:,} tasks failed"
            yield _Found(Alarm("warning", "failing", text, 0.0, f"kind:{kind}"))
    if facts.pending:
        yield _Found(Alarm("warning", "pending", pending_words(facts.pending), 0.0), facts.pending_since)
    for one in facts.offenders:
        text = (
            f"{one.role} {one.peer} broke the protocol {one.crimes} times ({printable(one.last, 100)}):"
            f" `taskmessenger worker revoke {one.peer}` ends that"
        )
        yield _Found(Alarm("warning", "misbehaves", text, 0.0, f"{one.role}:{one.peer}"))
    for worker in facts.workers:
        yield from _of_worker(worker)


def _of_worker(worker: WorkerRow) -> Iterator[_Found]:
    scope = f"worker:{worker.id}"
    if worker.state == "away":
        still = number_of(worker.held, "lease holds", "leases hold")
        text = f"worker {worker.id} is away: its {still} a while longer"
        yield _Found(Alarm("warning", "away", text, 0.0, scope))
    elif worker.state == "quarantined":
        text = f"worker {worker.id} is in quarantine: it broke the rules of its leases; you may revoke it"
        yield _Found(Alarm("error", "quarantined", text, 0.0, scope))
    if worker.stuck:
        since = min(moment for _, _, moment in worker.stuck)
        yield _Found(Alarm("warning", "stuck", stuck_words(worker), 0.0, scope), since, exact=True)


def stuck_words(worker: WorkerRow) -> str:
    """Which tasks do not stop there, and what to do about it."""
    many = len(worker.stuck)
    names = ", ".join(f"task {task} of `{kind}`" for task, kind, _ in worker.stuck[:STUCK_SHOWN])
    more = f" and {many - STUCK_SHOWN} more" if many > STUCK_SHOWN else ""
    does = (
        "does not stop and keeps its slot" if many == 1 else f"do not stop and keep {number_of(many, 'slot')}"
    )
    return f"worker {worker.id}: {names}{more} {does}: restart the worker to free that"


def _of_queues(facts: Facts) -> Iterator[_Found]:
    """By kind; of tasks that are for one worker, by worker."""
    groups: dict[tuple[str, str], list[Wait]] = {}
    queued: dict[str, int] = {}
    for wait in facts.waits:
        if wait.reason.is_ordinary:
            if wait.target is None and wait.reason.code == "turn":
                queued[wait.kind] = queued.get(wait.kind, 0) + wait.count
            continue
        scope = f"kind:{wait.kind}" if wait.target is None else f"worker:{wait.target}"
        groups.setdefault((wait.reason.code, scope), []).append(wait)
    for (code, scope), waits in groups.items():
        count = sum(wait.count for wait in waits)
        text = f"{_tasks(count)}: {waits[0].reason.text}"
        yield _Found(Alarm("warning", code, text, 0.0, scope), _oldest(waits))
    for kind, count in queued.items():
        idle = facts.idle.get(kind, 0)
        if idle:
            who = (
                "a worker that offers it is"
                if idle == 1
                else f"{number_of(idle, 'worker')} that offer it are"
            )
            text = f"`{kind}`: {_tasks(count)} although {who} idle"
            yield _Found(Alarm("warning", "idle", text, 0.0, f"kind:{kind}"), after=IDLE_SECONDS)


def pending_words(number: int) -> str:
    """As `1 member waits for approval`."""
    return f"{number_of(number, 'member waits', 'members wait')} for approval"


def _oldest(waits: Iterable[Wait]) -> float:
    return min((wait.since for wait in waits), default=0.0)


def _tasks(count: int) -> str:
    return number_of(count, "task waits", "tasks wait")
