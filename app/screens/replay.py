"""The console over a recording: the same screens, a bar of time below them, and commands to move in it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.style import Style
from rich.text import Text
from textual import events

from ..core.errors import UsageError
from ..core.filter_numbers import seconds
from ..record import ReplayNode
from .app import Console
from .commands import Command, Registry, all_commands
from .frame import BEAT, Frame, Pulse
from .prefs import Prefs
from .trails import forget
from .view import View
from .widgets.bars import Hints, Line
from .widgets.heading import Heading
from .widgets.painter import fit
from .widgets.words import TimeMode, moment, safe

LEAP: Final = 60.0
"""Seconds of a large step."""
SPEEDS: Final = (1, 4, 16, 60)
"""Seconds of the recording in one of playing."""
BAR_START: Final = 24
"""Cells before the bar, for state and moment."""
BAR_END: Final = 22
LEAST_BAR: Final = 8


class TimeBar(Line):
    """Where in the recording this is; a click goes there."""

    def tell(self, node: ReplayNode, words: str, times: TimeMode) -> None:
        """Show the place. `words`: whether it plays."""
        moments, width = node.recording.moments, self.size.width
        first, last = moments[0], moments[-1]
        cells = self.cells
        at = round((node.at - first) / max(last - first, 1e-9) * (cells - 1))
        mode = TimeMode.LOCAL if times is TimeMode.RELATIVE else times
        text = Text(f" {fit(words, 8)} {moment(node.at, mode, node.at):>12}  ", "bold", no_wrap=True, end="")
        text.append("━" * at + "●" + "─" * (cells - at - 1))
        text.append(f"  {_clock(node.at - first)} of {_clock(last - first)}", Style(bold=False))
        self.say((node.place, words, mode, width), text)

    @property
    def cells(self) -> int:
        """Of the bar."""
        return max(self.size.width - BAR_START - BAR_END, LEAST_BAR)

    def on_click(self, event: events.Click) -> None:
        """Go to where it was clicked."""
        replay = self.app
        share = (event.x - BAR_START) / max(self.cells - 1, 1)
        if isinstance(replay, Replay) and -0.1 <= share <= 1.1:  # noqa: PLR2004  a little beside it is meant so
            first, last = replay.recorded.recording.moments[0], replay.recorded.recording.moments[-1]
            replay.jump(first + share * (last - first))


class Replay(Console):
    """A console whose time is that of a recording."""

    CSS = "TimeBar { background: $boost; color: $foreground; }"

    def __init__(self, node: ReplayNode, *, prefs: Prefs | None = None, beat_seconds: float = BEAT) -> None:
        super().__init__(node, prefs=prefs, clock=self._clock, read_only=True, beat_seconds=beat_seconds)
        self.recorded = node
        self.playing = False
        self.speed = SPEEDS[0]
        self._at = node.at
        known = [command for command in all_commands(self.views.values()) if not command.changes]
        self.registry = Registry([*known, *(kind() for kind in COMMANDS)], self.prefs.keymap())

    def _clock(self) -> float:
        return self.recorded.at

    def beat(self) -> None:
        """As much further as time has passed, while it plays; and show it."""
        if self.playing:
            self.advance(BEAT * self.speed)
        super().beat()
        view = self.view
        if view is not None and view.is_mounted:
            self._tell(view)

    def advance(self, length: float) -> None:
        """Play this many seconds of the recording; stops at its end."""
        self._at += length
        before = self.recorded.place
        self.recorded.go_to(self._at)
        if self.recorded.place == self.recorded.last:
            self.playing = False
        if self.recorded.place - before > 1 and self.speed == SPEEDS[0]:
            self._anew()  # a hole in the recording: there is nothing between

    def step(self, places: int) -> None:
        """So many snapshots further, or back."""
        if self.recorded.go(self.recorded.place + places) and places != 1:
            self._anew()
        self._stand()

    def jump(self, at: float) -> None:
        """To a moment, or what is nearest."""
        if self.recorded.go_to(at):
            self._anew()
        self._stand()

    def head(self, view: View, frame: Frame) -> Heading:
        """It says that this is the past."""
        heading = super().head(view, frame)
        return replace(heading, notes=("REPLAY", *(note for note in heading.notes if note != "READ ONLY")))

    def _stand(self) -> None:
        self._at = self.recorded.at
        self.touch()

    def _anew(self) -> None:
        """What was seen later, or long before, is forgotten: screens are as if opened at this moment."""
        self.pulse = Pulse(self.recorded)
        self._alarms = None
        forget(self)
        for name in self.views:
            if self.is_screen_installed(name):
                screen = self.get_screen(name)
                assert isinstance(screen, View)
                screen.rewound()
        for screen in self.screen_stack:
            if isinstance(screen, View):
                screen.rewound()

    def _tell(self, view: View) -> None:
        bars = view.query(TimeBar)
        if not bars:
            view.mount(TimeBar(), before=view.query_one(Hints))
            return
        state = f"▶ x{self.speed}" if self.playing else "‖ stands"
        bars.first().tell(self.recorded, state, self.times)


class InTime(Command):
    """Base of the commands that move in a recording."""

    def console(self, view: View) -> Replay:
        """The one that replays."""
        assert isinstance(view.console, Replay)
        return view.console


class Play(InTime):
    """Let time pass, or stop it."""

    name, title, key, place = "replay.play", "Play/stop", "p", 1

    async def run(self, view: View, words: str = "") -> None:
        replay = self.console(view)
        if not replay.playing and replay.recorded.place == replay.recorded.last:
            replay.jump(replay.recorded.recording.moments[0])
        replay.playing = not replay.playing


class StepBack(InTime):
    """One snapshot back."""

    name, title, key, place = "replay.back", "Back", "left", 2

    async def run(self, view: View, words: str = "") -> None:
        self.console(view).step(-1)


class StepOn(InTime):
    """One snapshot further."""

    name, title, key, place = "replay.on", "On", "right", 3

    async def run(self, view: View, words: str = "") -> None:
        self.console(view).step(1)


class LeapBack(InTime):
    """A minute back."""

    name, title, key, place = "replay.leap_back", "-1 min", "shift+left,<", 4

    async def run(self, view: View, words: str = "") -> None:
        replay = self.console(view)
        replay.jump(replay.recorded.at - LEAP)


class LeapOn(InTime):
    """A minute further."""

    name, title, key, place = "replay.leap_on", "+1 min", "shift+right,>", 5

    async def run(self, view: View, words: str = "") -> None:
        replay = self.console(view)
        replay.jump(replay.recorded.at + LEAP)


class Speed(InTime):
    """Play faster; after the fastest as slow as it was."""

    name, title, key, place = "replay.speed", "Speed", "P", 6

    async def run(self, view: View, words: str = "") -> None:
        replay = self.console(view)
        replay.speed = SPEEDS[(SPEEDS.index(replay.speed) + 1) % len(SPEEDS)]
        replay.tell(
            f"plays {replay.speed} times as fast as it was" if replay.speed > 1 else "plays as it was"
        )


class To(InTime):
    """Go to  start ,  end , a time of day as  14:03:07 , or so long after the start as  10m ."""

    name, title, key = "replay.to", "Go to", ""

    async def run(self, view: View, words: str = "") -> None:
        replay = self.console(view)
        replay.jump(when(words, replay.recorded, replay.times))


COMMANDS: Final[tuple[type[Command], ...]] = (Play, StepBack, StepOn, LeapBack, LeapOn, Speed, To)


def when(words: str, node: ReplayNode, times: TimeMode) -> float:
    """The moment that is meant.

    Raises:
        UsageError: it is none.
    """
    first, last = node.recording.moments[0], node.recording.moments[-1]
    words = words.strip().lower()
    if words in {"start", "end"}:
        return first if words == "start" else last
    if ":" in words:
        return _time_of_day(words, first, times)
    try:
        return first + seconds(words)
    except ValueError as error:
        raise UsageError(
            f"`{safe(words, 40)}` is no moment: start, end, 14:03:07, or 10m after the start"
        ) from error


def _time_of_day(words: str, first: float, times: TimeMode) -> float:
    """The first moment from the start of the recording on that had this time of day."""
    form = "%H:%M:%S" if words.count(":") > 1 else "%H:%M"
    try:
        wanted = time.strptime(words, form)
    except ValueError as error:
        raise UsageError(f"`{safe(words, 40)}` is no time of day: write it as 14:03:07") from error
    zone = UTC if times is TimeMode.UTC else None
    began = datetime.fromtimestamp(first, zone)
    found = began.replace(
        hour=wanted.tm_hour, minute=wanted.tm_min, second=min(wanted.tm_sec, 59), microsecond=0
    )
    if found.timestamp() < first - 1:
        found += timedelta(days=1)
    return found.timestamp()


def _clock(length: float) -> str:
    minutes, second = divmod(int(length), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
