"""What a screen draws from: the newest snapshot and what happened since the last one. Four times a second.

The console pulls, and nothing pushes: however much goes on at the node, a frame is one snapshot and at most a
few pages of events, and the screens that are not seen get none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ..handle import EventRow, NodeHandle, Snapshot
from .widgets.columns import Look
from .widgets.words import TimeMode

BEAT: Final = 0.25
"""Seconds between frames: the eye needs no more."""
KEPT: Final = 5_000
"""Events that the console remembers, for a screen that is opened later."""
PAGES: Final = 4
"""Pages of events that one frame takes at most; the rest waits, or is counted as missed."""
AWAY: Final = 3.0
"""Seconds without a new snapshot after which a node counts as away even when it says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One moment on the screen."""

    number: int
    """Counts frames; every fourth is a second."""
    snapshot: Snapshot
    events: tuple[EventRow, ...] = ()
    """New since the last frame, oldest first. All that is remembered: `Pulse.events`."""
    missed: int = 0
    """Events that came and went between two frames."""
    now: float
    """The wall clock of the console."""
    times: TimeMode = TimeMode.LOCAL
    away: bool = False
    """The node is away: everything here is as old as `age`."""

    @property
    def age(self) -> float:
        """Seconds since the snapshot was taken."""
        return max(self.now - self.snapshot.at, 0.0)

    @property
    def look(self) -> Look:
        """How rows of a table tell times in this frame: to the second."""
        return Look(now=float(int(self.now)), times=self.times)

    @property
    def second(self) -> bool:
        """Whether this is the frame of a second in which what is costly may be asked for."""
        return self.number % round(1 / BEAT) == 0


class Pulse:
    """Takes frames from a node."""

    def __init__(self, node: NodeHandle) -> None:
        self.node = node
        self.events: deque[EventRow] = deque(maxlen=KEPT)
        self.missed = 0
        """Since the console was opened."""
        self._cursor = 0
        self._number = 0
        self._newest = 0.0
        self._since: float | None = None

    def take(self, now: float, times: TimeMode) -> Frame:
        """The next frame. Never waits."""
        snapshot = self.node.snapshot()
        rows, missed = self._events()
        if snapshot.at != self._newest or self._since is None:
            self._newest, self._since = snapshot.at, now
        away = not snapshot.connected or now - self._since > AWAY
        frame = Frame(
            number=self._number,
            snapshot=snapshot,
            events=tuple(rows),
            missed=missed,
            now=now,
            times=times,
            away=away,
        )
        self._number += 1
        return frame

    def newest(self, number: int) -> Sequence[EventRow]:
        """The newest events that are remembered, oldest first."""
        return tuple(islice(self.events, max(len(self.events) - number, 0), None))

    def _events(self) -> tuple[list[EventRow], int]:
        rows: list[EventRow] = []
        missed = 0
        for _ in range(PAGES):
            page = self.node.events(self._cursor)
            missed += page.missed
            rows += page.rows
            if not page.rows or page.cursor == self._cursor:
                break
            self._cursor = page.cursor
        self.events.extend(rows)
        self.missed += missed
        return rows, missed
