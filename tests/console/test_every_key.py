"""Every key of every screen, pressed in a real terminal: it gives its command, and the console goes on.

Keys and screens come from the table of commands itself: a new one is pressed as soon as it is there.
"""

from __future__ import annotations

import os
import select
import sys
import time
import unicodedata
from contextlib import closing
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
import sys
from contextlib import contextmanager
from taskmessenger.screens.app import Console
from taskmessenger.screens.fake import FakeNode, FakeWorker
from taskmessenger.screens.leaving import leaving

notes = open(sys.argv[2], "w", buffering=1)

class Noted(Console):
    def give(self, name, view=None, words=""):
        notes.write(f"give {name}\\n")
        return super().give(name, view, words)

    async def go(self, name, argument=""):
        await super().go(name, argument)
        notes.write(f"at {name}\\n")

    async def _type(self):
        await super()._type()
        takes = self.focused is not None and self.focused.check_consume_key("x", "x")
        away = "lent" if self.lent else "asks" if takes or self.screen is not self.view else "alone"
        notes.write(f"rests {away} {self.view.NAME}\\n")

    @contextmanager
    def terminal_lent(self):
        with super().terminal_lent():
            yield
        notes.write("back\\n")

role = sys.argv[1]
node = FakeWorker() if role == "worker" else FakeNode()
console = Noted(node, leaving=leaving(role), clock=lambda: node.now)
print("ANSWER", console.run())
print(console.report)
sys.exit(bool(console.report))
"""
"""A console that notes what it is given, where it comes to, and when what was typed has come to its end."""
ARGUMENTS = {"task": "4964", "worker": "w-fern-00", "running": "5012"}
"""What the screens are about that are about something."""
TMUX_NAMES = {"escape": "Escape", "enter": "Enter", "space": "Space", "f1": "F1"}
OTHERWISE = {"console.palette": "Search for commands"}
"""Keys that Textual takes itself, and what is seen of them."""
SEEN_SECONDS = 20.0
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
    """What the console notes of itself, line by line, as soon as it does: a pipe."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path, self._pipe = path, os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._begun = ""

    def until(self, wanted: str) -> list[str]:
        """All lines up to one that begins so; or all that came in a time that is long for anything."""
        end = time.monotonic() + SEEN_SECONDS
        found: list[str] = []
        while True:
            *lines, self._begun = self._begun.split("\n")
            for place, line in enumerate(lines):
                found.append(line)
                if line.startswith(wanted):
                    self._begun = "".join(f"{rest}\n" for rest in lines[place + 1 :]) + self._begun
                    return found
            if not select.select([self._pipe], [], [], max(end - time.monotonic(), 0.0))[0]:
                return [*found, ""]
            self._begun += os.read(self._pipe, 1 << 16).decode()

    def close(self) -> None:
        os.close(self._pipe)


class Keys:
    """Presses keys in one window, and knows from the notes what came of them."""

    def __init__(self, window: Terminal, notes: Notes) -> None:
        self.window, self.notes, self.rests = window, notes, ""

    def go(self, view: type[View]) -> None:
        """To this screen, out of whatever is open."""
        if self.rests == f"rests alone {view.NAME}":
            return
        line = f":{view.NAME} {ARGUMENTS.get(view.NAME, '') if view.ARGUMENT else ''}".rstrip()
        way = [str(view.PLACE)] if view.PLACE else [*("Space" if c == " " else c for c in line), "Enter"]
        self.window.keys("Escape", "Escape", "Escape", *way)
        self.notes.until(f"at {view.NAME}")
        self.rests = self.notes.until("rests ")[-1]
        wanted = f"rests alone {view.NAME}"
        assert self.rests == wanted, f"{view.NAME} does not open:\n{self.window.seen()}"

    def press(self, view: type[View], command: Command, key: str) -> None:
        """One key, and what must come of it."""
        self.window.keys(tmux_key(key))
        came = self.notes.until("rests ")
        self.rests = came[-1]
        if command.name in OTHERWISE:
            self.window.until(OTHERWISE[command.name])
            return
        opens = key == "enter" and any(
            line.startswith("at ") for line in came
        )  # a table opens its row itself
        given = opens or f"give {command.name}" in came
        assert given, f"{key} on {view.NAME} does not give {command.name}: {came}\n{self.window.seen()}"
        if self.rests.startswith("rests lent"):
            self.notes.until("back")


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
    with terminal(tmp_path, size) as window, closing(notes):
        window.start([sys.executable, "-W", "error", "-c", CONSOLE, role, str(notes.path)], given)
        notes.until(f"at {'overview' if role == 'manager' else 'status'}")
        keys, pressed = Keys(window, notes), 0
        for view, commands in zip(screens, pressed_at(screens, role, size[0] // 40), strict=True):
            for command in commands:
                for key in COMMANDS.keys(command):
                    keys.go(view)
                    keys.press(view, command, key)
                    pressed += 1
        assert pressed > 40
        keys.go(screens[0])
        window.keys("q")
        window.until("Stop the")
        window.keys("Enter")
        seen = window.until("EXIT=")
        assert "EXIT=0" in seen, seen
        assert "Traceback" not in seen
