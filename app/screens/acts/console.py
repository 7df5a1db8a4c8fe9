"""Commands about the console itself: help, palette, time, freeze, moving between screens, leaving."""

from __future__ import annotations

from textual.app import InvalidThemeError

from ...core.errors import UsageError
from ..commands import Command
from ..dialogs.choice import Choice, Option
from ..dialogs.command_line import CommandLine
from ..dialogs.help import HelpScreen
from ..dialogs.message import Message
from ..view import View
from ..widgets.words import TimeMode, exact


class Help(Command):
    """All keys and commands of this screen."""

    name, title, key, place = "console.help", "Help", "?,f1", 900

    async def run(self, view: View, words: str = "") -> None:
        await view.console.push_screen_wait(HelpScreen(view, view.console.registry))


class Palette(Command):
    """Find any command by a few letters."""

    name, title, key = "console.palette", "Palette", "ctrl+p"
    asks_words = True

    async def run(self, view: View, words: str = "") -> None:
        view.console.action_command_palette()


class Line(Command):
    """Type a command: a screen and what it is about, or the name of any command."""

    name, title, key, place = "console.line", "Command", ":", 890
    asks_words = True

    async def run(self, view: View, words: str = "") -> None:
        typed = await view.console.push_screen_wait(CommandLine(view, view.console.registry))
        name, _, rest = (typed or "").strip().partition(" ")
        if not name:
            return
        if name in view.console.views:
            await view.console.go(name, rest.strip())
        else:
            view.console.give(name, view, rest.strip())


class Freeze(Command):
    """Stop the screen, to read in peace; the node goes on. Again to let it run."""

    name, title, key, place = "console.freeze", "Freeze", "f", 800

    async def run(self, view: View, words: str = "") -> None:
        view.console.frozen = not view.console.frozen


class Times(Command):
    """Tell times as local, UTC or relative."""

    name, title, key = "console.times", "Times", "T"

    async def run(self, view: View, words: str = "") -> None:
        console = view.console
        known = {mode.value: mode for mode in TimeMode}
        if words and words not in known:
            raise UsageError(f"times are told as {', '.join(known)}, not `{words}`")
        console.times = known.get(words, console.times.next)
        console.prefs.keep(times=console.times.value)
        console.tell(f"times are {console.times.value}")


class Theme(Command):
    """Choose the colours."""

    name, title, key = "console.theme", "Theme", ""

    async def run(self, view: View, words: str = "") -> None:
        console = view.console
        options = [Option(name, name) for name in sorted(console.available_themes)]
        chosen = words or await console.push_screen_wait(Choice("Theme", options, at=console.theme))
        if not chosen:
            return
        try:
            console.theme = chosen
        except InvalidThemeError as error:
            raise UsageError(f"there is no theme `{chosen}`; `:theme` shows all") from error
        console.prefs.keep(theme=chosen)


class Bell(Command):
    """Ring the terminal's bell at errors, or be silent."""

    name, title, key = "console.bell", "Bell", ""

    async def run(self, view: View, words: str = "") -> None:
        console = view.console
        console.prefs.keep(bell=not console.prefs.kept.bell)
        console.tell(f"the bell is {'on' if console.prefs.kept.bell else 'off'}")


class Messages(Command):
    """Read again what the console has told in the corner."""

    name, title, key = "console.messages", "Messages", "M"

    async def run(self, view: View, words: str = "") -> None:
        console = view.console
        now = console.clock()
        lines = [f"{exact(at, console.times, now)}  {what}" for at, _, what in reversed(console.told)]
        await console.push_screen_wait(Message("Messages", "\n".join(lines) or "nothing was told yet"))


class Back(Command):
    """Out of this screen, or out of what is chosen in it."""

    name, title, key = "console.back", "Back", "escape"

    async def run(self, view: View, words: str = "") -> None:
        if view.whole or (view.grid is not None and view.grid.table.marks):
            view.console.give("row.unmark", view)
        elif view.PLACE is None:
            await view.console.pop_screen()


class LastView(Command):
    """Back to the screen before this one."""

    name, title, key = "console.last", "Last screen", "-"

    def ready(self, view: View) -> bool:
        return bool(view.console.before[0])

    async def run(self, view: View, words: str = "") -> None:
        await view.console.go(*view.console.before)


class Undo(Command):
    """Forget the newest order that is about to be carried out."""

    name, title, key, place = "order.undo", "Undo", "u", 5

    def ready(self, view: View) -> bool:
        return bool(view.console.actor.pending)

    async def run(self, view: View, words: str = "") -> None:
        view.console.actor.undo()


class Twin(Command):
    """Show the command lines for a shell of what can be done here, to copy one."""

    name, title, key = "console.twin", "Command lines", "$"

    async def run(self, view: View, words: str = "") -> None:
        console = view.console
        lines = [(c.title, c.twin(view)) for c in console.registry.ready(view)]
        options = [Option(line, line, title) for title, line in lines if line]
        if not options:
            raise UsageError("nothing here has a command line of its own")
        line = await console.push_screen_wait(Choice("Copy a command line", options))
        if line:
            console.copy_to_clipboard(line)
            console.tell("copied")


class Suspend(Command):
    """Give the terminal back to the shell until `fg`; what runs in this process stands still meanwhile."""

    name, title, key = "console.suspend", "Suspend", "ctrl+z"

    async def run(self, view: View, words: str = "") -> None:
        console = view.console
        still = f"; the {console.role} stands still until then" if console.leaving else ""
        console.suspend_console(f"the console is suspended: fg brings it back{still}")


class Quit(Command):
    """Close the console."""

    name, title, key, place = "console.quit", "Quit", "q,ctrl+c,ctrl+q", 910

    async def run(self, view: View, words: str = "") -> None:
        console = view.console
        if isinstance(console.screen, Leave):
            return
        answer: str | None = ""
        if console.leaving and not console.node.snapshot().ended:  # else nothing is left that could go on
            answer = await console.push_screen_wait(Leave("Leave", console.leaving))
        if answer is not None:
            await console.leave(answer)


class Leave(Choice):
    """What becomes of the role."""
