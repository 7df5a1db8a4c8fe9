"""What consoles and managers say to each other besides: looks at the fleet, acts, facts.

Said only to managers whose `Welcome` offers `look`. The rules of `messages` hold here too.
"""

from __future__ import annotations

import msgspec

from ..handle import Act, ActDone, Count, EventRow, TaskQuery
from .greeting import Base


class Look(Base, frozen=True, tag=50):
    """What is new? For operators, of managers whose `Welcome` offers `look`."""

    request: int
    have: dict[str, int] = {}
    """Numbers of the parts that the asker has; a part with another number is sent."""
    cursor: int = 0
    """Events from here on."""
    limit: int = 1000
    """Most events; 0 for none."""


class Do(Base, frozen=True, tag=51):
    """Carry out a command. Of managers whose `Welcome` offers `look`, like the next."""

    request: int
    act: Act


class CountTasks(Base, frozen=True, tag=52):
    """How many tasks match; counting stops at `most`."""

    request: int
    query: TaskQuery
    most: int = 1_000_000


class View(Base, frozen=True, tag=71):
    """Answers `Look`: parts of a snapshot, each with its name and number, and events."""

    request: int
    at: float
    """Wall clock of the manager."""
    parts: list[tuple[str, int, msgspec.Raw]]
    """Encoded once, whoever asks."""
    events: list[EventRow]
    cursor: int
    missed: int = 0


class Did(Base, frozen=True, tag=72):
    """Answers `Do`."""

    request: int
    done: ActDone


class Counted(Base, frozen=True, tag=73):
    """Answers `CountTasks`."""

    request: int
    count: Count


class Facts(Base, frozen=True, tag=74):
    """Answers `kinds`, `settings`, `network` and `pending`, each in a form of its own."""

    request: int
    facts: msgspec.Raw
