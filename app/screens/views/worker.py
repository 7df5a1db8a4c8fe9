"""One worker in full: how it is, its curves, what it holds and has done, what happened to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from time import perf_counter
from typing import Any, Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.worker import WorkType

from ...core.errors import TaskMessengerError, UsageError
from ...core.lifecycle import FINAL, TaskState
from ...handle import EventRow, SessionRow, TaskQuery, TaskRow, WorkerPast, WorkerRow
from ..chosen import Chosen
from ..frame import Frame
from ..trails import KEPT, NOTHING, Trail, amount, part, trails_of
from ..view import SHORT, View
from ..widgets.badges import badge, task_state
from ..widgets.columns import Column
from ..widgets.grid import Grid
from ..widgets.panel import Curve, Panel, PlotPanel
from ..widgets.words import brief, moment, safe, share, size
from ..worker_facts import facts, rate, rate_words

LEASES: Final = 200
ENDED: Final = 100
"""Tasks that it ended, newest first, that are shown."""
EVENTS: Final = 200
OF_THE_NODE: Final = "worker."
"""So begin events that the node remembers for each worker."""
LINKS: Final = -(10**15)
"""Where numbers of events that the console makes of links begin, downwards."""
MAX_NAME: Final = 256
SHARE: Final = 0.02
"""Of the node's time that asking for the tasks may take."""
ASK_SECONDS: Final = 0.9
"""Between two questions, at least."""
SELDOM: Final = 10.0
"""The same at most, however slow the answers are."""
PLOTS: Final = ("CPU", "Memory", "Slots in use", "Ended/s")


def _task_columns() -> tuple[Column[TaskRow], ...]:
    return (
        Column(key="id", title="TASK", width=8, right=True, down=True, cell=lambda r, _: str(r.id),
               order=lambda r: r.id),
        Column(key="kind", title="KIND", width=11, fit=True, order=lambda r: r.kind,
               cell=lambda r, _: safe(r.kind)),
        Column(key="state", title="STATE", width=11, cell=lambda r, _: task_state(r.state),
               order=lambda r: r.state),
        Column(key="attempt", title="ATTEMPT", width=7, right=True, down=True, drop=3,
               cell=lambda r, _: str(r.attempt), order=lambda r: r.attempt),
        Column(key="run", title="RAN", width=7, right=True, down=True, order=lambda r: r.run_seconds,
               cell=lambda r, _: brief(r.run_seconds)),
        Column(key="ended", title="ENDED", width=14, right=True, down=True, drop=1,
               order=lambda r: r.finished_at,
               cell=lambda r, look: moment(r.finished_at, look.times, look.now)),
        Column(key="error", title="ERROR", width=10, grow=3, drop=2,
               cell=lambda r, _: (safe(r.error), "bad")),
    )  # fmt: skip


def _event_columns() -> tuple[Column[EventRow], ...]:
    return (
        Column(key="at", title="AT", width=14,
               cell=lambda r, look: (moment(r.at, look.times, look.now), "dim")),
        Column(key="level", title="", width=9, drop=1, cell=lambda r, _: badge(r.level)),
        Column(key="what", title="WHAT", width=19, cell=lambda r, _: safe(r.what)),
        Column(key="text", title="HISTORY", width=20, grow=1, cell=lambda r, _: safe(r.text)),
    )  # fmt: skip


