"""A worker as it sees itself: its link, what it runs, what it has done, what that costs the machine."""

from __future__ import annotations

from typing import Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container

from ...handle import RunningRow
from ..frame import Frame
from ..own_facts import OwnTrail, curves, facts, output, progress
from ..view import SHORT, View
from ..widgets.columns import Column
from ..widgets.grid import Grid
from ..widgets.panel import Panel, PlotPanel
from ..widgets.words import brief, safe

PLOTS: Final = ("CPU", "Memory", "Slots in use", "Ended/s")
OUTPUT: Final = 8
"""Newest lines of the task under the cursor."""


def _columns() -> tuple[Column[RunningRow], ...]:
    return (
        Column(key="task", title="TASK", width=8, right=True, down=True, cell=lambda r, _: str(r.task),
               order=lambda r: r.task),
        Column(key="kind", title="KIND", width=10, fit=True, cell=lambda r, _: safe(r.kind),
               order=lambda r: r.kind),
        Column(key="attempt", title="ATTEMPT", width=7, right=True, down=True, drop=2,
               cell=lambda r, _: str(r.attempt), order=lambda r: r.attempt),
        Column(key="runs", title="RUNS", width=7, right=True, down=True,
               cell=lambda r, look: brief(max(look.now - r.since, 0.0)), order=lambda r: -r.since),
        Column(key="progress", title="PROGRESS", width=22, down=True, cell=lambda r, _: progress(r),
               order=lambda r: r.fraction),
        Column(key="note", title="NOTE", width=12, grow=2, drop=1, cell=lambda r, _: safe(r.note)),
    )  # fmt: skip


class StatusView(View):
    """This worker."""

    NAME, TITLE, PLACE = "status", "Status", 1
    ROLES = frozenset({"worker"})
    ABOUT = (
        "This worker: its link to the manager, its slots and what runs in them; Enter shows the output of"
        " a task. The manager learns of pause, drain and disconnect at once. Curves begin with the console."
    )
    DEFAULT_CSS = """
    StatusView #plots { layout: grid; grid-size: 4 1; height: 1fr; max-height: 12; }
    StatusView.-narrow #plots { grid-size: 2 2; max-height: 14; }
    StatusView.-short #plots, StatusView.-short #output { display: none; }
    StatusView Grid { height: 2fr; }
    """

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self._trail = OwnTrail()

    def body(self) -> ComposeResult:
        yield Panel("This worker", id="facts")
        with Container(id="plots"):
            for title in PLOTS:
                yield PlotPanel(title)
        yield Grid(_columns(), key=lambda row: row.task, empty="nothing runs here just now", id="running")
        yield Panel("Output", id="output")

    def noun(self) -> str:
        return "task"

    def rewound(self) -> None:
        self._trail = OwnTrail()

    def draw(self, frame: Frame) -> None:
        me, panel = frame.snapshot.worker, self.query_one("#facts", Panel)
        if me is None:
            panel.tell("nothing is known of this worker yet")
            return
        self._trail.take(frame.snapshot.at, me)
        tall, styles = self.size.height >= SHORT, self.console.tones()
        panel.tell(facts(me, self._trail, frame.look, styles, curves=not tall))
        self.query_one(Grid).show(me.running, frame.look)
        if tall:
            for plot, curve in zip(self.query(PlotPanel), curves(me, self._trail), strict=True):
                plot.show(curve, styles)
        self._tell_output()

    @on(Grid.Moved)
    def _tell_output(self) -> None:
        row, panel = self.current(), self.query_one("#output", Panel)
        title = f"Output of task {row.task}" if row is not None else "Output"
        if panel.border_title != title:  # Textual paints all of it, also when it is the same
            panel.border_title = title
        lines = [*output(row).split(allow_blank=True)][-OUTPUT:] if row is not None else []
        panel.tell(Text("\n").join(lines) or Text("it has written nothing"))

    @on(Grid.Opened)
    async def _open(self, event: Grid.Opened) -> None:
        await self.console.go("running", str(event.row.task))
