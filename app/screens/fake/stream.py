"""The tasks of the simulated fleet: row N at a moment is a pure function of the seed, N and that moment.

So a million rows cost nothing until they are looked at. Knows nothing of what operators did to them.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from random import Random
from typing import Final

from ...core.lifecycle import TaskState

MASK: Final = (1 << 64) - 1
KIND_PERIOD: Final = 101
END_PERIOD: Final = 997
"""Prime, like the other: every mix of kind and ending comes up."""
UNSERVED: Final = "render"
"""The kind that no worker offers."""
UNSERVED_SECONDS: Final = 110.0
"""How long tasks of that kind are waited for before they are given up."""
WAIT_SECONDS: Final = 6.0
"""Longest natural wait in the queue."""


@dataclass(frozen=True, slots=True)
class FakeKind:
    """One kind of the fleet."""

    name: str
    weight: int
    """Tasks of it among `KIND_PERIOD`."""
    seconds: float
    """A run takes half to twice as long."""
    doc: str
    example: object


KINDS: Final = (
    FakeKind("hash", 40, 2.0, "SHA-256 of a text", {"text": "abc"}),
    FakeKind("wordcount", 20, 4.0, "Words of a text, counted", {"text": "to be or not to be"}),
    FakeKind("resize", 15, 8.0, "A picture in another size", {"path": "in/0001.jpg", "width": 640}),
    FakeKind("shell", 10, 12.0, "A command line", {"argv": ["make", "test"]}),
    FakeKind("train", 8, 36.0, "A model, trained on one fold", {"fold": 3, "epochs": 20}),
    FakeKind(UNSERVED, 8, 10.0, "A frame of a film", {"scene": "intro", "frame": 12}),
)
LONGEST: Final = WAIT_SECONDS + 2 * max(kind.seconds for kind in KINDS)
"""Nothing natural is open for longer, while nothing is paused."""
_ENDINGS: Final = (
    (TaskState.FAILED, 25),
    (TaskState.TIMED_OUT, 8),
    (TaskState.CANCELLED, 5),
)
Pauses = tuple[tuple[float, float], ...]
"""From and to, in order, not overlapping; an open end is infinity."""


def mix(seed: int, number: int) -> int:
    """64 well-mixed bits (splitmix64)."""
    x = (number * 0x9E3779B97F4A7C15 + seed * 0xD1B54A32D192ED03) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def share(bits: int, place: int) -> float:
    """0 to 1, from ten of the bits."""
    return ((bits >> place) & 1023) / 1023


@dataclass(frozen=True, slots=True)
class Life:
    """When a task starts and how it ends, if nothing is paused."""

    submitted: float
    wait: float
    """Seconds in the queue; infinity for ever."""
    run: float
    ending: TaskState
    spent: int = 0
    """Attempts before the one that counts."""

    def moments(self, pauses: Pauses) -> tuple[float, float]:
        """When it starts and ends: a pause holds up what waits, not what runs."""
        start = self.submitted + self.wait
        for begin, end in pauses:
            if begin <= start and end > self.submitted:
                start += end - max(begin, self.submitted)
        return start, start + self.run

    def state(self, now: float, pauses: Pauses) -> TaskState:
        """Where it is."""
        start, end = self.moments(pauses)
        if now >= end:
            return self.ending
        return TaskState.RUNNING if now >= start else TaskState.QUEUED


class Stream:
    """Tasks that come by themselves, `rate` a second, numbered from 1."""

    def __init__(self, seed: int, size: int, rate: float, start: float) -> None:
        self.seed, self.size, self.rate, self.start = seed, size, rate, start
        rng = Random(seed)  # noqa: S311 - a simulation
        kinds = [index for index, kind in enumerate(KINDS) for _ in range(kind.weight)]
        rng.shuffle(kinds)
        self._kinds = kinds
        endings = [state for state, count in _ENDINGS for _ in range(count)]
        endings += [TaskState.SUCCEEDED] * (END_PERIOD - len(endings))
        rng.shuffle(endings)
        self._endings = endings
        self._counted = 0
        self._counts: dict[tuple[int, TaskState], int] = {}
        self._period: dict[tuple[int, TaskState], int] | None = None

    def length(self, now: float) -> int:
        """How many have been submitted by now."""
        return self.size + max(0, int((now - self.start) * self.rate))

    def first_after(self, moment: float) -> int:
        """The number of the first that was submitted after it; about."""
        return max(1, self.size + int((moment - self.start) * self.rate) - 1)

    def kind(self, number: int) -> int:
        """Which of `KINDS`."""
        return self._kinds[number * 37 % KIND_PERIOD]

    def ending(self, number: int) -> TaskState:
        """How it ends."""
        if KINDS[self.kind(number)].name == UNSERVED:
            return TaskState.CANCELLED
        return self._endings[number * 611 % END_PERIOD]

    def submitted(self, number: int) -> float:
        """When it came."""
        jitter = share(mix(self.seed, number), 0)
        return self.start + (number - self.size - jitter) / self.rate

    def life(self, number: int) -> Life:
        """The whole of it."""
        bits = mix(self.seed, number)
        submitted = self.start + (number - self.size - share(bits, 0)) / self.rate
        kind = KINDS[self.kind(number)]
        if kind.name == UNSERVED:
            return Life(submitted, UNSERVED_SECONDS, 0.0, TaskState.CANCELLED)
        ending = self.ending(number)
        spent = 2 if ending in {TaskState.FAILED, TaskState.TIMED_OUT} else int((bits >> 40) % 29 == 0)
        run = kind.seconds * (0.5 + 1.5 * share(bits, 10) ** 3)
        return Life(submitted, WAIT_SECONDS * share(bits, 20) ** 4, run, ending, spent)

    def ended(self, upto: int) -> dict[tuple[int, TaskState], int]:
        """How many of 1 to `upto`, by kind and ending. Ask with growing numbers: what is known is kept."""
        if upto < self._counted:
            self._counted, self._counts = 0, {}
        period = KIND_PERIOD * END_PERIOD
        whole = (upto - self._counted) // period
        if whole:
            if self._period is None:
                self._period = {}
                self._add(self._period, range(1, period + 1))
            for key, count in self._period.items():
                self._counts[key] = self._counts.get(key, 0) + whole * count
            self._counted += whole * period
        self._add(self._counts, range(self._counted + 1, upto + 1))
        self._counted = max(self._counted, upto)
        return self._counts

    def _add(self, counts: dict[tuple[int, TaskState], int], numbers: range) -> None:
        for number in numbers:
            key = (self.kind(number), self.ending(number))
            counts[key] = counts.get(key, 0) + 1


class Numbers:
    """Ids of a stream into which others were put: which are whose."""

    def __init__(self) -> None:
        self.inserted: list[int] = []
        """Ascending."""

    def natural(self, task_id: int) -> int:
        """The stream's number of this id, which is not an inserted one."""
        return task_id - bisect_right(self.inserted, task_id)

    def id_of(self, number: int) -> int:
        """The id of the stream's number."""
        before, guess = -1, 0
        while before != guess:
            before, guess = guess, bisect_right(self.inserted, number + guess)
        return number + guess
