"""What one batch of decisions makes durable, as rows that a database can bind as they are.

The pool fills a `Commit` while it decides; the store writes it in one transaction; only then may anything
leave. Rows are plain tuples on purpose: on the hot path an object for each would cost more than the write.
Times are wall-clock seconds since the epoch, for people; nothing is decided by them.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .life import Life

SubmittedRow = tuple[
    int, str, int, int, float | None, str | None, str | None, bytes | None, int, float, float | None,
    str | None,
    bytes,
]  # fmt: skip
"""id, kind, priority, max_attempts, timeout (s), batch, key, digest, state, submitted_at, due_at, target,
payload. `target` is the one worker that may run it, or None."""

SettledRow = tuple[int, int, int, str | None, float, float | None, bytes | None, bytes | None, int]
"""state, attempt, spent, worker, finished_at, run_seconds, result, error, id. The last place is the key."""

ReopenedRow = tuple[int, int, int, int, float | None, int]
"""state (scheduled or queued), attempt, spent, crashes, due_at, id: an attempt ended, the task goes on. Also
of a task that is leased meanwhile, with the attempt before, when what is held against it changes."""

AttemptRow = tuple[int, int, str | None, float | None, float, str, bytes | None]
"""task id, attempt, worker, started_at, ended_at, how, error: an attempt worth remembering besides the
outcome. `how` is one of failed, timed_out, crashed, lost, orphaned, released, late, cancelled. Orphaned: the
worker died while others ran beside it, so that it cost no attempt."""

GrantRow = tuple[int, str, bytes]
"""sequence number, worker, leases (see `pack_leases`): all leases that one worker got in one batch."""


OutputRow = tuple[int, int, int, bytes]
"""task id, attempt, start, data: a piece of what an attempt wrote, `start` bytes after its first one."""

TALLIES = "tallies"
"""The setting that keeps what became of the tasks of each kind and worker, and `at`: up to which moment."""


def tallied_until(settings: Mapping[str, str]) -> float:
    """The moment (wall clock) up to which `TALLIES` tells what has ended; 0 when it tells nothing."""
    return float(json.loads(settings.get(TALLIES, "{}")).get("at", 0.0))


@dataclass(slots=True)
class Commit:
    """All that one transaction writes, in the order of the fields.

    A task may be reopened (several times) and then settled in one batch, never the other way round.
    """

    submitted: list[SubmittedRow] = field(default_factory=list)
    reopened: list[ReopenedRow] = field(default_factory=list)
    repriced: list[tuple[int, list[int]]] = field(default_factory=list)
    """A priority, and the open tasks that have it from now on."""
    settled: list[SettledRow] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    outputs: list[OutputRow] = field(default_factory=list)
    """Not worth as much as the rest: a store keeps of them what there is room for."""
    granted: list[GrantRow] = field(default_factory=list)
    grants_ended: list[int] = field(default_factory=list)
    """Sequence numbers of grants none of whose leases is open any more."""
    settings: dict[str, str | None] = field(default_factory=dict)
    """Named facts that outlive a restart (pauses, totals); None removes one."""

    def __bool__(self) -> bool:
        return bool(
            self.submitted or self.settled or self.reopened or self.attempts
            or self.granted or self.grants_ended or self.repriced or self.settings or self.outputs
        )  # fmt: skip


def pack_leases(ids: Iterable[int], attempts: Iterable[int]) -> bytes:
    """Leases as little memory as they need: all ids (8 bytes each), then all attempts (4 bytes each)."""
    return array("Q", ids).tobytes() + array("I", attempts).tobytes()


def unpack_leases(packed: bytes) -> Iterator[tuple[int, int]]:
    """The (task id, attempt) pairs in `packed`."""
    ids, attempts = array("Q"), array("I")
    cut = len(packed) // 12 * 8
    ids.frombytes(packed[:cut])
    attempts.frombytes(packed[cut:])
    return zip(ids, attempts, strict=True)


Alike = tuple[str, int, int, float | None, str | None, str | None]
"""kind, priority, max_attempts, timeout, batch, target: what a pool has to know of a queued task."""

OpenRow = tuple[
    int, str, int, int, float | None, str | None, str | None, bytes | None, int, float, float | None,
    str | None,
    bytes | None, int, int, int,
]  # fmt: skip
"""A `SubmittedRow` (payload None where it is too large to keep in memory), then attempt, spent, crashes."""


WaitingRow = tuple[
    Sequence[int], str, int, int, float | None, str | None, str | None, float,
]  # fmt: skip
"""ids (a range, or an ascending array of numbers); then what their tasks have in common, as in `Alike`; and
submitted_at of the first."""


@dataclass(slots=True)
class Recovered:
    """What a store held when it was opened.

    Every open task is in one of two places, whether or not a worker had it: leases are in `grants`.
    """

    tasks: list[OpenRow]
    """By id, in the state `scheduled` or `queued`. When there are very many open tasks, only those that were
    leased before or that wait for a moment."""
    grants: list[GrantRow]
    settings: dict[str, str]
    waiting: list[WaitingRow] = field(default_factory=list)
    """Other queued tasks, with all that a pool has to know of them until they are leased."""
    next_task_id: int = 1
    next_grant: int = 1
    life: Life = field(default_factory=Life)
    ended: list[tuple[str, str | None, int, int]] = field(default_factory=list)
    """Kind, worker, state and how many: what ended after the moment up to which `TALLIES` tells."""


def gather(rows: Iterable[tuple[int, Alike, float]]) -> list[WaitingRow]:
    """Queued tasks (id, what may be alike, submitted_at), by ascending id: those that are alike together."""
    found: dict[Alike, tuple[array[int], float]] = {}
    for task_id, alike, submitted in rows:
        there = found.get(alike)
        if there is None:
            there = found[alike] = (array("Q"), submitted)
        there[0].append(task_id)
    return [(ids, *alike, submitted) for alike, (ids, submitted) in found.items()]
