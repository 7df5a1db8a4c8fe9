"""What must be done outside, once the commit of the same decision is durable; and what the world is told."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from .commit import Commit
from .stimuli import Options

LeaseRow = tuple[int, int, Options, bytes | None]
"""Task id, attempt, options, payload (None: fetch it from the store)."""

OutcomeRow = tuple[int, int, int, str | None, bytes | None, bytes | None, float | None]
"""Task id, state, attempt, worker, result, error, run seconds."""


@dataclass(slots=True)
class Assign:
    """Send these leases to the worker at `session`."""

    session: int
    worker: str
    leases: list[LeaseRow]


@dataclass(slots=True)
class Ack:
    """Tell the worker that these outcomes are safe, or no longer wanted: it may forget them."""

    session: int
    tasks: list[int]
    attempts: list[int]


@dataclass(slots=True)
class EndLeases:
    """Tell the worker to end these attempts: cancelled, or fenced."""

    session: int
    leases: list[tuple[int, int]]


@dataclass(slots=True)
class Tell:
    """Tell a watcher how tasks ended."""

    watch: int
    outcomes: list[OutcomeRow]


@dataclass(slots=True)
class Accepted:
    """Answer a submit: one id for each payload, durable."""

    reply: int
    ids: list[int]
    duplicates: int


@dataclass(slots=True)
class Rejected:
    """Answer with an error; nothing was done."""

    reply: int
    code: str
    message: str


@dataclass(slots=True)
class Done:
    """Answer an operation: the ids, or names, it applied to."""

    reply: int
    ids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Steer:
    """Tell a worker to `pause` or `resume` what falls in `scope`, or to `drain` within `deadline` seconds."""

    session: int
    verb: str
    scope: str = ""
    deadline: float = 0.0


@dataclass(slots=True)
class Disconnect:
    """Close a session and say why."""

    session: int
    code: str
    message: str


Effect = Assign | Ack | EndLeases | Tell | Accepted | Rejected | Done | Steer | Disconnect

Event = tuple[str, str, Sequence[int], str]
"""What happened, to whom (worker or scope), which tasks, why; see `journal`."""

_FEW: Final = 16


def kept(event: Event) -> Event:
    """The event in little memory, for whoever keeps thousands: eight bytes for each task, not forty."""
    what, who, tasks, why = event
    return (what, who, array("Q", tasks), why) if len(tasks) > _FEW and isinstance(tasks, list) else event


@dataclass(slots=True)
class Decision:
    """Everything that one batch of stimuli leads to."""

    commit: Commit = field(default_factory=Commit)
    effects: list[Effect] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
