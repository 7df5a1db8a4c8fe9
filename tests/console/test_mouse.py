"""Every command by the mouse alone: clicked in the footer, a menu, the palette, or as a tab."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import anyio
import pytest
from rich.cells import cell_len
from taskmessenger.screens.commands import LAST, Command, Open
from taskmessenger.screens.widgets.bars import Head, Hints
from taskmessenger.screens.widgets.grid import Grid
from taskmessenger.screens.widgets.table import HEAD
from textual.command import CommandList
from textual.pilot import Pilot
from textual.widgets import OptionList

from tests.console.test_every_command import BY_NAME, SITUATIONS, a_node, wait_for
from tests.support.console import lines, opened, press, press_at_once, settle, text

RIGHT = 3
PASSED_ON, PALETTE = "row.menu", "console.palette"
"""Are given in earnest: without them there is nothing to click in."""
ALSO = (("manager", "tasks", "", ("down", "down")), ("manager", "tasks", "", ("end",)))
"""On a task that has a worker, and on one that has ended."""
Ways = dict[str, set[str]]
pytestmark = pytest.mark.timeout(600)


class Clicker:
    """Clicks, and notes what that gave."""

    def __init__(self, pilot: Pilot[None], console: Any) -> None:
        self.pilot, self.console, self.given = pilot, console, [""]
        give = console.give

        def noted(name: str, view: Any = None, words: str = "") -> Any:
            self.given.append(name)
            return give(name, view, words) if name in {PASSED_ON, PALETTE} else None

        console.give = noted

    async def footer(self, command: Command) -> bool:
        """By its words at the bottom."""
        key = self.console.registry.shown_key(command)
        shown = str(self.console.view.query_one(Hints).render())
        found = f" {key}  {command.title} "
        if found not in shown:
            return False
        x = cell_len(shown[: shown.index(found)]) + 2 + cell_len(key)
        await self.pilot.click(Hints, offset=(x, 0))
        return self.given[-1] == command.name

    async def tab(self, command: Open) -> bool:
        """At the top."""
        shown = str(self.console.view.query_one(Head).render())
        await self.pilot.click(Head, offset=(shown.index(f" {command.key} {command.title} ") + 2, 0))
        return self.given[-1] == command.name

    async def menu(self, name: str, place: int) -> bool:
        """With the right button on the row, and then in its menu."""
        grid: Any = self.console.view.grid
        port = grid.table.port
        await self.pilot.click(grid, offset=(10, HEAD + port.cursor - port.top), button=RIGHT)
        await settle(self.pilot)
        options = self.console.screen.query_one(OptionList)
        options.scroll_to(0, place, animate=False)
        await settle(self.pilot)
        await self.pilot.click(options, offset=(5, place - round(options.scroll_offset.y)))
        await settle(self.pilot)
        return self.given[-1] == name

    async def palette(self, command: Command) -> bool:
        """From the name of the fleet, by what it is called."""
        await self.pilot.click(Head, offset=(2, 0))
        await settle(self.pilot)
        if command.name == PALETTE:
            await self.pilot.press("escape")
            await settle(self.pilot)
            return self.given[-1] == PALETTE
        await press_at_once(self.pilot, command.title)
        found = self.console.screen.query_one(CommandList)
        words = f"{command.name}: "
        await wait_for(self.pilot, lambda: found.option_count and words in text(self.console))
        await settle(self.pilot)
        y, line = next((y, line) for y, line in enumerate(lines(self.console)) if words in line)
        await self.pilot.click(offset=(line.index(words) + 1, y))
        await settle(self.pilot)
        return self.given[-1] == command.name


async def _clicked() -> Ways:
    ways: Ways = defaultdict(set)
    for role, view, argument, keys in [*SITUATIONS, *ALSO]:
        undo = 5.0 if "c" in keys else 0.0
        async with opened(a_node(role), view=view, argument=argument, size=(200, 60), undo_seconds=undo) as (
            pilot,
            console,
            _node,
        ):
            await press(pilot, *keys)
            here, clicker = console.view, Clicker(pilot, console)
            ready = console.registry.ready(here)
            for command in ready:
                known = ways[command.name]
                if command.place < LAST and "footer" not in known and await clicker.footer(command):
                    known.add("footer")
                if isinstance(command, Open) and "tab" not in known and await clicker.tab(command):
                    known.add("tab")
            in_menu = [command.name for command in ready if command.menu]
            if here.query(Grid) and here.grid.current() is not None:
                for place, name in enumerate(in_menu):
                    if "menu" not in ways[name] and await clicker.menu(name, place):
                        ways[name].add("menu")
            for command in ready:
                if not ways[command.name] and await clicker.palette(command):
                    ways[command.name].add("palette")
    return ways


@pytest.fixture(scope="module")
def ways() -> Ways:
    return anyio.run(_clicked)


def test_every_command_is_given_by_a_click(ways: Ways) -> None:
    assert sorted(name for name in BY_NAME if not ways[name]) == []


def test_what_is_about_a_row_is_clicked_in_its_menu(ways: Ways) -> None:
    assert sorted(name for name, one in BY_NAME.items() if one.menu and "menu" not in ways[name]) == []


def test_what_has_a_place_in_the_footer_is_clicked_there(ways: Ways) -> None:
    placed = {name for name, one in BY_NAME.items() if one.place < LAST and one.key}
    assert sorted(name for name in placed if "footer" not in ways[name]) == []


def test_every_screen_with_a_digit_is_opened_by_its_tab(ways: Ways) -> None:
    assert (
        sorted(name for name, one in BY_NAME.items() if isinstance(one, Open) and "tab" not in ways[name])
        == []
    )
