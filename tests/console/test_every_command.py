"""Every command by key, by palette, by mouse and on a shell; what lacks one is named here, with why."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import anyio
import click
import pytest
from taskmessenger.cli.main import cli
from taskmessenger.screens import views
from taskmessenger.screens.commands import LAST, Command, Open, all_commands, found_in
from taskmessenger.screens.fake import FakeNode, FakeWorker
from taskmessenger.screens.palette import CommandsProvider
from taskmessenger.screens.view import View
from taskmessenger.screens.widgets.bars import Head, Hints
from textual.command import CommandList, CommandPalette

from tests.support.console import opened, press, settle, text

COMMANDS = all_commands(found_in(views, View))
BY_NAME = {c.name: c for c in COMMANDS}

WITHOUT_A_KEY = {
    "console.theme": "seldom wanted",
    "console.bell": "seldom wanted",
    "event.open": "Enter on the row does it where there is something to open",
    "kind.resume": "the key of pause does the one that fits",
    "worker.resume": "the key of pause does the one that fits",
    "row.unmark": "Escape does it",
}
"""Found in the palette, in menus and on the command line only."""

WITHOUT_A_TWIN = {
    "own.disconnect": "only who sits at the worker may cut it off",
    "own.start": "likewise",
    "task.like": "opens the dialog of task.submit, which has one",
}
"""Change something, and a shell cannot do the same with one line."""

Steps = Sequence[str]
SITUATIONS: list[tuple[str, str, str, Steps]] = [
    *(("manager", v, "", ()) for v in (
        "overview", "sessions", "tasks", "workers", "kinds", "events", "invites", "network", "settings")),
    *(("worker", v, "", ()) for v in ("status", "history", "log", "network", "settings")),
    ("manager", "task", "4998", ()),
    ("manager", "task", "4964", ()),
    ("manager", "task", "4993", ()),
    ("manager", "worker", "w-fern-00", ("down",)),
    ("manager", "tasks", "", ("down", "c", "y")),
    ("manager", "tasks", "", ("space",)),
    ("manager", "events", "", ("end",)),
    ("manager", "kinds", "", ("p",)),
    ("manager", "workers", "", ("s", "down", "enter", "down", "down", "down", "p")),
    ("worker", "status", "", ("D", "y")),
    ("worker", "status", "", ("D", "enter")),
]  # fmt: skip
"""Role, screen, what it is about, keys: between them every command applies somewhere."""


def a_node(role: str) -> Any:
    if role == "worker":
        return FakeWorker()
    node = FakeNode()
    node.knock(2)
    return node


def parsed(line: str) -> click.Command:
    """The command of the shell that these words reach; raises where one of them is wrong."""
    words = shlex.split(line)
    assert words[0] == "taskmessenger"
    command: click.Command = cli
    context = cli.make_context("taskmessenger", words[1:])
    while isinstance(command, click.Group):
        left = [*context._protected_args, *context.args]
        assert left, f"{line}: names a group of commands, and none of them"
        name, found, rest = command.resolve_command(context, left)
        assert found is not None, line
        command = found
        context = command.make_context(name, rest, parent=context)
    return command


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, Any]]:
    """By command: where it could be given, whether the palette had it, how the mouse reaches it, its twin."""
    return anyio.run(_all_situations)


async def _all_situations() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for role, view, argument, keys in SITUATIONS:
        undo = 5.0 if "c" in keys else 0.0
        async with opened(a_node(role), view=view, argument=argument, size=(200, 60), undo_seconds=undo) as (
            pilot,
            console,
            _node,
        ):
            await press(pilot, *keys)
            here = console.view
            assert here is not None
            offered = {
                str(hit.help).partition(":")[0]: hit
                async for hit in CommandsProvider(console.screen).discover()
            }
            footer = str(here.query_one(Hints).render())
            for command in console.registry.ready(here):
                facts = found.setdefault(command.name, {"palette": True, "mouse": set(), "twins": []})
                facts["palette"] &= command.name in offered
                if command.place < LAST and command.key and command.title in footer:
                    facts["mouse"].add("footer")
                if command.menu:
                    facts["mouse"].add("menu")
                if isinstance(command, Open):
                    facts["mouse"].add("tab")
                if line := command.twin(here):
                    facts["twins"].append(line)
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.name)
def test_a_command_has_a_key_or_a_reason(command: Command) -> None:
    assert bool(command.key) is not (command.name in WITHOUT_A_KEY)


def test_there_is_a_situation_for_every_command(seen: dict[str, dict[str, Any]]) -> None:
    missing = sorted(BY_NAME.keys() - seen.keys())
    assert not missing


def test_every_command_is_in_the_palette_wherever_it_applies(seen: dict[str, dict[str, Any]]) -> None:
    assert not [name for name, facts in seen.items() if not facts["palette"]]


def test_every_command_that_changes_something_is_in_the_footer_a_menu_or_a_tab(
    seen: dict[str, dict[str, Any]],
) -> None:
    assert not [n for n, facts in seen.items() if BY_NAME[n].changes and not facts["mouse"]]


async def test_a_click_on_the_name_of_the_fleet_opens_the_palette_where_all_can_be_clicked() -> None:
    async with opened(view="tasks", size=(120, 40)) as (pilot, console, _node):
        await pilot.click(Head, offset=(2, 0))
        await settle(pilot)
        assert CommandPalette.is_open(console)
        for key in "messages":
            await pilot.press(key)
        found = console.screen.query_one(CommandList)
        await wait_for(pilot, lambda: found.option_count)
        await pilot.click(CommandList, offset=(5, 1))
        await settle(pilot)
        assert "nothing was told yet" in text(console)


async def wait_for(pilot: Any, condition: Any) -> None:
    with anyio.fail_after(10):
        while not condition():
            await pilot.pause(0.02)


@pytest.mark.parametrize("name", sorted(c.name for c in COMMANDS if c.changes))
def test_what_changes_something_has_a_twin_for_the_shell(name: str, seen: dict[str, dict[str, Any]]) -> None:
    twins = seen[name]["twins"]
    assert bool(twins) is not (name in WITHOUT_A_TWIN)
    for line in twins:
        parsed(line)


def test_every_twin_is_a_line_that_the_shell_understands(seen: dict[str, dict[str, Any]]) -> None:
    lines = {line for facts in seen.values() for line in facts["twins"]}
    assert lines
    for line in lines:
        parsed(line)


@pytest.mark.parametrize("line", ["taskmessenger task", "taskmessenger task cancel --nonsense 3"])
def test_a_twin_that_the_shell_does_not_understand_is_found(line: str) -> None:
    with pytest.raises((AssertionError, click.ClickException)):
        parsed(line)
