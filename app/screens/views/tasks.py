"""The task pool: every task there is, filtered, sorted and acted on; a window over pages from the node."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final

from msgspec.structs import replace
from rich.text import Text
from textual import on
from textual.app import ComposeResult

from ...core.errors import TaskMessengerError, UsageError
from ...core.filter_complete import complete
from ...core.lifecycle import TaskState
from ...handle import TaskQuery, TaskRow
from ...handle.filters import query_of
from ..chosen import Chosen
from ..frame import Frame
from ..prefs import SavedView
from ..task_sheet import in_short
from ..tasks_pager import Matches, TaskPager
from ..view import View
from ..widgets.badges import task_state
from ..widgets.columns import Column, Sort
from ..widgets.filterbar import FilterBar
from ..widgets.grid import Grid
from ..widgets.paging import Pages
from ..widgets.panel import Panel
from ..widgets.words import brief, moment, safe

COUNT_EVERY: Final = 5
"""Seconds between two counts of what matches: it costs the node more than the rows that are seen."""
REST: Final = 10.0
"""Times as long as the rows took to come they are not asked for again: a busy node is not made busier."""
MAX_REST: Final = 2.0
"""Seconds."""
NEWEST: Final = Sort("id", down=True)
FAILED: Final = frozenset({TaskState.FAILED.value, TaskState.TIMED_OUT.value})


def _columns(*, failed: bool = False) -> tuple[Column[TaskRow], ...]:
    """`failed`: of tasks that went wrong, of which one asks why and when."""
    why, late = (0, 8) if failed else (4, 0)
    return (
        Column(key="id", title="ID", width=9, right=True, sortable=True, down=True,
               cell=lambda r, _: str(r.id)),
        Column(key="kind", title="KIND", width=12, fit=True, cell=lambda r, _: safe(r.kind), sortable=True),
        Column(key="state", title="STATE", width=11, cell=lambda r, _: task_state(r.state), sortable=True),
        Column(key="attempt", title="ATTEMPT", width=7, right=True, drop=3 + late, sortable=True, down=True,
               cell=lambda r, _: str(r.attempt)),
        Column(key="priority", title="PRIO", width=5, right=True, drop=5 + late, sortable=True, down=True,
               cell=lambda r, _: (str(r.priority), "" if r.priority else "dim")),
        Column(key="submitted", title="SUBMITTED", width=14, right=True, sortable=True, down=True, drop=late,
               cell=lambda r, look: moment(r.submitted_at, look.times, look.now)),
        Column(key="finished", title="ENDED", width=14, right=True, drop=2 if failed else 7, sortable=True,
               down=True, cell=lambda r, look: moment(r.finished_at, look.times, look.now)),
        Column(key="run", title="RAN", width=7, right=True, drop=2 + late, sortable=True, down=True,
               cell=lambda r, _: (brief(r.run_seconds), "busy" if r.started_at is not None else "")),
        Column(key="worker", title="WORKER", width=10, fit=True, drop=1, cell=lambda r, _: safe(r.worker)),
        Column(key="batch", title="BATCH", width=10, fit=True, drop=6 + late,
               cell=lambda r, _: (safe(r.batch), "dim")),
        Column(key="error", title="ERROR", width=20, grow=6, drop=why,
               cell=lambda r, _: (safe(r.error), "bad")),
    )  # fmt: skip


class TasksView(View):
    """All tasks."""

    NAME, TITLE, PLACE = "tasks", "Tasks", 3
    ROLES = frozenset({"manager"})
    ABOUT = (
        'Every task the manager keeps. Type / and a filter, as  kind:hash -state:succeeded run>2s "disk full"'
        "  and take what it offers with Tab. Commands apply to the marked rows, or to all that match (^a)."
    )

    DEFAULT_CSS = """
    TasksView #full { border: none; border-top: solid $primary 50%; height: 4; padding: 0 1; }
    """

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self.query_now = TaskQuery()
        self._text = ""
        self.matches = Matches()
        self._pages: Pages[TaskRow] | None = None
        self._seconds = 0
        self._due = 0.0
        self._took: deque[float] = deque([0.0], maxlen=3)
        """Seconds for which the last answers were waited for; one that is slow alone says nothing."""

    def body(self) -> ComposeResult:
        yield FilterBar(partial(_complete, self))
        yield Grid(
            _columns(), key=lambda row: row.id, sort=NEWEST,
            empty="no tasks match; `taskmessenger submit` or the key n hands some in",
        )  # fmt: skip
        yield Panel("", id="full")

    def on_mount(self) -> None:
        super().on_mount()
        self.load("")

    def noun(self) -> str:
        return "task"

    def chosen(self) -> Chosen:
        if self.whole:
            return Chosen(noun="task", query=self.query_now, filter=self._text)
        return super().chosen()

    def export(self) -> AsyncIterator[Any]:
        return TaskPager(self.node, self.query_now).every()

    def acted(self) -> None:
        self._if_idle("refresh")

    # Filter and order

    def load(self, text: str, sort: Sort | None = None) -> None:
        """Show what matches this filter, from its beginning.

        Raises:
            UsageError: the filter makes no sense.
        """
        grid = self.query_one(Grid)
        order = sort or grid.table.sort or NEWEST
        query = query_of(text, self.console.clock(), sort=order.key, descending=order.down)
        if text != self._text:  # in another order they are as many
            self.matches = Matches()
        self.query_now, self._text, self.whole = query, text, False
        grid.table.sort = order
        grid.table.columns = _columns(failed=bool(query.states) and {*query.states} <= FAILED)
        grid.table.marks = frozenset()
        self._pages = Pages(grid, TaskPager(self.node, query))
        if (
            self.frame is not None
        ):  # a screen that is frozen is not drawn, and its rows tell times all the same
            self._pages.look = self.frame.look
        self.query_one(FilterBar).taken(text)
        self.behind = True
        self._start("first")

    def saved(self) -> SavedView:
        """Filter and order, to be kept under a name."""
        sort = self.query_one(Grid).table.sort or NEWEST
        return SavedView(filter=self._text, sort=sort.key, down=sort.down)

    @on(FilterBar.Changed)
    def _filtered(self, event: FilterBar.Changed) -> None:
        try:
            self.load(event.text)
        except UsageError as error:
            self.query_one(FilterBar).wrong(str(error))
        else:
            self.focus_main()

    @on(FilterBar.Left)
    def _left(self) -> None:
        self.focus_main()

    @on(Grid.Sorted)
    def _sorted(self, event: Grid.Sorted) -> None:
        self.load(self._text, event.sort)

    # The window

    def draw(self, frame: Frame) -> None:
        if self._pages is None:
            return
        self._pages.look = frame.look
        self.hurries = self.hurries or any(event.what.startswith("task.") for event in frame.events)
        rested = (
            not 0.0 < self._due - frame.now <= MAX_REST
        )  # further ahead than that: the clock was set back
        if (frame.second or self.hurries) and rested and not frame.away:
            if self.hurries and self.matches.few:
                self._if_idle("count")
            self.hurries = False
            self._if_idle("refresh")
        self._seconds += frame.second
        if frame.second and self._seconds % COUNT_EVERY == 1 and not frame.away:
            self._if_idle("count")
        self._tell()

    @on(Grid.Opened)
    def _open(self) -> None:
        self.console.give("task.open", self)

    @on(Grid.Moved)
    def _near_edge(self) -> None:
        self._if_idle("fill")
        _tell_current(self)

    @on(Grid.Far)
    def _far(self, event: Grid.Far) -> None:
        self._start("last" if event.end else "first")

    def _if_idle(self, what: str) -> None:
        """Two at a time would move one window; what is left out now comes with the next second."""
        group = _group(what)
        if not any(w.group == group and w.node is self and not w.is_finished for w in self.workers):
            self._start(what)

    def _start(self, what: str) -> None:
        """Ask the node beside the drawing; a wish of the operator takes the place of what was under way."""
        self.run_worker(
            partial(self._ask, what), group=_group(what), exclusive=what in {"first", "last", "count"}
        )

    async def _ask(self, what: str) -> None:
        pages, begun = self._pages, self.console.clock()
        if pages is None:
            return
        try:
            if what == "count":
                matches = self.matches
                found = await self.node.count(replace(self.query_now, stale=matches.stale))
                matches.counted(found, max(self.console.clock() - begun, 0.0))
            else:
                await getattr(pages, what)()
                now = self.console.clock()
                self._took.append(max(now - begun, 0.0))
                self._due = now + min(min(self._took) * REST, MAX_REST)
                if what == "first" and self.matches.found is None:  # not before: it would hold up the rows
                    self._start("count")
                if what == "refresh":  # the cursor may have come to the end of the window meanwhile
                    await pages.fill()
        except TaskMessengerError as error:
            if not (self.frame and self.frame.away):  # the banner says so already
                self.console.tell(str(error), "error")
        self.behind = self.behind and what == "count"
        self._tell()

    def _tell(self) -> None:
        pages = self._pages
        if pages is None or not pages.loaded or not self.query(Grid):
            return  # an answer may come while the screen is taken down
        grid = self.query_one(Grid)
        parts = [self.matches.words(pages)]
        if pages.searching is not None:
            parts.append(f"searching, at task {pages.searching.id:,}")
        parts += ["all chosen"] if self.whole else []
        parts += [f"{len(grid.table.marks):,} marked"] if grid.table.marks else []
        if pages.head is not None or not grid.table.following:
            parts.append("stands still: Home follows the newest")
        self.query_one(FilterBar).state("   ".join(parts))
        _tell_current(self)


def _tell_current(view: TasksView) -> None:
    """The row under the cursor in full, below the table."""
    row, frame = view.query_one(Grid).current(), view.frame
    if frame is not None:
        told = Text("") if row is None else in_short(row, frame.look, view.console.tones())
        view.query_one("#full", Panel).tell(told)


def _group(what: str) -> str:
    return "count" if what == "count" else "window"


def _complete(view: TasksView, text: str) -> Sequence[str]:
    """Lines that the filter may become, with what the fleet has."""
    snapshot = None if view.frame is None else view.frame.snapshot
    known = {} if snapshot is None else {
        "kind": [k.name for k in snapshot.kinds], "worker": [w.id for w in snapshot.workers],
    }  # fmt: skip
    start, found = complete(text, len(text), known)
    return [text[:start] + one for one in found]
