"""One task that this worker runs, with its output as it is written; and how it ended, once it has."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from ...core.errors import UsageError
from ...handle import EndedRow, RunningRow, WorkerSelf
from ..chosen import Chosen
from ..frame import Frame
from ..own_facts import ended_lines, output, running_lines
from ..view import View
from ..widgets.columns import Look
from ..widgets.panel import Panel


class RunningView(View):
    """A task on this worker."""

    NAME, TITLE, ARGUMENT = "running", "Task", "ID"
    ROLES = frozenset({"worker"})
    ABOUT = (
        "A task as it runs. The output stays at its end while that is seen; scroll up and it stands still."
        " Its payload and result are known to the manager."
    )
    AUTO_FOCUS = "VerticalScroll"
    DEFAULT_CSS = """
    RunningView #facts { height: 5; }
    RunningView VerticalScroll { height: 1fr; padding: 0 1; }
    RunningView Static { height: auto; }
    """

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        if not argument.isdecimal():
            raise UsageError(f"`{argument}` is no task: tasks have numbers")
        self.task_id = int(argument)
        self.row: RunningRow | None = None
        """As it was last seen running."""
        self.ended: EndedRow | None = None
        self._shown = Text()

    def body(self) -> ComposeResult:
        yield Panel("", id="facts")
        with VerticalScroll():
            yield Static()

    def noun(self) -> str:
        return "task"

    def chosen(self) -> Chosen:
        return Chosen(noun="task", keys=(self.task_id,))

    def current(self) -> Any:
        return self.ended or self.row

    def rewound(self) -> None:
        self.row = self.ended = None

    def draw(self, frame: Frame) -> None:
        if frame.snapshot.worker is not None:
            self._look(frame.snapshot.worker)
        panel = self.query_one("#facts", Panel)
        if panel.border_title != (title := f"Task {self.task_id}"):  # Textual paints all of it each time
            panel.border_title = title
        panel.tell(self._facts(frame.look))
        self._tell_output()

    def _look(self, me: WorkerSelf) -> None:
        now = next((row for row in me.running if row.task == self.task_id), None)
        if now is not None:
            self.row, self.ended = now, None
        else:
            self.ended = next((row for row in me.history if row.task == self.task_id), self.ended)

    def _facts(self, look: Look) -> Text:
        styles = self.console.tones()
        if self.ended is not None:
            return ended_lines(self.ended, look, styles)
        if self.row is not None:
            return running_lines(self.row, look, styles)
        return Text("this worker does not run it; 2 shows what has ended here")

    def _tell_output(self) -> None:
        """What it wrote, kept when it has ended; at its end unless the operator has scrolled up."""
        text = Text() if self.row is None else output(self.row) or Text("it has written nothing")
        if text == self._shown:
            return
        scroll = self.query_one(VerticalScroll)
        at_end = scroll.max_scroll_y - scroll.scroll_y <= 1
        self._shown = text
        scroll.query_one(Static).update(text)
        if at_end:
            self.call_after_refresh(scroll.scroll_end, animate=False)
