"""What is held against tasks: which deaths of workers they may have caused. Decides nothing about leases.

It is kept over a restart of the manager, in settings of the store: few tasks have any of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ..blob import error_blob
from ..text import count

if TYPE_CHECKING:
    from .machine import Pool
    from .state import Task

SUSPECT: Final = "suspect:"
"""Settings of this prefix carry what is held against a task over a restart."""
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
    instance: str = ""
    """The process (hexadecimal) that may be back after all; empty when it cannot, or is not known."""


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


def keep(pool: Pool, task: Task) -> None:
    """Write down what is held against it."""
    doubt = doubt_of(pool, task)
    deaths = [[d.worker, d.wall, d.attempt, d.alone, d.counted, d.instance] for d in doubt.deaths]
    text = json.dumps([task.suspect, doubt.free, deaths]) if deaths or doubt.free else None
    pool.commit.settings[f"{SUSPECT}{task.id}"] = text


def recover(pool: Pool, settings: Mapping[str, str]) -> None:
    """What a manager before this one held against tasks that are still open."""
    for name, text in settings.items():
        if not name.startswith(SUSPECT):
            continue
        task = pool.tasks.get(int(name.removeprefix(SUSPECT)))
        if task is None:
            pool.commit.settings[name] = None
            continue
        task.suspect, free, deaths = json.loads(text)
        doubt = pool.blame.doubts[task.id] = Doubt([Death(*death) for death in deaths], free)
        for death in doubt.deaths:
            if death.instance:
                instance = bytes.fromhex(death.instance)
                loss = pool.blame.losses.setdefault(death.worker, Loss(instance, []))
                if loss.instance == instance:
                    loss.leases.append((task.id, death.attempt))
        if task.suspect and task.worker is not None:
            pool.workers[task.worker].alone = task.id


def convict(pool: Pool, task: Task, death: Death) -> None:
    """It killed alone; so the deaths that it was near to before count as well."""
    doubt = doubt_of(pool, task)
    task.suspect = True
    for earlier in doubt.deaths:
        task.crashes += not earlier.counted
        earlier.counted = True
    doubt.deaths.append(death)
    keep(pool, task)


def suspect(pool: Pool, task: Task, death: Death) -> None:
    """It may have killed, as may others: from now on it runs alone."""
    task.suspect = True
    doubt_of(pool, task).deaths.append(death)
    keep(pool, task)


def may_return(pool: Pool, instance: bytes | None, leases: list[tuple[int, int]]) -> None:
    """The process may live, and be back: remember which one it was, over a restart too."""
    if instance is None:
        return
    for task_id, attempt in leases:
        for death in pool.blame.doubts[task_id].deaths:
            if death.attempt == attempt:
                death.instance = instance.hex()
        keep(pool, pool.tasks[task_id])


def clear(pool: Pool, task: Task) -> None:
    """It ended without taking its worker with it: what was not proven is dropped."""
    task.suspect = False
    doubt = pool.blame.doubts.get(task.id)
    if doubt is not None:
        doubt.deaths = [death for death in doubt.deaths if death.counted]
        keep(pool, task)


def spare(pool: Pool, task: Task) -> bool:
    """A loss that costs it no attempt; says whether it may have one more of those."""
    doubt = doubt_of(pool, task)
    free = doubt.free < task.options.max_attempts
    doubt.free += free
    keep(pool, task)
    return free


def forget(pool: Pool, ids: Iterable[int]) -> None:
    """These have ended."""
    if pool.blame.doubts:
        for task_id in ids:
            if pool.blame.doubts.pop(task_id, None) is not None:
                pool.commit.settings[f"{SUSPECT}{task_id}"] = None


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
    keep(pool, task)
    return True


def evidence(pool: Pool, task: Task) -> bytes:
    """The error of a task that workers died of: who, and when."""
    deaths = [death for death in doubt_of(pool, task).deaths if death.counted]
    names = ", ".join(dict.fromkeys(death.worker for death in deaths[-TOLD:]))
    many = "a worker" if len(deaths) == 1 else count(len(deaths), "worker")
    moments = [f"{death.worker} at {_clock(death.wall)}" for death in deaths[-TOLD:]]
    return error_blob("crashed", f"{many} died while it ran there: {names}", {"deaths": "; ".join(moments)})


def _clock(wall: float) -> str:
    try:
        return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):  # a clock that shows no date
        return f"{wall:.0f}"
