"""The console: pulls frames from a node and gives them to the screen that is seen; runs commands.

It knows no screen and no command by name: both are found in their folders (`views`, `acts`). Nothing here
waits for the node, except commands, each in a worker of its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from textual.binding import BindingType
from textual.command import Provider
from textual.screen import ModalScreen
from textual.worker import Worker, WorkerState

from ..core.errors import TaskMessengerError, UsageError
from ..handle import NodeHandle, Snapshot
from . import views
from .acting import UNDO_SECONDS, Actor
from .commands import Command, Registry, all_commands, found_in
from .covered import Covered
from .dialogs.choice import Option
from .frame import BEAT, Frame, Pulse
from .palette import CommandsProvider
from .prefs import Prefs
from .stylesheet import stylesheet
from .typed import Severity, Typed
from .view import View
from .widgets.heading import Heading
from .widgets.words import TimeMode, moment, safe

MAX_DEPTH: Final = 20
"""Screens on top of each other; one more takes the place of the uppermost."""
MAX_TOAST: Final = 300
TOAST_SECONDS: Final = 6.0
MAX_TOLD: Final = 200
"""Toasts that `:messages` can show again."""


class Console(Typed):
    """One operator's window on one node."""

    TITLE = "Task Messenger"
    CSS_PATH = stylesheet()
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {CommandsProvider}
    BINDINGS: ClassVar[list[BindingType]] = []
    VERTICAL_BREAKPOINTS = View.VERTICAL_BREAKPOINTS
    """For dialogs as well: what is told needs to know how much room there is."""
    settings_file: Path | None = None
    """The configuration file of the node, where it was started from one on this machine."""

    def __init__(
        self,
        node: NodeHandle,
        *,
        prefs: Prefs | None = None,
        clock: Callable[[], float] = time.time,
        read_only: bool = False,
        undo_seconds: float = UNDO_SECONDS,
        beat_seconds: float = BEAT,
        leaving: Sequence[Option] = (),
    ) -> None:
        """Show `node`. `clock`: wall-clock seconds; `beat_seconds` 0: frames come by `beat`, for tests."""
        super().__init__()
        self.node = node
        self.prefs = prefs or Prefs()
        self.clock = clock
        self.frozen = False
        self.times = TimeMode(self.prefs.kept.times) if _is_mode(self.prefs.kept.times) else TimeMode.LOCAL
        self.pulse = Pulse(node)
        self.actor = Actor(self, undo_seconds)
        self.views = {kind.NAME: kind for kind in found_in(views, View)}
        self.registry = Registry(all_commands(self.views.values()), self.prefs.keymap())
        self.told: deque[tuple[float, str, str]] = deque(maxlen=MAX_TOLD)
        """What toasts said: when, how bad, what."""
        self.before: tuple[str, str] = ("", "")
        """Name and argument of the view that was seen before this one."""
        self.leaving = tuple(leaving)
        """What can become of the node when the console is closed; `run` returns the answer."""
        self._read_only = read_only
        self._covered = Covered()
        self._frame: Frame | None = None
        """The newest."""
        self._shown: tuple[Any, ...] | None = None
        """What else was so when it was drawn."""
        self._beat_seconds = beat_seconds
        self._alarms: frozenset[tuple[str, str]] | None = None
        self.prefs.dress(self)

    @property
    def role(self) -> str:
        """`manager` or `worker`."""
        return self.node.role

    @property
    def read_only(self) -> bool:
        """Whether this console can change nothing."""
        return self._read_only or self.node.read_only

    @property
    def view(self) -> View | None:
        """The screen that is seen, under a dialog if there is one."""
        return next((s for s in reversed(self.screen_stack) if isinstance(s, View)), None)

    def placed(self) -> list[type[View]]:
        """The views with a digit, for this role, in their order."""
        mine = [v for v in self.views.values() if v.PLACE is not None and self.role in v.ROLES]
        return sorted(mine, key=lambda v: v.PLACE or 0)

    async def on_mount(self) -> None:
        """The first screen, the first frame."""
        await self.go(self.placed()[0].NAME)
        self.beat()
        if self._beat_seconds:
            self.set_interval(self._beat_seconds, self.beat)
            self.ahead = self.run_worker(partial(self.warm, self.placed()), group="warming")
        if complaints := [*self.prefs.complaints, *self.registry.complaints]:
            more = len(complaints) - 1
            told = f"; {more} more: `taskmessenger config check` lists them" if more else ""
            self.tell(complaints[0] + told, "warning")

    def beat(self) -> None:
        """Take a frame and show it."""
        frame = self.pulse.take(self.clock(), self.times)
        view = self.view
        if view is not None and view.is_mounted and self._covered.draws(view, self.screen, frame):
            shown = (
                view, view.size, view.focused, view.hurries,
                self.theme, self.times, self.frozen, self.telling, len(self.actor.pending),
            )  # fmt: skip
            if frame.differs(self._frame) or shown != self._shown:
                self._shown = shown
                view.take(frame)
        self._frame = frame
        self._watch(frame.snapshot)

    def touch(self) -> None:
        """Show the newest without waiting for the next frame."""
        self._shown = None
        self.call_next(self.beat)

    async def go(self, name: str, argument: str = "") -> None:
        """Open a view by its name.

        Raises:
            UsageError: there is none of this name for this role, or it needs to know what it is about.
        """
        kind = self.views.get(name)
        if kind is None or self.role not in kind.ROLES:
            known = ", ".join(sorted(v.NAME for v in self.views.values() if self.role in v.ROLES))
            raise UsageError(f"there is no screen `{name}`; screens are {known}")
        if kind.ARGUMENT and not argument:
            raise UsageError(f"`{name}` needs to know which: {name} {kind.ARGUMENT}")
        now = self.view
        if now is not None and (now.NAME, now.argument) != (name, argument):
            self.before = (now.NAME, now.argument)
        await self._show(kind, argument)
        self.touch()

    async def _show(self, kind: type[View], argument: str) -> None:
        while isinstance(self.screen, ModalScreen):
            await self.pop_screen()
        if kind.PLACE is None:
            if len(self.screen_stack) > MAX_DEPTH:
                await self.switch_screen(kind(argument))
            else:
                await self.push_screen(kind(argument))
            return
        while len(self.screen_stack) > 2:  # noqa: PLR2004  Textual's blank one, and ours
            await self.pop_screen()
        name = self.made(kind)
        if isinstance(self.screen, View):
            await self.switch_screen(name)
        else:
            await self.push_screen(name)

    def give(self, name: str, view: View | None = None, words: str = "") -> Worker[None] | None:
        """Give a command, by its name, as if its key had been pressed in this view."""
        view = view or self.view
        if view is None:
            return None
        try:
            command = self.registry.find(name, view)
        except UsageError as error:
            self.tell(str(error), "error")
            return None
        if not command.ready(view):
            self.tell(f"{command.title}: nothing here that it applies to", "warning")
            self.forget_typed(f"{command.title} does nothing here")
            return None
        return self.run_worker(partial(self._run, command, view, words), group="commands", exit_on_error=True)

    async def _run(self, command: Command, view: View, words: str) -> None:
        with self.doing():
            try:
                await command.run(view, words)
            except TaskMessengerError as error:
                self.tell(str(error), "error")
                self.forget_typed(f"{command.title} was refused")
        self.touch()

    def tones(self) -> dict[str, str]:
        """The theme's colour of each tone, for text that is not in a table."""
        colours = self.theme_variables
        named = {"good": "success", "bad": "error", "warn": "warning", "busy": "primary"}
        # Textual has names of its own for the sixteen colours of a terminal; Rich, who draws, has others.
        return {tone: colours[name].removeprefix("ansi_") for tone, name in named.items()} | {"dim": "dim"}

    def tell(self, text: str, severity: Severity = "information") -> None:
        """One line for the operator, in the corner; errors ring the bell."""
        text = safe(text, MAX_TOAST)
        self.told.append((self.clock(), severity, text))
        self.notify(text, severity=severity, timeout=TOAST_SECONDS, markup=False)
        if (view := self.view) is not None:
            view.make_room()
        if severity == "error" and self.prefs.kept.bell:
            self.bell()

    @property
    def telling(self) -> bool:
        """Whether something is told in the corner just now."""
        return len(self._notifications) > 0 and not self._disable_notifications

    def head(self, view: View, frame: Frame) -> Heading:
        """What the first line of every screen says."""
        fleet, worker = frame.snapshot.fleet, frame.snapshot.worker
        notes = ["FROZEN"] if self.frozen else []
        notes += ["READ ONLY"] if self.read_only else []
        bad = len(frame.snapshot.alarms)
        notes += [f"!{bad}"] if bad else []
        mode = TimeMode.LOCAL if self.times is TimeMode.RELATIVE else self.times
        clock = moment(frame.now, mode, frame.now) + (" UTC" if mode is TimeMode.UTC else "")
        return Heading(
            fleet=fleet.manager if fleet is not None else worker.name if worker is not None else "",
            role=self.role,
            here=view.heading(),
            tabs=tuple(
                (str(v.PLACE), v.TITLE, f"screen.command('go.{v.NAME}')", v.NAME == view.NAME)
                for v in self.placed()
            ),
            notes=tuple(notes),
            clock=clock,
        )

    def _watch(self, snapshot: Snapshot) -> None:
        """Tell of alarms that were not there before."""
        now = {(a.code, a.scope): a for a in snapshot.alarms}
        if self._alarms is not None:
            for key in now.keys() - self._alarms:
                alarm = now[key]
                self.tell(alarm.text, "error" if alarm.level == "error" else "warning")
        self._alarms = frozenset(now)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A command has ended: what can be done now may be something else."""
        view = self.view
        if event.state is WorkerState.SUCCESS and view is not None and view.is_mounted and view.frame:
            view.hint()

    async def leave(self, answer: str = "") -> None:
        """Carry out what was confirmed, and close."""
        await self.actor.flush()
        self.exit(answer)

    @property
    def drafts(self) -> Path:
        """Where texts are edited."""
        return self.prefs.drafts or Path(tempfile.gettempdir()) / f"taskmessenger-{os.getuid()}-drafts"


def _is_mode(word: Any) -> bool:
    return word in {mode.value for mode in TimeMode}
