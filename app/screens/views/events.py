"""What happens, as it happens: events of tasks, workers and operators, and the log of the node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

from rich.text import Text
from textual import on

from ...handle import EventRow
from ..event_log import LEVELS, EventLog, serious, subject
from ..event_rings import GAP
from ..frame import Frame
from ..table_view import TableView
from ..widgets.badges import badge
from ..widgets.cells import Cell, text_of, tone_of
from ..widgets.columns import Column, Look
from ..widgets.filterbar import FilterBar
from ..widgets.grid import Grid
from ..widgets.words import CLOCK, DATED, TimeMode, exact, moment, safe
from ..widgets.wrap import wrapped

MAX_TEXT: Final = 2_000
"""Characters of one event below the table."""
FIRST_LEVEL: Final = "info"


def _text(row: EventRow) -> Cell:
    tone = tone_of(badge(row.level))
    return (safe(row.text), tone if tone in {"bad", "warn"} else "")


def _columns(moments: int = DATED) -> tuple[Column[EventRow], ...]:
    return (
        Column(key="time", title="TIME", width=moments, right=True,
               cell=lambda r, look: moment(r.at, look.times, look.now)),
        Column(key="level", title="LEVEL", width=9, cell=lambda r, _: badge(r.level)),
        Column(key="what", title="WHAT", width=19, cell=lambda r, _: safe(r.what)),
        Column(key="about", title="ABOUT", width=16, fit=True, cell=lambda r, _: safe(r.subject)),
        Column(key="text", title="TEXT", width=15, grow=8, cell=lambda r, _: _text(r)),
    )  # fmt: skip


class EventsView(TableView):
    """Events and log."""

    NAME, TITLE, PLACE = "events", "Events", 6
    ROLES = frozenset({"manager"})
    ABOUT = (
        "Events and the log, newest at the top. The list stays at the newest until the cursor is moved; Home"
        " or F follows again. Enter goes to the task, worker or kind. A line says where events were missed."
    )
    EMPTY = "nothing has happened yet; l shows more levels"

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self.level = FIRST_LEVEL
        self._log = EventLog(self._wanted)
        self._made_for: Any = None

    def noun(self) -> str:
        return "event"

    def columns(self) -> Sequence[Column[EventRow]]:
        return _columns()

    def key(self, row: EventRow) -> int:
        return row.number

    def words(self, row: EventRow) -> str:
        return f"{row.level} {row.what} {row.subject} {row.text}"

    def full(self, row: EventRow, look: Look) -> Text:
        styles = self.console.tones()
        text = Text(exact(row.at, look.times, look.now), styles["dim"])
        level = badge(row.level)
        text.append(f"   {text_of(level)}", styles.get(tone_of(level), "not dim"))
        text.append(f"   {safe(row.what)}  {safe(row.subject)}\n", "not dim bold")
        return text.append(wrapped(safe(row.text, MAX_TEXT), self.size.width), "not dim")

    def draw(self, frame: Frame) -> None:
        wanted = (self.level, self._tests)
        if wanted != self._made_for:
            self._made_for, self._log = wanted, EventLog(self._wanted)
        known = self.console.pulse.events
        self._log.add(known if not self._log.looked else self._news(frame), known.thinned)
        grid, bar = self.query_one(Grid), self.query_one(FilterBar)
        looked = self._log.looked
        grid.table.empty = f"none of {looked:,} events matches" if looked else self.EMPTY
        grid.table.columns = _columns(self._moments(frame.look))
        grid.show(self._log.rows, frame.look)
        bar.state(self._state(grid))
        self._tell_current()

    def rewound(self) -> None:
        self._made_for = None

    def set_level(self, level: str) -> None:
        """Show events of this level and of worse ones."""
        self.level = level
        if self.frame is not None:
            self.draw(self.frame)

    def follow(self) -> None:
        """Stay at the newest again."""
        grid = self.query_one(Grid)
        grid.go(0)
        grid.table.following = True

    def jump(self) -> tuple[str, str] | None:
        """Where the event under the cursor leads."""
        row, frame = self.current(), self.frame
        if row is None or frame is None:
            return None
        place = subject(row, (kind.name for kind in frame.snapshot.kinds))
        return place if place is not None and place[0] in self.console.views else None

    async def export(self) -> AsyncIterator[Any]:
        for row in self._log.rows:
            if row.what != GAP:
                yield row

    def _news(self, frame: Frame) -> Iterable[EventRow]:
        """Those of this frame; all that are remembered, when some went by while another screen was seen."""
        known = self.console.pulse.events
        if known.newest <= self._log.last:
            return ()
        seen_all = frame.events and self._log.follows(frame.events[0].number)
        return frame.events if seen_all else known

    def _moments(self, look: Look) -> int:
        """Cells for a moment: a date before it is needed from the oldest row on, which is the last."""
        oldest = moment(self._log.rows[-1].at, look.times, look.now) if self._log.rows else ""
        return CLOCK if look.times is not TimeMode.RELATIVE and len(oldest) <= CLOCK else DATED

    def _wanted(self, row: EventRow) -> bool:
        return serious(row, self.level) and all(test(row, Look()) for test in self._tests)

    def _state(self, grid: Grid[Any]) -> str:
        levels = "all levels" if self.level == LEVELS[0] else f"{self.level} and worse"
        parts = [f"{len(self._log.rows):,} of the last {self._log.looked:,} events", levels]
        missed = self.console.pulse.missed
        parts += [f"{missed:,} missed"] if missed else []
        parts += ["follows" if grid.table.following else "stands still: F follows"]
        return "   ".join(parts)

    @on(Grid.Moved)
    def _at_top(self, event: Grid.Moved) -> None:
        if event.grid.table.port.cursor == 0:
            event.grid.table.following = True

    @on(Grid.Opened)
    def _open(self) -> None:
        self.console.give("event.open" if self.jump() else "event.read", self)
