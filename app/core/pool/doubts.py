"""What is held against tasks: which deaths of workers they may have caused. Decides nothing about leases."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ..blob import error_blob

if TYPE_CHECKING:
    from .machine import Pool
    from .state import Task

TOLD: Final = 16
"""Deaths that an error names."""


@dataclass(slots=True)
class Death:
    """A worker ended, or fell silent for good, while a task ran on it."""

    worker: str
    wall: float
    attempt: int
    alone: bool
    """Nothing else that ran there could have caused it."""
    counted: bool
    """It is one of the task's crashes. Deaths in company are counted once the task has killed alone."""


@dataclass(slots=True)
class Doubt:
    """What one open task was near to."""

    deaths: list[Death] = field(default_factory=list)
    """Bounded by the crashes and the free losses that a task may have."""
    free: int = 0
    """Losses that cost no attempt, because another task may have caused them."""


@dataclass(slots=True)
class Loss:
    """What was held against whom when a worker fell silent: it may be back, and then it did not die."""

    instance: bytes | None
    """The process; None when a manager that has restarted never met it."""
    leases: list[tuple[int, int]]


class Blame:
    """Everything of that kind."""

    __slots__ = ("doubts", "losses")

    def __init__(self) -> None:
        self.doubts: dict[int, Doubt] = {}
        """By open task: those whose workers died."""
        self.losses: dict[str, Loss] = {}
        """By worker: those that fell silent and may be back; bounded."""


def doubt_of(pool: Pool, task: Task) -> Doubt:
    """The doubts about a task, from now on kept."""
    doubt = pool.blame.doubts.get(task.id)
    if doubt is None:
        doubt = pool.blame.doubts[task.id] = Doubt()
    return doubt


def convict(pool: Pool, task: Task, death: Death) -> None:
    """It killed alone; so the deaths that it was near to before count as well."""
    doubt = doubt_of(pool, task)
    task.suspect = True
    for earlier in doubt.deaths:
        task.crashes += not earlier.counted
        earlier.counted = True
    doubt.deaths.append(death)


def suspect(pool: Pool, task: Task, death: Death) -> None:
    """It may have killed, as may others: from now on it runs alone."""
    task.suspect = True
    doubt_of(pool, task).deaths.append(death)


def clear(pool: Pool, task: Task) -> None:
    """It ended without taking its worker with it: what was not proven is dropped."""
    task.suspect = False
    doubt = pool.blame.doubts.get(task.id)
    if doubt is not None:
        doubt.deaths = [death for death in doubt.deaths if death.counted]


def forget(pool: Pool, ids: list[int]) -> None:
    """These have succeeded."""
    if pool.blame.doubts:
        for task_id in ids:
            pool.blame.doubts.pop(task_id, None)


def excuse(pool: Pool, task: Task, worker: str, attempt: int) -> bool:
    """That death did not happen. Says whether anything was held against the task because of it."""
    doubt = pool.blame.doubts.get(task.id)
    if doubt is None:
        return False
    deaths = [death for death in doubt.deaths if (death.worker, death.attempt) != (worker, attempt)]
    if len(deaths) == len(doubt.deaths):
        return False
    task.crashes -= sum(death.counted for death in doubt.deaths)
    if not any(death.alone for death in deaths):
        for death in deaths:
            death.counted = False
    task.crashes += sum(death.counted for death in deaths)
    doubt.deaths = deaths
    task.suspect = task.suspect and bool(deaths)
    return True


def evidence(pool: Pool, task: Task) -> bytes:
    """The error of a task that workers died of: who, and when."""
    deaths = [death for death in doubt_of(pool, task).deaths if death.counted]
    names = ", ".join(dict.fromkeys(death.worker for death in deaths[-TOLD:]))
    many = "a worker" if len(deaths) == 1 else f"{len(deaths)} workers"
    moments = [f"{death.worker} at {_clock(death.wall)}" for death in deaths[-TOLD:]]
    return error_blob("crashed", f"{many} died while it ran there: {names}", {"deaths": "; ".join(moments)})


def _clock(wall: float) -> str:
    try:
        return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):  # a clock that shows no date
        return f"{wall:.0f}"
