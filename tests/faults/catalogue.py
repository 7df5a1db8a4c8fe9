"""The fault programme: every fault, what it must not break, its size for every commit and its full size."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import crash
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


FAULTS = [
    Fault("F1", "the manager is killed at random moments, while it starts too", crash.killed_managers,
          {"kills": 20, "tasks": 20_000, "workers": 3}, {"kills": 100, "tasks": 100_000, "workers": 20}),
    Fault("F4", "workers are killed at random moments", crash.killed_workers,
          {"kills": 50, "tasks": 3_000, "workers": 4}, {"kills": 1_000, "tasks": 100_000, "workers": 16}),
    Fault("F5", "the process of a task is killed", crash.killed_tasks, {"kills": 10}, {"kills": 1_000}),
    Fault("F6", "poisonous tasks among good ones", crash.poison,
          {"each": 2, "good": 500}, {"each": 20, "good": 10_000}),
]  # fmt: skip