class WorkerView(View):
    """Everything about one worker."""

    NAME, TITLE, ARGUMENT = "worker", "Worker", "ID"
    ROLES = frozenset({"manager"})
    ABOUT = (
        "One worker: what it holds first, then what it ended last; Enter opens a task. h turns to what"
        " happened to it. Commands are about the worker. Curves are of the last minutes."
    )
    DEFAULT_CSS = """
    WorkerView #plots { layout: grid; grid-size: 4 1; height: 1fr; max-height: 12; }
    WorkerView.-narrow #plots { grid-size: 2 2; max-height: 14; }
    WorkerView #lists { height: 2fr; }
    WorkerView.-short #plots, WorkerView.-short #events { display: none; }
    WorkerView.-narrow #lists { layout: vertical; }
    WorkerView.-short.-history #events { display: block; }
    WorkerView.-short.-history #tasks { display: none; }
    """
    AUTO_FOCUS = "#tasks"

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        if len(argument) > MAX_NAME:
            raise UsageError("no worker has so long a name")
        self.row: WorkerRow | None = None
        self._leases: Sequence[TaskRow] = ()
        self._ended: Sequence[TaskRow] = ()
        self._past = WorkerPast()
        self._due = 0.0

    def body(self) -> ComposeResult:
        yield Panel("Worker", id="facts")
        with Container(id="plots"):
            for title in PLOTS:
                yield PlotPanel(title)
        with Horizontal(id="lists"):
            yield Grid(
                _task_columns(), key=lambda r: r.id, empty="it holds no tasks, and has ended none", id="tasks"
            )
            yield Grid(
                _event_columns(), key=lambda r: r.number, id="events",
                empty="nothing is known of what happened to it",
            )  # fmt: skip

    def heading(self) -> str:
        return self.argument

    def noun(self) -> str:
        return "worker"

    def chosen(self) -> Chosen:
        return Chosen(noun="worker", keys=(self.argument,) if self.row is not None else ())

    def current(self) -> Any:
        return self.row

    def members(self) -> Sequence[WorkerRow]:
        """The workers that a command applies to: this one."""
        return () if self.row is None else (self.row,)

    @property
    def grid(self) -> Grid[Any] | None:
        """The list that has the focus, or that is seen."""
        focused = self.focused
        if isinstance(focused, Grid):
            return focused
        return self.query_one("#events" if self.has_class("-history") else "#tasks", Grid)

    def turn(self) -> None:
        """From its tasks to its history, and back."""
        on = not isinstance(self.grid, Grid) or self.grid.id == "tasks"
        self.set_class(on, "-history")
        self.query_one("#events" if on else "#tasks", Grid).focus()

    def draw(self, frame: Frame) -> None:
        trails = trails_of(self.console)
        trails.take(frame.snapshot)
        self.row = next((row for row in frame.snapshot.workers if row.id == self.argument), None)
        self._tell(frame, trails.worker(self.argument))
        if frame.second or not self._due:
            self.query_one("#events", Grid).show(self._events(), frame.look)
            if not frame.away:
                self._start()
        self.query_one("#tasks", Grid).show((*self._leases, *self._ended), frame.look)

    def _tell(self, frame: Frame, trail: Trail) -> None:
        panel, styles, row = self.query_one("#facts", Panel), self.console.tones(), self.row
        if row is None:
            known = f"no worker is called {safe(self.argument)}; 4 shows them all"
            panel.tell(known)
            return
        tall = self.size.height >= SHORT
        panel.tell(facts(row, trail, frame.look, styles, curves=not tall, cells=panel.room.width))
        if tall:
            for plot, curve in zip(self.query(PlotPanel), _curves(row, trail, self._past), strict=True):
                plot.show(curve, styles)

    def _events(self) -> Sequence[EventRow]:
        """What the node and the console remember of it, and its links, newest first."""
        past = self._past.events
        mine = (
            event
            for event in reversed(self.console.pulse.events)
            if event.subject == self.argument and not (past and event.what.startswith(OF_THE_NODE))
        )
        links = [] if self.frame is None else [*_links(self.frame.snapshot.sessions, self.argument)]
        return sorted([*islice(mine, EVENTS), *past, *links], key=lambda event: event.at, reverse=True)

    def _start(self) -> None:
        busy = any(w.node is self and not w.is_finished for w in self.workers)
        if self.console.clock() >= self._due and not busy:
            ask: WorkType[None] = self._ask
            self.run_worker(ask, group="tasks", exclusive=True)

    async def _ask(self) -> None:
        """Its tasks. Looking must not cost: the slower the answer, the longer until it is asked again."""
        began = perf_counter()
        held = (TaskState.LEASED, TaskState.RUNNING)
        mine = TaskQuery(workers=(self.argument,), states=held, limit=LEASES)
        past = TaskQuery(workers=(self.argument,), states=FINAL, limit=ENDED)
        try:
            self._past = await self.node.worker_past(self.argument)
            leases, ended = await self.node.tasks(mine), await self.node.tasks(past)
        except TaskMessengerError as error:
            if not (self.frame and self.frame.away):  # the banner says so already
                self.console.tell(str(error), "error")
            return
        finally:
            took = perf_counter() - began
            self._due = self.console.clock() + min(max(ASK_SECONDS, took / SHARE), SELDOM)
        self._leases, self._ended = leases.rows, ended.rows
        if self.frame is not None:
            self.query_one("#tasks", Grid).show((*self._leases, *self._ended), self.frame.look)

    @on(Grid.Opened)
    def _open(self) -> None:
        self.console.give("worker.task", self)


def _links(sessions: Sequence[SessionRow], worker_id: str) -> Iterator[EventRow]:
    """When its links began and why they ended, as events. The node's numbers lie above these."""
    for row in sessions:
        if row.peer == worker_id:
            yield EventRow(LINKS - 2 * row.id - 1, row.since, "info", "link.began", worker_id, row.address)
            if row.ended_at is not None:
                yield EventRow(
                    LINKS - 2 * row.id - 2, row.ended_at, "warning", "link.ended", worker_id, row.reason
                )


def _curves(row: WorkerRow, trail: Trail, past: WorkerPast) -> Sequence[Curve]:
    """Of the last minutes as the node knows them, else since the console was opened."""
    cpu, memory, rss = part(row.load, "cpu"), part(row.load, "memory"), amount(row.load, "rss")
    own = f", {size(rss)} its own" if rss is not None else ""
    ended = rate_words(rate(trail))
    drawn = (
        ("cpu", 100.0, "%", share(cpu), "busy"),
        ("memory", 100.0, "%", f"{share(memory)}{own}", "warn"),
        ("busy", float(row.capacity), "", f"{row.running} of {row.capacity}", "busy"),
    )
    known = {name: _known(values) for name, values in (
        ("cpu", past.cpu), ("memory", past.memory), ("busy", past.busy), ("ended", past.ended)
    )} if past.cpu else {name: trail.values(name) for name in ("cpu", "memory", "busy")} | {
        "ended": trail.per_second("ended")
    }  # fmt: skip
    made = [
        Curve(
            values=_full([top * v for v in known[name]]), unit=unit, top=top, now=now, tone=tone, whole=True
        )
        for name, top, unit, now, tone in drawn
    ]
    made.append(Curve(values=_full(known["ended"]), now=f"{ended}/s" if ended else "", tone="good"))
    seconds = KEPT * (past.step if past.cpu else trail.seconds / max(len(known["ended"]), 1))
    return [replace(curve, seconds=seconds) for curve in made]


def _known(values: Sequence[float]) -> Sequence[float]:
    """Below zero the node does not know."""
    return [value if value >= 0 else NOTHING for value in values]


def _full(values: Sequence[float]) -> Sequence[float]:
    """As many values as a curve may have: what was before is not known."""
    return [*[NOTHING] * (KEPT - len(values)), *values]
