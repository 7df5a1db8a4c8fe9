"""What is measured, the same way for every peer: the plan, the clock and the report.

A driver offers a `Fleet`; everything else happens here, so that no peer is timed differently. Bounds come
first: a run that would not fit is made smaller or left out, and the report says so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, Protocol

import machine
from machine import Failed, Quiet, Usage

WARM_UP_FIRST: Final = 20
WARM_UP_SECONDS: Final = 1.0
"""Warming up ends with the first batch that takes as long; batches double."""
SLACK: Final = 2.0
"""A run is stopped when it takes so many times as long as one may be expected to take."""
LATENCY_WARM_UP: Final = 20
STOPPING_SECONDS: Final = 25.0
"""Kept back of a driver's time for ending its processes."""
FIRST_NUMBER: Final = 1_000
"""Arguments start here and never repeat within a fleet: no peer may answer from a cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured."""

    runs: int
    tasks: int
    many: int
    """The larger number of tasks, with two workers only."""
    round_trips: int
    run_seconds: float
    """A run that is expected to take longer is made smaller, until it takes about `cut_seconds`."""
    cut_seconds: float
    many_seconds: float
    """A run of `many` that is expected to take longer is left out, and stopped when it does."""
    repeat_seconds: float
    """Runs of `many` are repeated only as long as they take no longer together."""
    quiet_seconds: float
    """Spent on waiting for a quiet machine, per driver."""


FULL: Final = Sizes(
    runs=3,
    tasks=20_000,
    many=100_000,
    round_trips=500,
    run_seconds=50,
    cut_seconds=15,
    many_seconds=120,
    repeat_seconds=45,
    quiet_seconds=20,
)
QUICK: Final = Sizes(
    runs=1,
    tasks=2_000,
    many=5_000,
    round_trips=100,
    run_seconds=15,
    cut_seconds=4,
    many_seconds=15,
    repeat_seconds=5,
    quiet_seconds=1,
)


class Fleet(Protocol):
    """A server and its workers, running, and a client connected to them."""

    def run(self, first: int, count: int) -> None:
        """Have the numbers from `first` on returned by one task each; return when all results are here.

        Raises:
            Failed: a result is missing or wrong.
        """
        ...

    def one(self, number: int) -> None:
        """The same for a single task."""
        ...

    def round_trips(self, first: int, count: int) -> list[float]:
        """Seconds of `count` tasks, each handed in when the one before has come back."""
        ...


class OneByOne:
    """`round_trips` for a client that blocks."""

    def one(self, number: int) -> None:
        raise NotImplementedError

    def round_trips(self, first: int, count: int) -> list[float]:
        clock, took = time.perf_counter, []
        for number in range(first, first + count):
            start = clock()
            self.one(number)
            took.append(clock() - start)
        return took


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What is driven, and what the reader must know to compare it."""

    name: str
    title: str
    versions: dict[str, str]
    durability: str
    batching: str
    transport: str
    result: str
    """What the client has in hand at the end."""
    fleet: Callable[[int, Path], AbstractContextManager[Fleet]]
    """Started with so many single-threaded workers, its files in that directory."""
    round_trips: bool = True
    """Whether one task's round trip says anything that another variant does not."""


@dataclass(slots=True, kw_only=True)
class Run:
    """One run, and how disturbed it was."""

    seconds: float
    others_before: float
    """Cores that others used just before."""
    others: float
    """Cores that others used meanwhile."""


@dataclass(slots=True, kw_only=True)
class Measure:
    """One figure: its runs, or why there are none."""

    workers: int
    asked: int
    """How many tasks the plan wants."""
    tasks: int = 0
    """How many there were."""
    runs: list[Run] = field(default_factory=list)
    tasks_per_s: dict[str, float] = field(default_factory=dict)
    p50_ms: dict[str, float] = field(default_factory=dict)
    p99_ms: dict[str, float] = field(default_factory=dict)
    note: str = ""


class _TooSlow(Exception):
    """A run was stopped or there is no time for it: its tasks are in the way of all later ones."""


