"""What can be done with workers: open, pause, resume, drain, limit, revoke, see their tasks."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from ...core.errors import Conflict, UsageError
from ...core.filter_numbers import duration_text, seconds
from ...core.lifecycle import TaskState
from ...core.text import count
from ...handle import Act, ActDone, TaskQuery, TaskRow, WorkerRow
from ..acting import Danger, Order
from ..commands import Command
from ..dialogs.progress import Progress, Step
from ..dialogs.prompt import Prompt
from ..steering import MANAGER, each, show_tasks
from ..view import View
from ..widgets.words import safe, span
from ..worker_facts import HERE

if TYPE_CHECKING:
    from ..views.worker import WorkerView

VIEWS: Final = ("workers", "worker")
DEADLINE: Final = "30s"
NONE: Final = "none"
NO_LIMIT: Final = -1.0
MAX_LIMIT: Final = 1_000_000
MAX_DIGITS: Final = 7
TRUSTED: Final = frozenset({*HERE, "away", "offline"})
"""States of a worker that was not revoked."""
GONE: Final = frozenset({"offline", "revoked"})
MAX_NAMES: Final = 3
"""Workers that a sentence names."""
HELD: Final = (TaskState.LEASED, TaskState.RUNNING)


class OnWorkers(Command):
    """Base of those for the chosen workers."""

    views: tuple[str, ...] = VIEWS
    roles, menu = MANAGER, True
    states: ClassVar[frozenset[str]] = frozenset()
    """It applies when one of them is in such a state; empty: always."""

    def ready(self, view: View) -> bool:
        rows = members(view)
        return any(row.state in self.states for row in rows) if self.states else bool(view.chosen())


class WorkerAct(OnWorkers):
    """Base of the commands that are one `Act` for each chosen worker."""

    changes = True
    verb: ClassVar[str] = ""
    done: ClassVar[str] = ""
    danger: ClassVar[Danger] = Danger.NONE
    note: ClassVar[str] = ""

    def twin(self, view: View) -> str:
        return self.line(view, self.verb)

    def line(self, view: View, verb: str, *options: str) -> str:
        """The same for a shell, which takes one worker at a time."""
        keys = view.chosen().keys
        return " ".join(["taskmessenger worker", verb, shlex.quote(str(keys[0])), *options]) if keys else ""

    async def order(self, view: View, verb: str, number: float = 0.0, **more: Any) -> bool:
        """Carry it out on the chosen ones, after the questions that it takes."""
        chosen = view.chosen()

        async def do() -> ActDone:
            acts = [Act(verb=verb, scope=f"worker:{key}", number=number) for key in chosen.keys]
            return await each(view, acts)

        order = Order(
            what=f"{verb} {chosen.told()}", done=self.done, do=do, noun="worker",
            number=len(chosen.keys), names=chosen.names(), danger=self.danger, note=self.note,
            twin=self.twin(view),
        )  # fmt: skip
        return await view.console.actor.perform(view, replace(order, **more))


class PauseWorker(WorkerAct):
    """Give the worker nothing new; what runs goes on. Again to let it go on."""

    name, title, key, place = "worker.pause", "Pause/resume", "p", 20
    verb, states = "pause", HERE

    def wanted(self, view: View) -> str:
        """The verb that makes sense now."""
        rows = members(view)
        return "resume" if rows and all("worker" in row.pauses for row in rows) else "pause"

    def twin(self, view: View) -> str:
        return self.line(view, self.wanted(view))

    async def run(self, view: View, words: str = "") -> None:
        verb, rows = self.wanted(view), members(view)
        if verb == "pause" and rows and all("own" in row.pauses for row in rows):
            raise Conflict(_own_affair(rows))
        await _pausing(self, view, verb)


class ResumeWorker(WorkerAct):
    """Give the worker tasks again."""

    name, title = "worker.resume", "Resume"
    verb, done, states = "resume", "resumed", frozenset({"paused"})

    async def run(self, view: View, words: str = "") -> None:
        rows = members(view)
        if not any("worker" in row.pauses for row in rows):
            own = any("own" in row.pauses for row in rows)
            raise Conflict(_own_affair(rows) if own else "the whole fleet is paused: p on Overview ends that")
        await _pausing(self, view, self.verb)


class Drain(WorkerAct):
    """Let the worker end what it runs and leave; at the deadline the rest goes to others."""

    name, title, key, place = "worker.drain", "Drain", "d", 30
    asks_words = True
    verb, done, states = "drain", "draining", HERE

    async def run(self, view: View, words: str = "") -> None:
        chosen = view.chosen()
        typed = words or await view.console.push_screen_wait(
            Prompt(
                f"Drain {chosen.told()}", "Deadline for what it runs, as 30s or 10m; 0s is now", DEADLINE,
                check=_deadline, twin=self.twin(view),
            )
        )  # fmt: skip
        if not typed:
            return
        deadline = _deadline(typed)
        rows = {row.id: row.held for row in members(view)}
        option = f"--deadline {duration_text(deadline)}"
        # The deadline that was typed is the confirmation; words of a command line are not.
        danger = Danger.ASK if words else Danger.NONE
        if await self.order(view, "drain", deadline, danger=danger, twin=self.line(view, "drain", option)):
            await self._watch(view, rows, view.console.clock() + deadline)

    async def _watch(self, view: View, held: dict[str, int], until: float) -> None:
        """How far it is, until they have left or the operator has seen enough."""
        first = sum(held.values())

        def look() -> Step:
            rows = [row for row in view.node.snapshot().workers if row.id in held and row.state not in GONE]
            left, time_left = sum(row.held for row in rows), max(until - view.console.clock(), 0.0)
            text = (
                f"{count(left, 'task')} left on {count(len(rows), 'worker')}, deadline in {span(time_left)}"
            )
            return Step(1.0 - min(left / first, 1.0) if first else None, text, over=not rows)

        if await view.console.push_screen_wait(Progress(f"Draining {count(len(held), 'worker')}", look)):
            view.console.tell(f"{count(len(held), 'worker')} left")


class Limit(WorkerAct):
    """Set how many tasks the worker gets at a time, whatever it offers."""

    name, title, key, place = "worker.limit", "Limit", "L", 40
    asks_words = True
    verb, states = "limit", TRUSTED

    def twin(self, view: View) -> str:
        return self.line(view, self.verb, "none")

    async def run(self, view: View, words: str = "") -> None:
        typed = words or await view.console.push_screen_wait(
            Prompt(
                f"Limit of {view.chosen().told()}", f"Tasks at a time, 0 or more; {NONE} for what it offers",
                NONE, check=_leases, twin=self.twin(view),
            )
        )  # fmt: skip
        if typed:
            number = _leases(typed)
            done = "took the limit from" if number == NO_LIMIT else f"limited to {typed}:"
            await self.order(view, "limit", number, done=done, twin=self.line(view, self.verb, typed))


class Revoke(WorkerAct):
    """End the trust in the worker: its link is closed, and it cannot come back without a new invite."""

    name, title, key, place = "worker.revoke", "Revoke", "X", 60
    verb, done, danger = "revoke", "revoked", Danger.ASK
    states = TRUSTED
    note = "It cannot come back without a new invite; its tasks go to others."

    async def run(self, view: View, words: str = "") -> None:
        keys = view.chosen().keys
        await self.order(view, "revoke", phrase=str(keys[0]) if len(keys) == 1 else str(len(keys)))


class OpenWorker(OnWorkers):
    """All that is known of the worker: what it holds, what it did, how loaded it is."""

    name, title, key, place = "worker.open", "Open", "enter", 10
    views = ("workers",)

    async def run(self, view: View, words: str = "") -> None:
        await view.console.go("worker", words or str(view.current().id))


class WorkerTasks(OnWorkers):
    """Its tasks in the task pool, all that it ever had."""

    name, title, key, place = "worker.tasks", "Tasks", "t", 45

    def twin(self, view: View) -> str:
        keys = view.chosen().keys
        return f"taskmessenger task ls --worker {shlex.quote(str(keys[0]))}" if keys else ""

    async def run(self, view: View, words: str = "") -> None:
        await show_tasks(view, TaskQuery(workers=view.chosen().keys))


class WorkerLeases(OnWorkers):
    """What it holds just now, in the task pool."""

    name, title, key = "worker.leases", "Leases", "l"

    async def run(self, view: View, words: str = "") -> None:
        await show_tasks(view, TaskQuery(workers=view.chosen().keys, states=HELD))


async def _pausing(command: WorkerAct, view: View, verb: str) -> None:
    """Pause or resume, and say what keeps them from working all the same."""
    before = members(view)
    held = verb == "resume" and any(set(row.pauses) - {"worker"} for row in before)
    done = "ended the manager's pause of" if held else f"{verb}d"
    if not await command.order(view, verb, done=done) or verb == "pause":
        return
    if still := [row for row in before if "own" in row.pauses]:
        view.console.tell(_own_affair(still), "warning")
    elif any("fleet" in row.pauses for row in before):
        view.console.tell("the whole fleet is paused: p on Overview ends that", "warning")


def _own_affair(rows: Sequence[WorkerRow]) -> str:
    """What only the operators of these workers can end."""
    names = [safe(row.id) for row in rows if "own" in row.pauses][:MAX_NAMES]
    return f"{', '.join(names)}: paused by its own operator: p in its own console ends that, or a restart"


def members(view: View) -> Sequence[WorkerRow]:
    """The workers that a command applies to."""
    asked = getattr(view, "members", None)
    return asked() if asked is not None else ()


def _deadline(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise UsageError(f"`{text}` {error}") from error


def _leases(text: str) -> float:
    if text == NONE:
        return NO_LIMIT
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS) or int(text) > MAX_LIMIT:
        raise UsageError(f"a limit is a whole number from 0 to {MAX_LIMIT:,}, or {NONE}")
    return float(text)


class OpenTask(Command):
    """The task under the cursor in full."""

    name, title, key, place = "worker.task", "Open task", "enter", 10
    views, roles = ("worker",), MANAGER

    def ready(self, view: View) -> bool:
        return view.grid is not None and isinstance(view.grid.current(), TaskRow)

    async def run(self, view: View, words: str = "") -> None:
        row = None if view.grid is None else view.grid.current()
        if isinstance(row, TaskRow):
            await view.console.go("task", str(row.id))


class Turn(Command):
    """From the tasks of the worker to what happened to it, and back."""

    name, title, key, place = "worker.history", "History", "h", 50
    views, roles = ("worker",), MANAGER

    async def run(self, view: View, words: str = "") -> None:
        cast("WorkerView", view).turn()
