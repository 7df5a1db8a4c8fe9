"""One registry behind key, footer, help, palette, command line and menu: all of them know every command."""

from __future__ import annotations

from io import StringIO
from itertools import combinations
from typing import Any

import pytest
from taskmessenger.core.errors import UsageError
from taskmessenger.screens import views
from taskmessenger.screens.app import Console
from taskmessenger.screens.commands import Command, Registry, all_commands, found_in, meet
from taskmessenger.screens.palette import CommandsProvider
from taskmessenger.screens.view import View
from taskmessenger.screens.widgets.bars import Hints

from tests.support.console import opened, press, settle, text, type_text

VIEWS = found_in(views, View)
COMMANDS = all_commands(VIEWS)
SHELL = "taskmessenger "


def named(command: Command) -> str:
    return command.name


def at_home(command: Command) -> list[type[View]]:
    """Screens without an argument where a manager's operator can give it."""
    return [v for v in VIEWS if v.NAME in command.views and "manager" in v.ROLES and not v.ARGUMENT]


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_a_command_says_what_it_does(command: Command) -> None:
    assert command.title
    assert "." in command.name
    assert command.help.endswith(".")


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_a_command_belongs_to_screens_that_there_are(command: Command) -> None:
    assert set(command.views) <= {v.NAME for v in VIEWS}


def test_no_two_commands_of_a_screen_share_a_key() -> None:
    registry = Registry(COMMANDS)
    clashes = [
        (one.name, other.name, key)
        for one, other in combinations(COMMANDS, 2)
        for key in {*registry.keys(one)} & {*registry.keys(other)}
        if meet(one, other)
    ]
    assert not clashes
    assert not registry.complaints


def test_no_two_screens_of_a_role_share_a_digit() -> None:
    placed = [v for v in VIEWS if v.PLACE is not None]
    clashes = [
        (a.NAME, b.NAME) for a, b in combinations(placed, 2) if a.PLACE == b.PLACE and a.ROLES & b.ROLES
    ]
    assert not clashes


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.changes], ids=named)
async def test_what_changes_something_is_hidden_in_a_read_only_console(command: Command) -> None:
    homes = at_home(command)
    if not homes:
        pytest.skip("on a screen that is about one thing")
    async with opened(view=homes[0].NAME, read_only=True) as (_, console, _node):
        assert command.name not in {c.name for c in console.registry.at(console.view)}


@pytest.mark.parametrize("view", [v.NAME for v in VIEWS if "manager" in v.ROLES and not v.ARGUMENT])
async def test_every_command_is_in_help_palette_line_and_footer_or_menu(view: str) -> None:
    async with opened(view=view, size=(200, 60)) as (pilot, console, _node):
        here = console.registry.at(console.view)
        ready = console.registry.ready(console.view)
        offered = [hit async for hit in CommandsProvider(console.screen).discover()]
        assert len(offered) == len(ready)
        footer = str(console.view.query_one(Hints).render())
        for command in ready:
            if command.place < 1_000 and command.key:
                assert command.title in footer
            assert console.registry.find(command.name, console.view) is command
        await press(pilot, "question_mark")
        shown = "\n".join(_all_text(console))
        for command in here:
            assert f"[{command.name}]" in shown.replace("\n", "")


def _all_text(console: Console) -> list[str]:
    """Every word of the help, also what has to be scrolled to."""
    from rich.console import Console as Printer
    from textual.widgets import Static

    printer = Printer(width=400, record=True, file=StringIO())
    for part in console.screen.query(Static):
        printer.print(part.content)
    return printer.export_text().splitlines()


async def test_a_click_in_the_footer_gives_the_command() -> None:
    async with opened(view="tasks") as (pilot, console, _node):
        hints = console.view.query_one(Hints)
        x = str(hints.render()).index("Sort")
        await pilot.click(Hints, offset=(x, 0))
        await settle(pilot)
        assert "Sort by" in text(console)


async def test_the_right_button_opens_the_menu_of_the_row() -> None:
    async with opened(view="tasks") as (pilot, console, _node):
        await pilot.click("Grid", offset=(10, 4), button=3)
        await settle(pilot)
        assert "task 4997" in text(console)
        assert "Cancel" in text(console)


async def test_the_command_line_opens_screens_and_gives_commands() -> None:
    async with opened(view="tasks") as (pilot, console, _node):
        await press(pilot, "colon")
        await type_text(pilot, "task 4999\r")
        assert console.view.NAME == "task"
        await press(pilot, "minus")
        assert console.view.NAME == "tasks"
        await press(pilot, "colon")
        await type_text(pilot, "nonsense\r")
        assert "no command `nonsense`" in console.told[-1][2]


async def test_the_operators_keymap_is_taken_and_its_mistakes_told() -> None:
    registry = Registry(COMMANDS, {"task.cancel": "X,ctrl+k", "task.cancle": "c"})
    cancel = registry.commands["task.cancel"]
    assert registry.keys(cancel) == ("X", "ctrl+k")
    assert registry.complaints == ["keymap: there is no command `task.cancle`; `?` names them all"]
    clash = Registry(COMMANDS, {"task.cancel": "x", "task.retry": "x", "task.nothing": "y"})
    assert any("task.retry" in line and "task.cancel" in line for line in clash.complaints)
    assert any("task.nothing" in line for line in clash.complaints)


async def test_a_key_that_the_operator_gives_is_taken_from_the_command_that_has_it() -> None:
    registry = Registry(COMMANDS, {"task.cancel": "r,r"})
    assert not registry.complaints
    assert registry.keys(registry.commands["task.cancel"])[0] == "r"
    assert "r" not in registry.keys(registry.commands["task.retry"])
    # Where the two never meet both keep it.
    for name, command in registry.commands.items():
        if name not in {"task.cancel", "task.retry"}:
            assert registry.keys(command) == Registry(COMMANDS).keys(command)


async def test_commands_that_a_shell_can_give_say_how() -> None:
    async with opened(view="tasks") as (pilot, console, _node):
        await press(pilot, "space", "space")
        twins = {c.name: c.twin(console.view) for c in console.registry.ready(console.view)}
        assert twins["task.cancel"] in {f"{SHELL}task cancel 5000 4999", f"{SHELL}task cancel 4999 5000"}
        assert all(line.startswith(SHELL) for line in twins.values() if line)


async def test_an_unknown_screen_is_an_error_of_one_line() -> None:
    async with opened() as (_, console, _node):
        with pytest.raises(UsageError, match="no screen `nowhere`"):
            await console.go("nowhere")
        with pytest.raises(UsageError, match="needs to know which"):
            await console.go("task")


async def test_a_frozen_screen_stands_still() -> None:
    async with opened(view="tasks") as (pilot, console, node):
        await press(pilot, "f")
        before: Any = [row.id for row in console.view.grid.table.rows[:5]]
        node.advance(30)
        for _ in range(4):
            console.beat()
        await settle(pilot)
        assert [row.id for row in console.view.grid.table.rows[:5]] == before
        assert "FROZEN" in text(console)