@contextlib.contextmanager
def _at_most(seconds: float, measure: Measure) -> Iterator[None]:
    def stop(*_: object) -> None:
        measure.note = f"stopped after {seconds:.0f} s"
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "low": min(values), "high": max(values)}


class Bench:
    """Measures one peer within its time."""

    def __init__(self, peer: Peer, sizes: Sizes, seconds: float) -> None:
        self.peer, self.sizes = peer, sizes
        self.measures: dict[str, Measure] = {}
        self.processes: dict[str, int] = {}
        """What runs besides the client, with two workers, by name."""
        self._deadline = time.monotonic() + seconds - STOPPING_SECONDS
        self._quiet = Quiet(sizes.quiet_seconds)
        self._next = FIRST_NUMBER

    def measure(self, folder: Path) -> None:
        """Everything; what could not be measured has a note."""
        sizes = self.sizes
        with self._fleet(1, folder) as fleet:
            self._rate(fleet, 1, sizes.tasks, share=0.4)
        with self._fleet(2, folder) as fleet:
            self.processes = _names()
            rate = self._rate(fleet, 2, sizes.tasks, share=0.55)
            if self.peer.round_trips:
                self._latency(fleet, share=0.35)
            self._many(fleet, rate)

    @contextlib.contextmanager
    def _fleet(self, workers: int, folder: Path) -> Iterator[Fleet]:
        own = folder / str(workers)
        own.mkdir(mode=0o700)
        with contextlib.suppress(_TooSlow), self.peer.fleet(workers, own) as fleet:
            yield fleet

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _rate(self, fleet: Fleet, workers: int, asked: int, share: float) -> float:
        sizes = self.sizes
        measure = self._add(f"trivial_{asked}_tasks_{workers}_workers", workers, asked)
        rate = self._warm_up(fleet, measure)
        measure.tasks = self._fitting(asked, rate, measure)
        end = time.monotonic() + self._left() * share
        self._repeat(measure, end, sizes.run_seconds * SLACK, lambda: self._timed(fleet, measure.tasks))
        _rates(measure)
        return measure.tasks_per_s["median"]

    def _many(self, fleet: Fleet, rate: float) -> None:
        sizes, asked = self.sizes, self.sizes.many
        measure = self._add(f"trivial_{asked}_tasks_2_workers", 2, asked)
        needed, limit = asked / rate, min(sizes.many_seconds, self._left())
        if needed > limit:
            why = "left out" if limit < sizes.many_seconds else f"not within {limit:.0f} s"
            measure.note = f"{why}: would take about {needed:.0f} s at {rate:,.0f} tasks/s"
            return
        measure.tasks = asked
        end = time.monotonic() + min(sizes.repeat_seconds, self._left())
        self._repeat(measure, end, sizes.many_seconds, lambda: self._timed(fleet, asked))
        _rates(measure)

    def _latency(self, fleet: Fleet, share: float) -> None:
        measure = self._add("round_trip", 2, self.sizes.round_trips)
        with _at_most(self.sizes.run_seconds, measure):
            warm = fleet.round_trips(self._numbers(LATENCY_WARM_UP), LATENCY_WARM_UP)
        measure.tasks = self._fitting(measure.asked, 1 / max(median(warm), 1e-6), measure)
        took: list[list[float]] = []

        def once() -> float:
            took.append(sorted(fleet.round_trips(self._numbers(measure.tasks), measure.tasks)))
            return sum(took[-1])

        end = time.monotonic() + self._left() * share
        self._repeat(measure, end, self.sizes.run_seconds * SLACK, once)
        measure.p50_ms = _spread([1e3 * one[len(one) // 2] for one in took])
        measure.p99_ms = _spread([1e3 * one[min(len(one) - 1, len(one) * 99 // 100)] for one in took])

    def _add(self, name: str, workers: int, asked: int) -> Measure:
        self.measures[name] = measure = Measure(workers=workers, asked=asked)
        if self._left() <= 0:
            measure.note = "no time left"
            raise _TooSlow
        return measure

    def _warm_up(self, fleet: Fleet, measure: Measure) -> float:
        """Tasks per second of the last batch."""
        count, rate = WARM_UP_FIRST, 0.0
        with _at_most(self.sizes.run_seconds, measure):
            while True:
                took = self._timed(fleet, count)
                rate = count / max(took, 1e-6)
                if took >= WARM_UP_SECONDS or count * 2 >= measure.asked:
                    return rate
                count *= 2

    def _fitting(self, asked: int, rate: float, measure: Measure) -> int:
        needed = asked / rate
        if needed <= self.sizes.run_seconds and needed <= self._left():
            return asked
        fits = max(WARM_UP_FIRST, int(rate * self.sizes.cut_seconds))
        measure.note = f"{asked:,} would take about {needed:.0f} s: measured with {fits:,}"
        return fits

    def _repeat(self, measure: Measure, end: float, limit: float, once: Callable[[], float]) -> None:
        """The runs of a measure: at least one, and more while they are expected to be over before `end`."""
        longest = 0.0
        while len(measure.runs) < self.sizes.runs:
            if measure.runs and time.monotonic() + longest > end:
                break
            started = time.monotonic()
            others_before = self._quiet.wait()
            before = Usage.now()
            with _at_most(limit, measure):
                seconds = once()
            others = round(Usage.now().others_since(before), 2)
            measure.runs.append(Run(seconds=seconds, others_before=others_before, others=others))
            longest = max(longest, time.monotonic() - started)

    def _timed(self, fleet: Fleet, count: int) -> float:
        first = self._numbers(count)
        start = time.perf_counter()
        fleet.run(first, count)
        return time.perf_counter() - start

    def _numbers(self, count: int) -> int:
        self._next += count
        return self._next - count


def _rates(measure: Measure) -> None:
    measure.tasks_per_s = _spread([measure.tasks / run.seconds for run in measure.runs])


def _names() -> dict[str, int]:
    names: dict[str, int] = {}
    for each in machine.descendants():
        names[each.name] = names.get(each.name, 0) + 1
    return names


def arguments(variants: tuple[str, ...] = ()) -> argparse.Namespace:
    """What every driver is asked with."""
    parser = argparse.ArgumentParser(description="Drives one peer; prints one JSON object.")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run")
    parser.add_argument("--seconds", type=float, default=600.0, help="time for everything")
    if variants:
        parser.add_argument("--variant", choices=variants, default=variants[0])
    return parser.parse_args()


def report(make: Callable[[], Peer], options: argparse.Namespace) -> None:
    """Measure and print. Standard output gets the JSON object and nothing else."""
    # Peers print banners, some from other processes: those go where the errors go.
    printed = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    machine.settle_in()
    alone = machine.only_loopback()
    found: dict[str, Any] = {"network": "only loopback exists" if alone else "not confined"}
    bench: Bench | None = None
    try:
        peer = make()
        found |= {key: value for key, value in _described(peer).items() if key != "fleet"}
        bench = Bench(peer, QUICK if options.quick else FULL, options.seconds)
        # Short: some peers put their sockets below, and a socket's path is limited.
        with tempfile.TemporaryDirectory(prefix="bp-", ignore_cleanup_errors=True) as folder:
            bench.measure(Path(folder))
    except Failed as error:
        found["error"] = str(error)
    except KeyboardInterrupt:
        found["error"] = "stopped from outside"
    except Exception as error:  # the border to the peer: whatever it raises, what was measured before is kept
        traceback.print_exc()
        found["error"] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    finally:
        found["left_over"] = machine.sweep()
    if bench is not None:
        found["processes"] = bench.processes
        found["measures"] = {name: asdict(measure) for name, measure in bench.measures.items()}
    json.dump(found, printed)
    printed.close()
    # Libraries that lost their server may wait for it at exit.
    sys.stderr.flush()
    os._exit("error" in found)


def _described(peer: Peer) -> dict[str, Any]:
    return {
        "name": peer.name,
        "title": peer.title,
        "versions": {"python": platform.python_version(), **peer.versions},
        "durability": peer.durability,
        "batching": peer.batching,
        "transport": peer.transport,
        "result": peer.result,
    }


def expect(results: object, wanted: object) -> None:
    """Raises:
    Failed: they differ.
    """
    if results != wanted:
        raise Failed("wrong results")
