"""The fleet at a glance: tasks by state, how fast they end, who works, what is paused, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical

from ...handle import Alarm
from ..frame import Frame
from ..overview_panels import curves, fleet_lines, kind_lines, lately, rates, tasks, trouble
from ..trails import LEAST, Trails, trails_of
from ..view import SHORT, View
from ..widgets.badges import badge
from ..widgets.columns import Column
from ..widgets.grid import Grid
from ..widgets.panel import Panel, PlotPanel
from ..widgets.words import brief, safe
from ..widgets.wrap import wrapped

LINES: Final = 3
"""Of an alarm that is longer than its line."""
PLOTS: Final = ("Ended/s", "Waiting", "Running", "Latency")


def _columns() -> tuple[Column[Alarm], ...]:
    return (
        Column(key="level", title="", width=9, cell=lambda a, _: badge(a.level)),
        Column(key="text", title="ALARM", width=30, grow=1, cell=lambda a, _: safe(a.text)),
        Column(key="since", title="FOR", width=9, right=True, cell=lambda a, look: brief(look.now - a.since)),
    )  # fmt: skip


class OverviewView(View):
    """All of it at once."""

    NAME, TITLE, PLACE = "overview", "Overview", 1
    ROLES = frozenset({"manager"})
    ABOUT = (
        "The fleet at a glance. Curves are of the last five minutes. Enter on an alarm shows what it is"
        " about; p pauses the whole fleet: it goes on accepting tasks and hands none out."
    )
    DEFAULT_CSS = """
    OverviewView #plots { layout: grid; grid-size: 2; grid-gutter: 0; height: 1fr; }
    OverviewView #lower { height: 1fr; }
    OverviewView #left, OverviewView #right { width: 1fr; height: 1fr; }
    OverviewView #kinds, OverviewView #lately { height: 1fr; }
    OverviewView #alarms { height: 1fr; max-height: 8; }
    OverviewView #alarm { border: none; padding: 0 2; display: none; }
    OverviewView.-tall #rates { display: none; }
    OverviewView.-short #plots, OverviewView.-short #kinds, OverviewView.-short #lately { display: none; }
    OverviewView.-short #lower, OverviewView.-narrow #lower { layout: vertical; }
    OverviewView.-short #left, OverviewView.-narrow #left { height: auto; }
    OverviewView.-short #alarms { max-height: 100%; }
    OverviewView.-narrow #kinds { display: none; }
    """

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self._drawn: object = None
        """What the costly panels were drawn from: once a second, and when something else changes."""

    def body(self) -> ComposeResult:
        yield Panel("Tasks", id="tasks")
        yield Panel("Now", id="rates")
        with Container(id="plots"):
            for title in PLOTS:
                yield PlotPanel(title)
        with Horizontal(id="lower"):
            with Vertical(id="left"):
                yield Panel("Fleet", id="fleet")
                yield Panel("Kinds", id="kinds")
            with Vertical(id="right"):
                yield Grid(
                    _columns(), key=lambda a: (a.code, a.scope), empty="no alarms: all is well", id="alarms"
                )
                yield Panel("", id="alarm")
                yield Panel("Lately", id="lately")

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(LEAST, self._follow)

    def noun(self) -> str:
        return "alarm"

    def draw(self, frame: Frame) -> None:
        snapshot, look, styles = frame.snapshot, frame.look, self.console.tones()
        trails = trails_of(self.console)
        trails.take(snapshot)
        self.query_one(Grid).show(snapshot.alarms, look)
        self._tell_alarm()
        tall, fleet = self.size.height >= SHORT, snapshot.fleet
        if fleet is not None:
            panel = self.query_one("#tasks", Panel)
            panel.tell(tasks(fleet, panel.room.width, styles))
        if not tall:
            panel = self.query_one("#rates", Panel)
            panel.tell(rates(snapshot, panel.room.width, styles))
        rooms = tuple(panel.room for panel in self.query(Panel))
        drawn = (look.now, look.times, fleet and fleet.paused, rooms, self.console.theme)
        if drawn != self._drawn:
            self._drawn = drawn
            self._draw_costly(frame, trails, styles, tall=tall)

    def _draw_costly(self, frame: Frame, trails: Trails, styles: Mapping[str, str], *, tall: bool) -> None:
        """What takes a look at every worker, or paints much."""
        snapshot, look, fleet = frame.snapshot, frame.look, frame.snapshot.fleet
        if fleet is not None:
            panel = self.query_one("#fleet", Panel)
            width = panel.room.width
            panel.tell(fleet_lines(snapshot, fleet, look, styles, width=width, tall=tall))
        if not tall:
            return
        for plot, curve in zip(self.query(PlotPanel), curves(snapshot).values(), strict=True):
            plot.show(curve, styles)
        panel = self.query_one("#kinds", Panel)
        panel.tell(kind_lines(snapshot, trails, panel.room, styles))
        panel = self.query_one("#lately", Panel)
        panel.tell(lately(trouble(self.console.pulse.events.serious()), look, panel.room, styles))

    @on(Grid.Moved)
    def _tell_alarm(self) -> None:
        """The alarm under the cursor in full, where its line has no room for it."""
        grid, panel = self.query_one(Grid), self.query_one("#alarm", Panel)
        alarm = grid.current()
        text = "" if alarm is None else safe(alarm.text)
        room = next(p.width for p in grid.table.places(grid.size.width) if p.column.key == "text")
        panel.display = cell_len(text) > room
        panel.tell(wrapped(text, grid.size.width, LINES))

    def _follow(self) -> None:
        """Curves of workers and kinds go on while another screen is seen."""
        trails_of(self.console).take(self.node.snapshot())

    @on(Grid.Opened)
    def _open(self) -> None:
        self.console.give("alarm.open", self)
