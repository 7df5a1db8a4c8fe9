"""What the snapshots of the last minutes said of each worker, kind and link, for curves and rates.

The node sends the present only. This is kept by the console, and so begins when the console does. Numbers
that a worker says of itself are checked here: a screen can draw whatever comes out.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from ..handle import KindRow, SessionRow, Snapshot, WorkerRow

if TYPE_CHECKING:
    from .app import Console

KEPT: Final = 120
"""Values of each curve: as many seconds, of a fleet that is not very large."""
LEAST: Final = 0.9
"""Seconds between two values."""
MOST: Final = 5_000
"""Workers, kinds and links each that are followed; of more there is no curve."""
RATE_SECONDS: Final = 30.0
"""What the rate of a worker is the mean of."""
LARGEST: Final = 1e15
"""A greater number of bytes is nonsense."""
WORKER: Final = ("cpu", "memory", "busy", "ended")
KIND: Final = ("rate", "queued", "running")
LINK: Final = ("sent", "received")
NOTHING: Final = math.nan


class Trail:
    """A few curves of one thing, with a common line of time."""

    __slots__ = ("_at", "_columns")

    def __init__(self, names: Sequence[str]) -> None:
        self._at = array("d")
        self._columns = {name: array("d") for name in names}

    def add(self, at: float, *values: float) -> None:
        """The next moment; values in the order of the names, `NOTHING` for what is not known."""
        self._at.append(at)
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)
        if len(self._at) >= KEPT + KEPT // 2:
            for column in (self._at, *self._columns.values()):
                del column[:-KEPT]

    def values(self, name: str) -> Sequence[float]:
        """The newest values, oldest first."""
        return self._columns[name][-KEPT:]

    def last(self, name: str) -> float:
        """The newest value; `NOTHING` when there is none."""
        column = self._columns[name]
        return column[-1] if column else NOTHING

    def per_second(self, name: str) -> Sequence[float]:
        """Of something that is counted: how fast it grew between each two moments. Never below zero."""
        at, counted = self._at[-KEPT:], self._columns[name][-KEPT:]
        return [_growth(counted[i - 1], counted[i], at[i] - at[i - 1]) for i in range(1, len(at))]

    def rate(self, name: str, seconds: float = RATE_SECONDS) -> float | None:
        """The same over the last seconds as one number; None when too little is known."""
        at, counted = self._at, self._columns[name]
        first = bisect_left(at, at[-1] - seconds) if at else 0
        if len(at) - first < 2:  # noqa: PLR2004  two moments make one rate
            return None
        return _growth(counted[first], counted[-1], at[-1] - at[first])

    @property
    def seconds(self) -> float:
        """How long ago the first value that is still shown was taken."""
        return self._at[-1] - self._at[-KEPT:][0] if self._at else 0.0


class Trails:
    """Of one console. Give it snapshots; more of them than needed do no harm."""

    def __init__(self) -> None:
        self._workers: dict[str, Trail] = {}
        self._kinds: dict[str, Trail] = {}
        self._links: dict[int, Trail] = {}
        self._all = Trail(LINK)
        """Bytes of all links since the console began, those of links that are gone as well."""
        self._sum = (0.0, 0.0)
        self._seen: dict[str, tuple[float, Any]] = {}

    def take(self, snapshot: Snapshot) -> None:
        """Note what is new."""
        at = snapshot.at
        if self._is_new("workers", at, snapshot.workers):
            self._note(self._workers, WORKER, at, {row.id: of_worker(row) for row in snapshot.workers})
        if self._is_new("kinds", at, snapshot.kinds):
            self._note(self._kinds, KIND, at, {row.name: _of_kind(row) for row in snapshot.kinds})
        if self._is_new("sessions", at, snapshot.sessions):
            standing = {row.id: _of_link(row) for row in snapshot.sessions if row.state != "ended"}
            self._count(at, standing)
            self._note(self._links, LINK, at, standing)

    def worker(self, worker_id: str) -> Trail:
        """Curves `cpu`, `memory`, `busy` (shares) and `ended` (a count)."""
        return self._workers.get(worker_id) or Trail(WORKER)

    def kind(self, name: str) -> Trail:
        """Curves `rate` (a second), `queued`, `running`."""
        return self._kinds.get(name) or Trail(KIND)

    def link(self, number: int) -> Trail:
        """Counts `sent` and `received`, in bytes."""
        return self._links.get(number) or Trail(LINK)

    def traffic(self) -> tuple[float, float]:
        """Bytes a second of all links: sent, received."""
        return self._all.rate("sent") or 0.0, self._all.rate("received") or 0.0

    def _is_new(self, what: str, at: float, rows: Any) -> bool:
        """Large fleets send their rows less often than the rest: the same ones again are no news."""
        before, known = self._seen.get(what, (-math.inf, None))
        if (at - before < LEAST and at >= before) or rows is known:
            return False
        self._seen[what] = (at, rows)
        return True

    def _count(self, at: float, standing: Mapping[int, tuple[float, float]]) -> None:
        sent, received = self._sum
        for number, (out, into) in standing.items():
            if (link := self._links.get(number)) is not None:
                sent += max(out - link.last("sent"), 0.0)
                received += max(into - link.last("received"), 0.0)
        self._sum = sent, received
        self._all.add(at, sent, received)

    @staticmethod
    def _note(
        trails: dict[Any, Trail], names: Sequence[str], at: float, rows: Mapping[Any, Sequence[float]]
    ) -> None:
        for key in trails.keys() - rows.keys():
            del trails[key]
        for key, values in rows.items():
            trail = trails.get(key)
            if trail is None:
                if len(trails) >= MOST:
                    continue
                trail = trails[key] = Trail(names)
            trail.add(at, *values)


_OF: WeakKeyDictionary[Console, Trails] = WeakKeyDictionary()


def trails_of(console: Console) -> Trails:
    """Those of this console."""
    return _OF.setdefault(console, Trails())


def forget(console: Console) -> None:
    """Begin anew: the console has gone to another time."""
    _OF.pop(console, None)


def part(load: Mapping[str, float], name: str) -> float | None:
    """A share that a worker tells of itself, between 0 and 1; None when it does not, or tells nonsense."""
    value = load.get(name)
    if value is None or not math.isfinite(value):
        return None
    return max(0.0, min(float(value), 1.0))


def amount(load: Mapping[str, float], name: str) -> float | None:
    """A number of bytes that a worker tells of itself; None when it does not, or tells nonsense."""
    value = load.get(name)
    return float(value) if value is not None and 0 <= value <= LARGEST else None


def of_worker(row: WorkerRow) -> tuple[float, float, float, float]:
    """A value for each of `WORKER`."""
    cpu, memory = part(row.load, "cpu"), part(row.load, "memory")
    busy = min(row.running / row.capacity, 1.0) if row.capacity else NOTHING
    return (
        NOTHING if cpu is None else cpu,
        NOTHING if memory is None else memory,
        busy,
        float(row.done + row.failed),
    )


def _of_kind(row: KindRow) -> tuple[float, float, float]:
    return row.rate_5s, float(row.queued), float(row.running)


def _of_link(row: SessionRow) -> tuple[float, float]:
    return float(row.sent), float(row.received)


def _growth(before: float, after: float, seconds: float) -> float:
    return max(after - before, 0.0) / seconds if seconds > 0 else 0.0
