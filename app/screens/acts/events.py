"""Moving in the events: to what one is about, its full text, levels, and back to the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ...core.errors import UsageError
from ..commands import Command
from ..dialogs.message import MAX_SHOWN, Message
from ..event_log import LEVELS
from ..view import View
from ..widgets.words import exact, safe

if TYPE_CHECKING:
    from ...handle import EventRow
    from ..views.events import EventsView


class OnEvents(Command):
    """Base of those for the events."""

    views = ("events", "log")


class OpenEvent(OnEvents):
    """Go to the task, worker or kind that the event is about."""

    name, title, key, place, menu = "event.open", "Its subject", "", 10, True

    def ready(self, view: View) -> bool:
        return cast("EventsView", view).jump() is not None

    async def run(self, view: View, words: str = "") -> None:
        place = cast("EventsView", view).jump()
        if place is None:
            return
        console, (name, argument) = view.console, place
        filtered = name == "tasks"
        await console.go(name, "" if filtered else argument)
        if filtered:
            console.give("tasks.filter", console.view, argument)


class ReadEvent(OnEvents):
    """The event in full."""

    name, title, key, place, menu = "event.read", "Read", "i", 20, True

    def ready(self, view: View) -> bool:
        return view.current() is not None

    async def run(self, view: View, words: str = "") -> None:
        row: EventRow = view.current()
        console = view.console
        when = exact(row.at, console.times, console.clock())
        text = f"{when}\n{row.level}  {safe(row.subject)}\n\n{row.text[:MAX_SHOWN]}"
        await console.push_screen_wait(Message(safe(row.what), text))


class Level(OnEvents):
    """Leave out what is less serious than info, warning, error; once more shows all again."""

    name, title, key, place = "event.level", "Level", "l", 30

    async def run(self, view: View, words: str = "") -> None:
        events = cast("EventsView", view)
        if words and words not in LEVELS:
            raise UsageError(f"levels are {', '.join(LEVELS)}, not `{safe(words)}`")
        events.set_level(words or LEVELS[(LEVELS.index(events.level) + 1) % len(LEVELS)])


class Follow(OnEvents):
    """Stay at the newest event as they come."""

    name, title, key, place = "event.follow", "Follow", "F", 40

    def twin(self, view: View) -> str:
        return "taskmessenger watch --plain"

    async def run(self, view: View, words: str = "") -> None:
        cast("EventsView", view).follow()
