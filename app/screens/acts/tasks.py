"""What can be done with tasks: open, cancel, retry, resubmit, edit and run again, change the priority."""

from __future__ import annotations

import shlex
from typing import ClassVar

from ...core.errors import TaskMessengerError, UsageError
from ...core.lifecycle import OPEN, TaskState
from ...handle import Act, ActDone
from ..acting import Danger, Order
from ..chosen import Chosen
from ..commands import Command
from ..dialogs.prompt import Prompt
from ..editing import as_text, from_text
from ..editor import edit
from ..view import View
from ..widgets.sheet import Sheet

VIEWS = ("tasks", "task")
MANAGER = frozenset({"manager"})
MAX_SHOWN_IDS = 50
"""Ids that a command line names."""
LOWEST, HIGHEST = -100, 100
"""Priorities."""


class TaskAct(Command):
    """Base of the commands that are one `Act` on the chosen tasks."""

    views, roles, changes, menu = VIEWS, MANAGER, True, True
    verb: ClassVar[str] = ""
    done: ClassVar[str] = ""
    danger: ClassVar[Danger] = Danger.NONE
    note: ClassVar[str] = ""
    states: ClassVar[frozenset[TaskState]] = frozenset(TaskState)
    """Of tasks that it does something with."""

    def ready(self, view: View) -> bool:
        found = view.current() if view.NAME == "task" else None
        return bool(view.chosen()) and (found is None or TaskState(found.row.state) in self.states)

    def twin(self, view: View) -> str:
        return self.line(view.chosen(), 0.0)

    def what(self, number: float) -> str:
        """What it does, before to what: `cancel`."""
        del number
        return self.title.lower()

    def line(self, chosen: Chosen, number: float) -> str:
        """The same for a shell."""
        return f"taskmessenger task {self.verb} {which(chosen)}"

    async def run(self, view: View, words: str = "") -> None:
        await self.order(view, view.chosen())

    async def order(self, view: View, chosen: Chosen, number: float = 0.0) -> bool:
        """Carry it out on these tasks, after the questions that it takes."""
        found = await view.node.count(chosen.query) if chosen.query is not None else None
        many = len(chosen.keys) if found is None else found.number
        at_least = "" if found is None or found.exact else ", and maybe more"
        act = Act(
            verb=self.verb,
            ids=() if chosen.whole else chosen.keys,
            query=chosen.query,
            expected=many if chosen.whole else None,
            number=number,
        )

        async def do() -> ActDone:
            return await view.node.act(act)

        return await view.console.actor.perform(
            view,
            Order(
                what=f"{self.what(number)} {chosen.told(many)}{at_least}",
                done=self.done,
                do=do,
                noun="task",
                number=many,
                whole=chosen.whole,
                names=chosen.names(),
                danger=self.danger,
                note=self.note,
                twin=self.line(chosen, number),
            ),
        )


class Cancel(TaskAct):
    """End the chosen tasks for good, also those that run just now."""

    name, title, key, place = "task.cancel", "Cancel", "c", 20
    verb, done, danger = "cancel", "cancelled", Danger.DELAYED
    note = "Tasks that have ended stay as they are."
    states = frozenset(OPEN)


class Retry(TaskAct):
    """Give tasks that failed or timed out another life, under the same id."""

    name, title, key, place = "task.retry", "Retry", "r", 30
    verb, done = "retry", "retried"
    states = frozenset({TaskState.FAILED, TaskState.TIMED_OUT})


class Resubmit(TaskAct):
    """Submit the same payloads again, as new tasks."""

    name, title, key = "task.resubmit", "Resubmit", "R"
    verb, done, danger = "resubmit", "resubmitted", Danger.ASK


class Priority(TaskAct):
    """Change how early the chosen tasks come to their turn: -100 to 100, higher first."""

    name, title, key = "task.priority", "Priority", "P"
    asks_words = True
    verb, done = "set_priority", "changed the priority of"

    def what(self, number: float) -> str:
        return f"set priority {number:g} on"

    def line(self, chosen: Chosen, number: float) -> str:
        value = f"-- {number:g}" if number < 0 else f"{number:g}"  # else it would be read as an option
        order = (which(chosen), value) if chosen.whole else (value, which(chosen))
        return f"taskmessenger task priority {' '.join(order)}"

    async def run(self, view: View, words: str = "") -> None:
        chosen = view.chosen()
        typed = words or await view.console.push_screen_wait(
            Prompt(
                f"Priority of {chosen.told()}", f"{LOWEST} to {HIGHEST}, higher first", "0", check=_priority
            )
        )
        if typed:
            await self.order(view, chosen, float(_priority(typed)))


