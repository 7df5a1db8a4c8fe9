"""The tasks of the simulated fleet: row N at a moment is a pure function of the seed, N and that moment.

So a million rows cost nothing until they are looked at. Knows nothing of what operators did to them.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from random import Random
from typing import Final

from ...core.lifecycle import TaskState
from ...handle import ErrorInfo

MASK: Final = (1 << 64) - 1
KIND_PERIOD: Final = 101
END_PERIOD: Final = 997
"""Prime, like the other: every mix of kind and ending comes up."""
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
    every: int = 1
    """Every so many-th worker runs it; 0: none does."""


@dataclass(frozen=True, slots=True)
class Ill:
    """One worker that is slower than the others; what fails fails there."""

    worker: str
    slower: float = 5.0
    """Times as long as elsewhere."""
    also: int = 40
    """Of `END_PERIOD` tasks, those that succeed there all the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What a simulation is of."""

    kinds: tuple[FakeKind, ...]
    error: ErrorInfo
    """Of tasks that fail."""
    ill: Ill | None = None

    @property
    def longest(self) -> float:
        """Nothing natural is open for longer, while nothing is paused."""
        slower = self.ill.slower if self.ill is not None else 1.0
        return WAIT_SECONDS + 2 * slower * max(kind.seconds for kind in self.kinds)

    def kind(self, name: str) -> FakeKind | None:
        """By its name."""
        return next((kind for kind in self.kinds if kind.name == name), None)


TRIAL: Final = Scene(
    (
        FakeKind("hash", 40, 2.0, "SHA-256 of a text", {"text": "abc"}),
        FakeKind("wordcount", 20, 4.0, "Words of a text, counted", {"text": "to be or not to be"}),
        FakeKind("resize", 15, 8.0, "A picture in another size", {"path": "in/0001.jpg", "width": 640}),
        FakeKind("shell", 10, 12.0, "A command line", {"argv": ["make", "test"]}),
        FakeKind("train", 8, 36.0, "A model, trained on one fold", {"fold": 3, "epochs": 20}, every=3),
        FakeKind("render", 8, 10.0, "A frame of a film", {"scene": "intro", "frame": 12}, every=0),
    ),
    ErrorInfo(
        "failed",
        "ValueError: no such column `price` in batch 7",
        'Traceback (most recent call last):\n  File "kinds/resize.py", line 41, in handle\n'
        '    column = table["price"]\nValueError: no such column `price` in batch 7\n',
        {"rss_mb": 212},
    ),
)
"""Kinds with payloads of every sort: for tests of the console."""
_FULL: Final = ErrorInfo(
    "failed",
    "OSError: [Errno 28] No space left on device: '/var/tmp/task-messenger/scratch'",
    'Traceback (most recent call last):\n  File "taskmessenger/runtimes/process.py", line 88, in run\n'
    "    scratch.write(block)\n"
    "OSError: [Errno 28] No space left on device: '/var/tmp/task-messenger/scratch'\n",
    {"disk_free_mb": 0},
)
DEMO: Final = Scene(
    (
        FakeKind("hash", 40, 2.0, "SHA-256 of a text", "hello"),
        FakeKind("wordcount", 20, 4.0, "Words of a text, counted", "the quick brown fox\njumps"),
        FakeKind("sum", 15, 8.0, "The sum of a list of numbers", [1, 2, 3]),
        FakeKind("echo", 10, 12.0, "Its payload, unchanged", "hello"),
        FakeKind("wait", 8, 36.0, "Waits for so many seconds", 0.5, every=3),
        FakeKind("upper", 8, 10.0, "A text in capitals", "hello", every=0),
    ),
    _FULL,
    Ill("w-amber-06"),
)
"""The kinds that the product has, and one thing that is wrong: to be found by whoever looks around."""
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

    def __init__(self, seed: int, size: int, rate: float, start: float, scene: Scene = TRIAL) -> None:
        self.seed, self.size, self.rate, self.start, self.scene = seed, size, rate, start, scene
        self.kinds = scene.kinds
        rng = Random(seed)  # noqa: S311 - a simulation
        kinds = [index for index, kind in enumerate(self.kinds) for _ in range(kind.weight)]
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
        """Which of the kinds."""
        return self._kinds[number * 37 % KIND_PERIOD]

    def ending(self, number: int) -> TaskState:
        """How it ends."""
        if not self.kinds[self.kind(number)].every:
            return TaskState.CANCELLED
        return self._endings[number * 611 % END_PERIOD]

    def is_ill(self, number: int) -> bool:
        """Whether it ran where something is wrong."""
        ill = self.scene.ill
        if ill is None or not self.kinds[self.kind(number)].every:
            return False
        place = number * 611 % END_PERIOD
        return place < ill.also or self._endings[place] in {TaskState.FAILED, TaskState.TIMED_OUT}

    def submitted(self, number: int) -> float:
        """When it came."""
        jitter = share(mix(self.seed, number), 0)
        return self.start + (number - self.size - jitter) / self.rate

    def life(self, number: int) -> Life:
        """The whole of it."""
        bits = mix(self.seed, number)
        submitted = self.start + (number - self.size - share(bits, 0)) / self.rate
        kind = self.kinds[self.kind(number)]
        if not kind.every:
            return Life(submitted, UNSERVED_SECONDS, 0.0, TaskState.CANCELLED)
        ending = self.ending(number)
        spent = 2 if ending in {TaskState.FAILED, TaskState.TIMED_OUT} else int((bits >> 40) % 29 == 0)
        run = kind.seconds * (0.5 + 1.5 * share(bits, 10) ** 3)
        run *= self.scene.ill.slower if self.scene.ill is not None and self.is_ill(number) else 1.0
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
