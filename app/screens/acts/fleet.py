"""What is done from overview and sessions: pause all of it, follow an alarm or a link to its cause."""

from __future__ import annotations

from typing import Final

from ...core.lifecycle import TaskState
from ...handle import Act, ActDone, Alarm, SessionRow, TaskQuery
from ..acting import Danger, Order
from ..commands import Command
from ..steering import MANAGER, show_tasks
from ..view import View

PENDING: Final = "pending"
"""Code of the alarm that members wait for approval."""
FAILING: Final = "failing"
"""That of the alarm that many tasks of a kind fail; others about a kind are of tasks that wait."""
FAILED: Final = (TaskState.FAILED.value, TaskState.TIMED_OUT.value)
WAITING: Final = (TaskState.SCHEDULED.value, TaskState.QUEUED.value)


class FleetPause(Command):
    """Hand out nothing new to anybody; what runs goes on. Again to let it go on."""

    name, title, key, place = "fleet.pause", "Pause/resume", "p", 20
    views, roles, changes = ("overview",), MANAGER, True

    def twin(self, view: View) -> str:
        return f"taskmessenger pool {'resume' if is_paused(view) else 'pause'}"

    async def run(self, view: View, words: str = "") -> None:
        verb = "resume" if is_paused(view) else "pause"

        async def do() -> ActDone:
            await view.node.act(Act(verb=verb, scope="all"))
            return ActDone(1)

        await view.console.actor.perform(
            view,
            Order(
                what=f"{verb} the whole fleet", done=f"{verb}d", do=do, noun="fleet",
                danger=Danger.NONE if verb == "resume" else Danger.ASK,
                note="" if verb == "resume" else "Tasks are accepted and wait; what runs goes on.",
                twin=self.twin(view),
            ),
        )  # fmt: skip


class OpenAlarm(Command):
    """What the alarm is about: its worker, the tasks of its kind, or who waits for approval."""

    name, title, key, place = "alarm.open", "Open alarm", "enter", 10
    views, roles, menu = ("overview",), MANAGER, True

    def ready(self, view: View) -> bool:
        alarm = view.current()
        return isinstance(alarm, Alarm) and (":" in alarm.scope or alarm.code == PENDING)

    async def run(self, view: View, words: str = "") -> None:
        if view.current().code == PENDING:
            await view.console.go("invites")
            return
        what, _, name = view.current().scope.partition(":")
        if what == "worker":
            await view.console.go("worker", name)
        else:
            states = FAILED if view.current().code == FAILING else WAITING
            await show_tasks(view, TaskQuery(kinds=(name,), states=states))


class SessionWorker(Command):
    """The worker at the other end."""

    name, title, key, place = "session.worker", "Its worker", "enter,w", 10
    views, roles, menu = ("sessions",), MANAGER, True

    def ready(self, view: View) -> bool:
        row = view.current()
        return isinstance(row, SessionRow) and row.role == "worker"

    async def run(self, view: View, words: str = "") -> None:
        await view.console.go("worker", view.current().peer)


def is_paused(view: View) -> bool:
    """Whether the whole fleet is."""
    fleet = None if view.frame is None else view.frame.snapshot.fleet
    return fleet is not None and "all" in fleet.paused
