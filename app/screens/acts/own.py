"""What a worker's own operator does with it: start, pause, resume, drain, disconnect.

The manager learns of it at once, and hands what it may out to others.
"""

from __future__ import annotations

import shlex
from typing import Final

from ...core.errors import UsageError
from ...core.filter_numbers import duration_text, seconds
from ...core.text import count
from ...handle import Act, ActDone, WorkerSelf
from ..acting import Danger, Order
from ..commands import Command
from ..dialogs.progress import Progress, Step
from ..dialogs.prompt import Prompt
from ..view import View
from ..widgets.words import safe, span

WORKER: Final = frozenset({"worker"})
DEADLINE: Final = "30s"
GONE: Final = frozenset({"stopped", "draining"})


class OnThisWorker(Command):
    """Base of those for the worker of this console."""

    views: tuple[str, ...] = ("status", "running", "history", "log", "network", "settings")
    roles, changes = WORKER, True

    def twin(self, view: View) -> str:
        return ""

    async def order(self, view: View, act: Act, *, done: str, danger: Danger, note: str = "") -> bool:
        """Carry it out, after the question that it takes."""
        me = own(view)
        name = "" if me is None else me.name

        async def do() -> ActDone:
            return await view.node.act(act)

        order = Order(
            what=f"{act.verb} this worker", done=done, do=do, noun="worker", names=(safe(name),),
            danger=danger, note=note, twin=self.twin(view),
        )  # fmt: skip
        return await view.console.actor.perform(view, order)


class OwnPause(OnThisWorker):
    """Take nothing new; what runs goes on. Again to let it go on."""

    name, title, key, place = "own.pause", "Pause/resume", "p", 20

    def ready(self, view: View) -> bool:
        me = own(view)
        return me is not None and me.state not in GONE

    def twin(self, view: View) -> str:
        return at_the_manager(view, _pausing(view))

    async def run(self, view: View, words: str = "") -> None:
        verb = _pausing(view)
        await self.order(view, Act(verb=verb), done=f"{verb}d", danger=Danger.NONE)


class OwnDrain(OnThisWorker):
    """End what runs and leave; at the deadline the rest goes to others. Then this role has ended."""

    name, title, key, place = "own.drain", "Drain", "d", 30
    asks_words = True

    def ready(self, view: View) -> bool:
        me = own(view)
        return me is not None and me.state not in GONE

    def twin(self, view: View) -> str:
        return at_the_manager(view, "drain", "--deadline", DEADLINE)

    async def run(self, view: View, words: str = "") -> None:
        typed = words or await view.console.push_screen_wait(
            Prompt(
                "Drain this worker", "Deadline for what it runs, as 30s or 10m; 0s is now. Then it ends.",
                DEADLINE, check=_deadline, twin=self.twin(view),
            )
        )  # fmt: skip
        if not typed:
            return
        deadline = _deadline(typed)
        # The deadline that was typed is the confirmation; words of a command line are not.
        danger = Danger.ASK if words else Danger.NONE
        act = Act(verb="drain", number=deadline)
        note = f"It ends what it runs within {duration_text(deadline)}, and leaves."
        if await self.order(view, act, done="draining", danger=danger, note=note):
            await self._watch(view, view.console.clock() + deadline)

    async def _watch(self, view: View, until: float) -> None:
        """How far it is, until it has left or the operator has seen enough."""
        first = _held(view.node.snapshot().worker)

        def look() -> Step:
            snapshot = view.node.snapshot()
            left, over = (
                _held(snapshot.worker),
                not snapshot.connected or _state(snapshot.worker) == "stopped",
            )
            text = f"{count(left, 'task')} left, deadline in {span(max(until - view.console.clock(), 0.0))}"
            return Step(1.0 - min(left / first, 1.0) if first else None, text, over=over)

        if await view.console.push_screen_wait(Progress("Draining this worker", look)):
            view.console.tell("this worker has ended what it ran and left")


class Disconnect(OnThisWorker):
    """Close the link to the manager and stay away; what runs goes on, and its results are kept."""

    name, title, key, place = "own.disconnect", "Disconnect", "D", 40

    def ready(self, view: View) -> bool:
        return _state(own(view)) in {"connected", "paused", "connecting"}

    async def run(self, view: View, words: str = "") -> None:
        note = (
            "What runs goes on; the manager gives it to others when its leases end before the link is back."
        )
        await self.order(view, Act(verb="disconnect"), done="disconnected", danger=Danger.ASK, note=note)


class OwnStart(OnThisWorker):
    """Be linked to the manager again; a role that has ended, drained or stopped, is started anew."""

    name, title, key, place = "own.start", "Start", "R", 15

    def ready(self, view: View) -> bool:
        return _state(own(view)) in {"away", "stopped"}

    async def run(self, view: View, words: str = "") -> None:
        await self.order(view, Act(verb="start"), done="started", danger=Danger.NONE)


class OpenOwn(Command):
    """The task with its output; of one that has ended, how."""

    name, title, key, place = "own.open", "Output", "enter", 10
    views, roles, menu = ("status", "history"), WORKER, True

    def ready(self, view: View) -> bool:
        return view.current() is not None

    async def run(self, view: View, words: str = "") -> None:
        await view.console.go("running", str(view.current().task))


def own(view: View) -> WorkerSelf | None:
    """The worker of this console."""
    return None if view.frame is None else view.frame.snapshot.worker


def at_the_manager(view: View, verb: str, *options: str) -> str:
    """The same for a shell where the manager can be reached."""
    me = own(view)
    if me is None or not me.peer:
        return ""
    return " ".join(["taskmessenger worker", verb, shlex.quote(me.peer), *options])


def _pausing(view: View) -> str:
    return "resume" if _state(own(view)) == "paused" else "pause"


def _state(me: WorkerSelf | None) -> str:
    return "" if me is None else me.state


def _held(me: WorkerSelf | None) -> int:
    return 0 if me is None else len(me.running) + me.waiting


def _deadline(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise UsageError(f"`{safe(text)}` {error}") from error
