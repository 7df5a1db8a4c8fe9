"""The demo's books: which files are on their way, and how they ended. No input or output of any kind."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
import msgspec

from ..core.lifecycle import TaskState
from ..core.text import printable
from ..handle import Outcome
from .demo_files import Batch


@dataclass(frozen=True, slots=True)
class Kill:
    """One process that was killed on the way, and started again."""

    name: str
    outcomes: int
    """How many there were by then."""
    in_hand: int
    """Tasks that it held."""
    back_seconds: float
    """Until the one that was started in its place was of use."""


@dataclass(frozen=True, slots=True)
class _Sent:
    name: str
    digest: bytes
    moment: float


@dataclass(slots=True)
class Work:
    """All files of one run. Moments are seconds on the monotonic clock."""

    window: int
    """Tasks that may be on their way at a time."""
    verified: int = 0
    bytes: int = 0
    attempts: int = 0
    """Sum of the attempt numbers with which tasks ended."""
    repeated: int = 0
    """Tasks that needed more than one attempt."""
    submitted: int = 0
    duplicates: int = 0
    """Tasks that were submitted again because the answer was lost, and found to be there already."""
    wrong: list[str] = field(default_factory=list)
    """`NAME: what came instead`, safe to print."""
    skipped: list[str] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    latencies: array[float] = field(default_factory=lambda: array("d"))
    """Seconds from submit to outcome."""
    hold: int | None = None
    """While this is set, no more than about so many tasks are submitted."""
    complete: bool = False
    """Nothing more will be submitted."""
    _expected: dict[int, _Sent] = field(default_factory=dict)
    _early: dict[int, tuple[Outcome, float]] = field(default_factory=dict)
    """Outcomes that overtook the answer to their submission."""
    _settled: set[int] = field(default_factory=set)
    _reserved: int = 0
    _changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def ended(self) -> int:
        """Tasks with an outcome."""
        return len(self._settled)

    @property
    def open(self) -> int:
        """Tasks that were accepted and have not ended."""
        return len(self._expected)

    @property
    def finished(self) -> bool:
        """Whether every file has its outcome."""
        return self.complete and not self._reserved and not self._expected

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; it is looked at after every change. The caller bounds the wait."""
        while not condition():
            await self._changed.wait()

    async def reserve(self, count: int) -> None:
        """Wait until there is room for so many more tasks, and take it."""
        await self.until(lambda: self._has_room(count))
        self._reserved += count

    def release(self, count: int) -> None:
        """So many of those reserved will not come."""
        self._reserved -= count
        self.changed()

    def _has_room(self, count: int) -> bool:
        if self.hold is not None and self.submitted + self._reserved >= self.hold:
            return False
        under_way = self._reserved + len(self._expected)
        return not under_way or under_way + count <= self.window

    def accepted(self, batch: Batch, ids: Sequence[int], moment: float, duplicates: int = 0) -> None:
        """The batch, sent at `moment`, is durable under these ids."""
        self._reserved -= len(ids)
        self.submitted += len(ids)
        self.duplicates += duplicates
        self.bytes += sum(batch.sizes)
        for task_id, name, digest in zip(ids, batch.names, batch.digests, strict=True):
            self._expected[task_id] = _Sent(name, digest, moment)
            early = self._early.pop(task_id, None)
            if early is not None:
                self._settle(*early)
        self.changed()

    def outcomes(self, outcomes: Sequence[Outcome], moment: float) -> None:
        """Tasks have ended; one may be told twice."""
        for one in outcomes:
            if one.id in self._settled:
                continue
            if one.id in self._expected:
                self._settle(one, moment)
            else:
                self._early[one.id] = (one, moment)
        self.changed()

    def changed(self) -> None:
        """Wake whoever waits for a condition."""
        self._changed.set()
        self._changed = anyio.Event()

    def _settle(self, outcome: Outcome, moment: float) -> None:
        sent = self._expected.pop(outcome.id)
        self._settled.add(outcome.id)
        self.latencies.append(max(0.0, moment - sent.moment))
        self.attempts += outcome.attempt
        self.repeated += outcome.attempt > 1
        answer = _answer(outcome)
        if answer == sent.digest.hex():
            self.verified += 1
        else:
            self.wrong.append(f"{printable(sent.name)}: task {outcome.id} {printable(answer)}")


def _answer(outcome: Outcome) -> str:
    """What the worker said, or how it failed to."""
    if outcome.state != TaskState.SUCCEEDED or outcome.result is None:
        why = outcome.error.message if outcome.error else "no reason given"
        return f"{TaskState(outcome.state).word}: {why}"
    try:
        return msgspec.msgpack.decode(outcome.result, type=str)
    except msgspec.DecodeError:
        return "gave no text"
