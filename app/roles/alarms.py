"""What an operator should look at, worked out from the facts of the moment. Remembers only since when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ..core.text import printable
from ..handle import Alarm, KindRow, PoolStatus, WorkerRow
from .conduct import Offender

IDLE_SECONDS: Final = 5.0
"""Workers may be idle beside a full queue for so long before that is strange."""
MOST: Final = 100
"""Alarms at a time."""
FAILING: Final = 0.5
"""Share of the outcomes of a kind that may be failures."""
ENOUGH: Final = 20
"""Outcomes of a kind before its share says anything."""
_Key = tuple[str, str]


@dataclass(slots=True)
class Facts:
    """What alarms are worked out from."""

    status: PoolStatus
    kinds: tuple[KindRow, ...]
    workers: tuple[WorkerRow, ...]
    idle: dict[str, int] = field(default_factory=dict)
    """By kind: connected workers that offer it and run nothing, though they would take more."""
    recent: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By kind: outcomes, and failures among them, of the last minutes."""
    pending: int = 0
    """Members that wait for approval."""
    offenders: tuple[Offender, ...] = ()
    data: str = ""
    """What is wrong with the data as a whole."""


class Alarms:
    """Keeps since when each alarm holds."""

    def __init__(self) -> None:
        self._since: dict[_Key, float] = {}

    def now(self, facts: Facts, wall: float) -> tuple[Alarm, ...]:
        """Those that hold at this moment, errors first, then the oldest."""
        found = {(one.code, one.scope): one for one in _all(facts)}
        self._since = {key: self._since.get(key, wall) for key in found}
        alarms = [
            Alarm(one.level, one.code, one.text, self._since[key], one.scope)
            for key, one in found.items()
            if one.code != "idle" or wall - self._since[key] >= IDLE_SECONDS
        ]
        alarms.sort(key=lambda one: (one.level != "error", one.since, one.scope))
        return tuple(alarms[:MOST])


def _all(facts: Facts) -> Iterator[Alarm]:
    status = facts.status
    if status.degraded:
        yield Alarm("error", "degraded", f"nothing is accepted: {status.degraded}", 0.0)
    if facts.data:
        yield Alarm("error", "data", facts.data, 0.0)
    queued = sum(kind.queued for kind in facts.kinds)
    if "all" in status.paused and queued:
        yield Alarm("warning", "paused", f"the fleet is paused: {_tasks(queued)}", 0.0, "all")
    else:
        yield from _of_kinds(facts)
    if facts.pending:
        yield Alarm("warning", "pending", pending_words(facts.pending), 0.0)
    for one in facts.offenders:
        text = (
            f"{one.role} {one.peer} broke the protocol {one.crimes} times ({printable(one.last, 100)}):"
            f" `taskmessenger worker revoke {one.peer}` ends that"
        )
        yield Alarm("warning", "misbehaves", text, 0.0, f"{one.role}:{one.peer}")
    for worker in facts.workers:
        if worker.state == "away":
            text = f"worker {worker.id} is away: its {worker.held} leases hold a while longer"
            yield Alarm("warning", "away", text, 0.0, f"worker:{worker.id}")
        elif worker.state == "quarantined":
            text = f"worker {worker.id} is in quarantine: it broke the rules of its leases; you may revoke it"
            yield Alarm("error", "quarantined", text, 0.0, f"worker:{worker.id}")


def _of_kinds(facts: Facts) -> Iterator[Alarm]:
    waiting = facts.status.waiting
    for kind in facts.kinds:
        name, scope = kind.name, f"kind:{kind.name}"
        if name in waiting:
            yield Alarm("warning", "paused" if kind.paused else "no_worker", waiting[name], 0.0, scope)
        elif kind.queued and facts.idle.get(name):
            count = facts.idle[name]
            who = "a worker that offers it is" if count == 1 else f"{count} workers that offer it are"
            yield Alarm("warning", "idle", f"`{name}`: {_tasks(kind.queued)} although {who} idle", 0.0, scope)
        ended, failed = facts.recent.get(name, (0, 0))
        if ended >= ENOUGH and failed / ended > FAILING:
            yield Alarm(
                "warning", "failing", f"`{name}`: {failed} of the last {ended} tasks failed", 0.0, scope
            )


def pending_words(number: int) -> str:
    """As `1 member waits for approval`."""
    return f"{number:,} {'member waits' if number == 1 else 'members wait'} for approval"


def _tasks(count: int) -> str:
    return f"{count:,} {'task waits' if count == 1 else 'tasks wait'}"
