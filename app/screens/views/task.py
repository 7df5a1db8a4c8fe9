"""One task in full: state and why it waits, error, live output, attempts, result, payload."""

from __future__ import annotations

from typing import Any, Final

from textual.app import ComposeResult

from ...core.errors import NotFound, TaskMessengerError, UsageError
from ...core.lifecycle import TaskState
from ...handle import Outcome, TaskDetail
from ..chosen import Chosen
from ..frame import Frame
from ..task_sheet import sections
from ..view import View
from ..widgets.sheet import Sheet

PAYLOAD: Final = 64 * 1024
"""Bytes of the largest payload that is asked for."""


class TaskView(View):
    """Everything about one task."""

    NAME, TITLE, ARGUMENT = "task", "Task", "ID"
    ROLES = frozenset({"manager"})
    ABOUT = "One task in full. While it runs, its output and progress are asked for every second."
    AUTO_FOCUS = "Sheet"

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        if not argument.isdecimal():
            raise UsageError(f"`{argument}` is no task: tasks have numbers")
        self.task_id = int(argument)
        self.found: TaskDetail | None = None
        self.behind = True
        self._outcome: Outcome | None = None

    def body(self) -> ComposeResult:
        yield Sheet()

    def on_mount(self) -> None:
        super().on_mount()
        self._start()

    def noun(self) -> str:
        return "task"

    def chosen(self) -> Chosen:
        return Chosen(noun="task", keys=(self.task_id,))

    def current(self) -> Any:
        return self.found

    def acted(self) -> None:
        self._start()

    def rewound(self) -> None:
        self._start()

    def draw(self, frame: Frame) -> None:
        ended = self.found is not None and TaskState(self.found.row.state).final
        if frame.second and not frame.away and not ended:
            self._start()
        self._tell(frame)

    def _start(self) -> None:
        self.run_worker(self._ask, group="task", exclusive=True)

    async def _ask(self) -> None:
        await self._find()
        self.behind = False

    async def _find(self) -> None:
        try:
            found = await self.node.task(self.task_id, PAYLOAD)
            final = TaskState(found.row.state) is TaskState.SUCCEEDED
            outcomes = await self.node.outcomes([self.task_id]) if final else []
        except NotFound as error:
            self.console.tell(str(error), "error")
            return
        except TaskMessengerError as error:
            if not (self.frame and self.frame.away):  # the banner says so already
                self.console.tell(str(error), "error")
            return
        self.found, self._outcome = found, outcomes[0] if outcomes else None
        if self.frame is not None:
            self._tell(self.frame)

    def _tell(self, frame: Frame) -> None:
        if self.found is not None:
            sheet = self.query_one(Sheet)
            styles = self.console.tones()
            sheet.show(sections(self.found, self._outcome, frame.look, styles, width=sheet.room))
