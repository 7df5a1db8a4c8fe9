"""Every key of every screen, pressed in a real terminal: it gives its command, and the console goes on.

Keys and screens come from the table of commands itself: a new one is pressed as soon as it is there.
"""

from __future__ import annotations

import sys
import time
import unicodedata
from pathlib import Path

import pytest
from taskmessenger.screens import views
from taskmessenger.screens.commands import Command, Registry, all_commands, found_in
from taskmessenger.screens.view import View

from tests.support.processes import environment
from tests.support.tmux import TMUX, Terminal, terminal

pytestmark = [
    pytest.mark.skipif(TMUX is None, reason="tmux is not installed; the package `tmux` has it"),
    pytest.mark.slow,
    pytest.mark.timeout(240),
]

CONSOLE = """
import sys, time
from taskmessenger.screens.app import Console
from taskmessenger.screens.fake import FakeNode, FakeWorker
from taskmessenger.screens.leaving import leaving

notes = open(sys.argv[2], "a", buffering=1)

class Noted(Console):
    def give(self, name, view=None, words=""):
        notes.write(f"give {name}\\n")
        return super().give(name, view, words)

    async def go(self, name, argument=""):
        await super().go(name, argument)
        notes.write(f"at {name}\\n")

role = sys.argv[1]
node = FakeWorker() if role == "worker" else FakeNode()
console = Noted(node, leaving=leaving(role), clock=lambda: node.now)
print("ANSWER", console.run())
print(console.report)
sys.exit(bool(console.report))
"""
ARGUMENTS = {"task": "4964", "worker": "w-fern-00", "running": "5012"}
"""What the screens are about that are about something."""
TMUX_NAMES = {"escape": "Escape", "enter": "Enter", "space": "Space", "f1": "F1"}
OTHERWISE = {"console.palette": "Search for commands"}
"""Keys that Textual takes itself, and what is seen of them."""
SEEN_SECONDS = 20.0
AGAIN_SECONDS = 1.5
"""After which what was typed is typed again: an editor, or a command that was refused, has taken it away."""
COMMANDS = Registry(all_commands(found_in(views, View)))


def tmux_key(key: str) -> str:
    """A key of Textual's as tmux calls it."""
    *modifiers, last = key.split("+")
    if last in TMUX_NAMES:
        name = TMUX_NAMES[last]
    elif len(last) == 1:
        name = last
    else:
        name = unicodedata.lookup(
            {"minus": "HYPHEN-MINUS", "slash": "SOLIDUS", "backslash": "REVERSE SOLIDUS"}.get(
                last, last.replace("_", " ").upper()
            )
        )
    name = "\\;" if name == ";" else name
    return "".join({"ctrl": "C-", "alt": "M-", "shift": "S-"}[one] for one in modifiers) + name


class Notes:
    """What the console has written of itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def have(self, line: str, since: int, seconds: float, *others: str) -> bool:
        """Until this line is written, or one that begins with one of the others."""
        end = time.monotonic() + seconds
        while not any(one == line or one.startswith(others) for one in self._lines(since)):
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def _lines(self, since: int) -> list[str]:
        return self.path.read_text()[since:].splitlines()

    @property
    def size(self) -> int:
        return len(self.path.read_text())


def go(window: Terminal, notes: Notes, view: type[View]) -> None:
    """To this screen, out of whatever is open."""
    line = f":{view.NAME} {ARGUMENTS.get(view.NAME, '') if view.ARGUMENT else ''}".rstrip()
    way = [str(view.PLACE)] if view.PLACE else [*("Space" if c == " " else c for c in line), "Enter"]
    end = time.monotonic() + SEEN_SECONDS
    since = notes.size
    while time.monotonic() < end:
        window.keys("Escape", "Escape", "Escape", *way)
        if notes.have(f"at {view.NAME}", since, AGAIN_SECONDS):
            return
    raise AssertionError(f"{view.NAME} does not open:\n{window.seen()}\n{notes.path.read_text()[-800:]}")


def press(window: Terminal, notes: Notes, view: type[View], command: Command, key: str) -> None:
    """One key, and what must come of it."""
    since = notes.size
    window.keys(tmux_key(key))
    if command.name in OTHERWISE:
        window.until(OTHERWISE[command.name])
        return
    opens = ("at ",) if key == "enter" else ()  # a table that opens its row does so itself
    given = notes.have(f"give {command.name}", since, SEEN_SECONDS, *opens)
    assert given, f"{key} on {view.NAME} does not give {command.name}:\n{window.seen()}"


def pressed_at(screens: list[type[View]], role: str, turn: int) -> list[list[Command]]:
    """For each screen its own commands, and its share of those that are the same everywhere."""
    mine = [command for command in COMMANDS.commands.values() if role in command.roles]
    everywhere = [command for command in mine if not command.views]
    return [
        [command for command in mine if view.NAME in command.views]
        + [one for number, one in enumerate(everywhere) if (number + turn) % len(screens) == place]
        for place, view in enumerate(screens)
    ]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
@pytest.mark.parametrize("role", ["manager", "worker"])
def test_every_key_of_every_screen_gives_its_command(
    role: str, size: tuple[int, int], tmp_path: Path
) -> None:
    notes = Notes(tmp_path / "notes")
    given = environment(tmp_path / "x") | {
        "TERM": "tmux-256color",
        "LC_ALL": "C.UTF-8",
        "EDITOR": "true",
        "VISUAL": "",
    }
    screens = [view for view in found_in(views, View) if role in view.ROLES]
    assert len(screens) >= (11 if role == "manager" else 6)
    with terminal(tmp_path, size) as window:
        window.start([sys.executable, "-W", "error", "-c", CONSOLE, role, str(notes.path)], given)
        assert notes.have(f"at {'overview' if role == 'manager' else 'status'}", 0, SEEN_SECONDS)
        pressed = 0
        for view, commands in zip(screens, pressed_at(screens, role, size[0] // 40), strict=True):
            go(window, notes, view)
            for command in commands:
                for key in COMMANDS.keys(command):
                    press(window, notes, view, command, key)
                    pressed += 1
                    go(window, notes, view)
        assert pressed > 40
        window.keys("q")
        window.until("Stop the")
        window.keys("Enter")
        seen = window.until("EXIT=")
        assert "EXIT=0" in seen, seen
        assert "Traceback" not in seen
