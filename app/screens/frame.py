"""What a screen draws from: the newest snapshot and what happened since the last one. Four times a second.

The console pulls, and nothing pushes: however much goes on at the node, a frame is one snapshot and at most a
few pages of events, and the screens that are not seen get none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..handle import EventRow, NodeHandle, Snapshot
from .event_rings import EventRings
from .widgets.columns import Look
from .widgets.words import TimeMode

BEAT: Final = 0.25
"""Seconds between frames: the eye needs no more."""
PAGES: Final = 4
"""Pages of events that one frame takes at most; the rest waits, or is counted as missed."""
AWAY: Final = 3.0
"""Seconds without a new snapshot after which a node counts as away even when it says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One moment on the screen."""

    number: int
    """Counts frames."""
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
    second: bool = False
    """The first frame of a second: what is costly may be asked for, and clocks go on."""

    @property
    def age(self) -> float:
        """Seconds since the snapshot was taken."""
        return max(self.now - self.snapshot.at, 0.0)

    @property
    def look(self) -> Look:
        """How rows of a table tell times in this frame: to the second."""
        return Look(now=float(int(self.now)), times=self.times)

    def differs(self, before: Frame | None) -> bool:
        """Whether there is anything in it that was not in the one before, but for the time."""
        if before is None or self.second or self.events or self.missed:
            return True
        new, old = self.snapshot, before.snapshot
        return self.away is not before.away or any(
            getattr(new, name) is not getattr(old, name) for name in new.__struct_fields__ if name != "at"
        )


class Pulse:
    """Takes frames from a node."""

    def __init__(self, node: NodeHandle) -> None:
        self.node = node
        self.events = EventRings()
        """Those that the console remembers, for a screen that is opened later."""
        self.missed = 0
        """Since the console was opened."""
        self._cursor = 0
        self._number = 0
        self._second = (-1, 0)
        """The last second that had a frame of its own, and the number of that."""
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
            second=self._is_second(int(now)),
        )
        self._number += 1
        return frame

    def _is_second(self, now: int) -> bool:
        """One in four has to be, even if the clock stands still."""
        last, number = self._second
        if now == last and self._number - number < round(1 / BEAT):
            return False
        self._second = now, self._number
        return True

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
        self.events.add(rows)
        self.missed += missed
        return rows, missed