class Edit(TaskAct):
    """Edit the payload in $EDITOR and run the task again with it."""

    name, title, key, place = "task.edit", "Edit", "e", 40
    verb, done, danger = "edit", "edited and started again", Danger.ASK

    def ready(self, view: View) -> bool:
        chosen = view.chosen()
        if chosen.whole or len(chosen.keys) != 1:
            return False
        state = _state(view, chosen.keys[0])
        return state is None or state not in OPEN

    def line(self, chosen: Chosen, number: float) -> str:
        return f"taskmessenger task edit {which(chosen)}"

    async def run(self, view: View, words: str = "") -> None:
        task_id = view.chosen().keys[0]
        found = await view.node.task(task_id)
        if found.row.state in OPEN:  # told before somebody has written for five minutes
            raise UsageError(f"task {task_id} has not ended: cancel it first, then edit it")
        if found.payload is None:
            raise UsageError(f"the payload of task {task_id} is too large to edit here")
        fleet = view.console.node.snapshot().fleet
        name = f"{'fleet' if fleet is None else fleet.manager}-task-{task_id}"
        draft = await edit(view.console, as_text(found.payload), name)
        try:
            payload = None if draft is None else from_text(draft.text)
            if draft is None or payload is None or payload == found.payload:
                view.console.tell("the payload was not changed: nothing was done")
            elif not await self._again(view, task_id, payload):
                view.console.tell(f"nothing was done; {draft.kept}")
                return
        except TaskMessengerError as error:
            raise UsageError(f"{error}; {draft.kept}" if draft is not None else str(error)) from error
        if draft is not None:
            draft.used()

    async def _again(self, view: View, task_id: int, payload: bytes) -> bool:
        act = Act(verb=self.verb, ids=(task_id,), payload=payload)

        async def do() -> ActDone:
            return await view.node.act(act)

        return await view.console.actor.perform(
            view,
            Order(
                what=f"run task {task_id} again with the edited payload",
                done=self.done,
                do=do,
                names=(str(task_id),),
                danger=self.danger,
                meant=True,
            ),
        )


class OpenTask(Command):
    """All that is known of the task: payload, result, error, attempts, output."""

    name, title, key, place = "task.open", "Open", "enter", 10
    views, roles, menu = ("tasks",), MANAGER, True

    def ready(self, view: View) -> bool:
        return view.grid is not None and view.grid.current() is not None

    def twin(self, view: View) -> str:
        row = view.grid.current() if view.grid is not None else None
        return "" if row is None else f"taskmessenger task show {row.id}"

    async def run(self, view: View, words: str = "") -> None:
        row = view.grid.current() if view.grid is not None else None
        if row is not None:
            await view.console.go("task", str(row.id))


class GoTo(Command):
    """Base of the jumps to a part of the task's sheet."""

    views, roles = ("task",), MANAGER
    part: ClassVar[str] = ""

    def ready(self, view: View) -> bool:
        return view.query_one(Sheet).has(self.part)

    async def run(self, view: View, words: str = "") -> None:
        view.query_one(Sheet).to(self.part)


class GoToOutput(GoTo):
    """What the task writes while it runs."""

    name, title, key, place, part = "task.output", "Output", "l", 60, "output"


class GoToAttempts(GoTo):
    """The attempts, on a line of time."""

    name, title, key, place, part = "task.attempts", "Timeline", "t", 70, "attempts"


class GoToPayload(GoTo):
    """What the task was given."""

    name, title, key, place, part = "task.payload", "Payload", "i", 80, "payload"


class GoToWorker(Command):
    """The worker that has the task, or had it last."""

    name, title, key, menu = "task.worker", "Its worker", "w", True
    views, roles = VIEWS, MANAGER

    def ready(self, view: View) -> bool:
        return "worker" in view.console.views and bool(_worker(view))

    async def run(self, view: View, words: str = "") -> None:
        await view.console.go("worker", _worker(view))


class Failed(Command):
    """Show failed and timed out tasks only."""

    name, title, key = "tasks.failed", "Failed ones", "F"
    views, roles = ("tasks",), MANAGER

    async def run(self, view: View, words: str = "") -> None:
        states = ",".join(s.word for s in (TaskState.FAILED, TaskState.TIMED_OUT))
        view.console.give("tasks.filter", view, f"state:{states}")


def _state(view: View, task_id: int) -> int | None:
    """Of a task that is seen; None when it is not."""
    current = view.current()
    seen = [getattr(current, "row", current), *(view.grid.table.rows if view.grid is not None else ())]
    return next((row.state for row in seen if row is not None and row.id == task_id), None)


def _worker(view: View) -> str:
    """Of the task under the cursor, or the one that the screen is about."""
    current = view.current()
    row = getattr(current, "row", current)
    return getattr(row, "worker", None) or ""


def which(chosen: Chosen) -> str:
    """The chosen tasks as words of a command line."""
    if chosen.whole:
        return f"--filter {shlex.quote(chosen.filter)}"
    return " ".join(str(key) for key in chosen.keys[:MAX_SHOWN_IDS])


def _priority(text: str) -> int:
    try:
        number = int(text)
    except ValueError as error:
        raise UsageError(f"`{text}` is no whole number") from error
    if not LOWEST <= number <= HIGHEST:
        raise UsageError(f"a priority is between {LOWEST} and {HIGHEST}")
    return number
