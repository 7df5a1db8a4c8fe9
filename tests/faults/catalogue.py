"""The fault programme: every fault, what it must not break, its size for every commit and its full size."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import crash, crowds, disk, garbage, load, pauses, power, queues, recovery
from tests.faults.elsewhere import ELSEWHERE, Tests
from tests.support.chaos import Run

SEED = 20_261


@dataclass(frozen=True)
class Fault:
    """One row of the catalogue."""

    number: str
    title: str
    """What happens, and what holds all the same."""
    play: Callable[[Run], Awaitable[None]]
    ci: dict[str, Any]
    full: dict[str, Any]

    def run(self, folder: Path, *, full: bool = False, seed: int = SEED) -> Run:
        """What `play` gets."""
        folder.mkdir(parents=True, exist_ok=True)
        return Run(seed, dict(self.full if full else self.ci), folder)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The tests that it consists of, when they are elsewhere."""
        return self.play.nodes if isinstance(self.play, Tests) else ()


async def _at_every_commit(run: Run) -> None:
    """Of random commits to the store, and of a whole manager's life."""
    await power.killed_at_commits(run)
    await recovery.killed_managers(run)


QUICK_STOPS = "manager 2, worker 2, manager 7, worker 7"
LONG_STOPS = "manager 5, worker 20, manager 60, worker 29, worker 31, worker 120"
"""Who is stopped, one after the other, and for how many seconds."""
FULL_SIZES = {"F20": {"LINK_STEP": 1}, "F50": {"POOL_MACHINE_EXAMPLES": 1_000, "POOL_MACHINE_STEPS": 500}}
"""Of the tests elsewhere that have one."""

PLAYED = [
    Fault("F1", "the manager is killed at random moments, while it starts too", crash.killed_managers,
          {"kills": 12, "tasks": 12_000, "workers": 3}, {"kills": 100, "tasks": 100_000, "workers": 20}),
    Fault("F2", "the manager dies before and after every commit of a script", _at_every_commit,
          {"steps": 100, "large": 0.05}, {"steps": 2_000, "large": 0.01}),
    Fault("F3", "the power fails at every sync; un-synced sectors are lost, torn or kept", power.power_loss,
          {"steps": 40, "large": 0.1}, {"steps": 500, "large": 0.05}),
    Fault("F4", "workers are killed at random moments", crash.killed_workers,
          {"kills": 20, "tasks": 1_500, "workers": 4}, {"kills": 1_000, "tasks": 100_000, "workers": 50}),
    Fault("F5", "the process of a task is killed", crash.killed_tasks, {"kills": 6}, {"kills": 1_000}),
    Fault("F6", "poisonous tasks among good ones", crash.poison,
          {"each": 1, "good": 300}, {"each": 20, "good": 10_000}),
    Fault("F7", "the manager's disk fills up with results, and later has space again", disk.full_disk,
          {"disk_mib": 64, "free_mib": 16, "full_s": 3}, {"disk_mib": 256, "free_mib": 64, "full_s": 60}),
    Fault("F11", "a second manager is started on one database", disk.second_manager,
          {"times": 2}, {"times": 20}),
    Fault("F25", "a whole fleet comes back to a manager that was killed", crowds.reconnect_storm,
          {"sessions": 150}, {"sessions": 1_000}),
    Fault("F27", "strangers never finish their handshake; an honest worker joins meanwhile",
          crowds.slow_strangers, {"sockets": 300, "joins": 2}, {"sockets": 1_000, "joins": 20}),
    Fault("F40", "the manager's wall clock jumps by hours and days", pauses.jumping_wall,
          {"jumps": 8, "seeds": 4}, {"jumps": 200, "seeds": 2_000}),
    Fault("F41", "manager and worker are stopped for less and for more than a lease", pauses.stopped,
          {"lease": 5, "stops": QUICK_STOPS}, {"lease": 30, "stops": LONG_STOPS}),
    Fault("F42", "the manager does nothing for a while (SIGSTOP stands in for a blocked event loop)",
          pauses.blocked_manager, {"seconds": 5, "times": 1}, {"seconds": 5, "times": 20}),
    Fault("F43", "every worker is told to leave under load", pauses.drained,
          {"workers": 6, "tasks": 600}, {"workers": 100, "tasks": 4_000}),
    Fault("F46", "tasks are handed in faster than the fleet can work", load.overload,
          {"seconds": 5, "max_pending": 2_000}, {"seconds": 600, "max_pending": 100_000}),
    Fault("F47", "a queue far longer than what is kept in memory, over kill -9", queues.long_queue,
          {"tasks": 150_000}, {"tasks": 10_000_000}),
    Fault("F48", "all tasks fail at once, again and again", load.retry_storm,
          {"tasks": 1_000}, {"tasks": 50_000}),
    Fault("F49", "everything is cancelled while it waits and runs", load.cancel_storm,
          {"tasks": 20_000}, {"tasks": 100_000}),
    Fault("F60", "garbage from peers: random bytes and damaged streams", garbage.fuzz,
          {"inputs": 20_000}, {"inputs": 10_000_000}),
]  # fmt: skip


ORDER = "FJA"
"""Faults, joining, attacks."""


def _place(fault: Fault) -> tuple[int, int]:
    return ORDER.index(fault.number[0]), int(fault.number[1:])


FAULTS = sorted(
    PLAYED + [Fault(n, title, play, {}, FULL_SIZES.get(n, {})) for n, (title, play) in ELSEWHERE.items()],
    key=_place,
)
