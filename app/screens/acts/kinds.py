"""What can be done with kinds of tasks: pause, resume, see their tasks."""

from __future__ import annotations

import shlex
from typing import ClassVar, Final

from ...core.lifecycle import TaskState
from ...handle import Act, ActDone, KindRow, TaskQuery
from ..acting import Order
from ..commands import Command
from ..steering import MANAGER, each, show_tasks
from ..view import View

BAD: Final = (TaskState.FAILED, TaskState.TIMED_OUT)


class OnKinds(Command):
    """Base of those for the chosen kinds."""

    views, roles, menu = ("kinds",), MANAGER, True

    def ready(self, view: View) -> bool:
        return bool(view.chosen())


class Steer(OnKinds):
    """Base of pause and resume."""

    changes = True
    verb: ClassVar[str] = ""

    def wanted(self, view: View) -> str:
        """The verb that makes sense now."""
        return self.verb

    def twin(self, view: View) -> str:
        keys = view.chosen().keys
        return f"taskmessenger pool {self.wanted(view)} --kind {shlex.quote(str(keys[0]))}" if keys else ""

    async def run(self, view: View, words: str = "") -> None:
        chosen, verb = view.chosen(), self.wanted(view)

        async def do() -> ActDone:
            return await each(view, [Act(verb=verb, scope=f"kind:{name}") for name in chosen.keys])

        await view.console.actor.perform(
            view,
            Order(
                what=f"{verb} {chosen.told()}", done=f"{verb}d", do=do, noun="kind",
                number=len(chosen.keys), names=chosen.names(), twin=self.twin(view),
            ),
        )  # fmt: skip


class PauseKind(Steer):
    """Hand out no tasks of the kind; what runs goes on. Again to let it go on."""

    name, title, key, place = "kind.pause", "Pause/resume", "p", 20
    verb = "pause"

    def wanted(self, view: View) -> str:
        rows = _rows(view)
        return "resume" if rows and all(row.paused for row in rows) else "pause"


class ResumeKind(Steer):
    """Hand out tasks of the kind again."""

    name, title, verb = "kind.resume", "Resume", "resume"

    def ready(self, view: View) -> bool:
        return any(row.paused for row in _rows(view))


class KindTasks(OnKinds):
    """The tasks of the kind, in the task pool."""

    name, title, key, place = "kind.tasks", "Tasks", "enter,t", 10

    def twin(self, view: View) -> str:
        keys = view.chosen().keys
        return f"taskmessenger task ls --kind {shlex.quote(str(keys[0]))}" if keys else ""

    async def run(self, view: View, words: str = "") -> None:
        await show_tasks(view, TaskQuery(kinds=view.chosen().keys))


class KindFailures(OnKinds):
    """Its tasks that failed or timed out."""

    name, title, key, place = "kind.failed", "Failures", "F", 30

    async def run(self, view: View, words: str = "") -> None:
        await show_tasks(view, TaskQuery(kinds=view.chosen().keys, states=BAD))


def _rows(view: View) -> list[KindRow]:
    keys = set(view.chosen().keys)
    return [] if view.grid is None else [row for row in view.grid.table.rows if row.name in keys]
