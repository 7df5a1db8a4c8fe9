"""Pictures of every screen and dialog, at a small and a large size; the same on every machine.

Changed on purpose? `pytest tests/console/test_pictures.py --snapshot-update`, and look at them.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.leaving import leaving
from taskmessenger.screens.prefs import SavedView
from textual.command import CommandList
from textual.pilot import Pilot

from tests.support.console import LARGE, SMALL, a_console, passed, press, settle, type_text
from tests.support.pictures import shows

Steps = Callable[[Pilot[Any]], Awaitable[None]]


def at(view: str, *keys: str, argument: str = "", typed: str = "") -> Steps:
    """Open a view, press keys, type."""

    async def steps(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.app.go(view, argument)
        await settle(pilot)
        await press(pilot, *keys)
        await type_text(pilot, typed)

    return steps


async def away(pilot: Pilot[Any]) -> None:
    await at("tasks", "down")(pilot)
    pilot.app.node.away()
    pilot.app.clock = lambda: pilot.app.node.now + 12
    await settle(pilot)


async def waiting(pilot: Pilot[Any]) -> None:
    await at("tasks", "down", "c", "y")(pilot)
    await passed(pilot, 1)


async def setting(pilot: Pilot[Any]) -> None:
    pilot.app.settings_file = Path("/etc/task-messenger/config-manager.json")
    await at("settings", "down", "down", "down", "e")(pilot)


async def submit_json(pilot: Pilot[Any]) -> None:
    await at("task", "N", argument="4998")(pilot)


async def saved(pilot: Pilot[Any]) -> None:
    await settle(pilot)
    for name, kept in (("broken", "state:failed,timed_out"), ("long ones", "run>10s -kind:train")):
        pilot.app.prefs.save_view("tasks", name, SavedView(filter=kept, sort="id"))
    await at("tasks", "v")(pilot)


async def quitting(pilot: Pilot[Any]) -> None:
    pilot.app.leaving = leaving("manager")
    await at("overview", "q")(pilot)


async def palette(pilot: Pilot[Any]) -> None:
    await at("tasks", "ctrl+p")(pilot)
    for _ in range(100):
        await pilot.pause(0.02)
        if pilot.app.screen.query_one(CommandList).option_count:
            break
    await type_text(pilot, "priority")
    for _ in range(100):
        await pilot.pause(0.02)
        if pilot.app.screen.query_one(CommandList).option_count == 1:
            break


async def told(pilot: Pilot[Any]) -> None:
    await at("overview")(pilot)
    pilot.app.tell("worker w-reed-09 is away: its leases hold a while longer", "warning")
    await settle(pilot)


PICTURES: dict[str, Steps] = {
    "tasks": at("tasks", "down", "space", "down", "space"),
    "tasks_filtered": at("tasks", "slash", typed="state:failed,timed_out run>1s\r"),
    "tasks_filter_typed": at("tasks", "slash", typed="kind:"),
    "tasks_filter_wrong": at("tasks", "slash", typed="kind>5\r"),
    "tasks_none": at("tasks", "slash", typed="kind:nothing\r"),
    "tasks_away": away,
    "tasks_undo": waiting,
    "task_running": at("task", argument="4998"),
    "task_failed": at("task", argument="4964"),
    "task_waiting": at("task", argument="5000"),
    "dialog_confirm": at("tasks", "down", "c"),
    "dialog_typed": at("tasks", "ctrl+a", "c"),
    "dialog_prompt": at("tasks", "P"),
    "dialog_choice": at("tasks", "s"),
    "dialog_views": saved,
    "dialog_command_lines": at("tasks", "down", "dollar_sign"),
    "dialog_themes": at("tasks", "colon", typed="console.theme\r"),
    "dialog_revoke": at("workers", "X"),
    "dialog_drain": at("workers", "d"),
    "dialog_draining": at("workers", "down", "down", "down", "d", "enter"),
    "dialog_leave": quitting,
    "palette": palette,
    "told": told,
    "dialog_menu": at("tasks", "m"),
    "dialog_messages": at("tasks", "M"),
    "events": at("events", "down", "down"),
    "events_errors": at("events", "l", "l", "slash", typed="what:task.failed\r"),
    "invites": at("invites", "down"),
    "invite_make": at("invites", "n"),
    "invite_made": at("invites", "n", "enter"),
    "invite_code": at("invites", "n", "enter", "tab", "enter"),
    "network": at("network", "end"),
    "settings": at("settings", "down", "down", "down"),
    "setting_dialog": setting,
    "submit_kind": at("tasks", "n"),
    "submit_form": at("tasks", "n", "down", "down", "enter"),
    "submit_json": submit_json,
    "help": at("tasks", "question_mark"),
    "command_line": at("tasks", "colon", typed="task"),
}
"""A line for each: its name, and how one gets there."""


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
@pytest.mark.parametrize("name", PICTURES)
def test_picture(name: str, size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    undo = 5.0 if name == "tasks_undo" else 0.0
    console = a_console(FakeNode(), undo_seconds=undo)
    assert snap_compare(console, terminal_size=size, run_before=shows(name, PICTURES[name]))


def test_without_colours(snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "NO_COLOR", "1")
    assert snap_compare(a_console(FakeNode()), terminal_size=SMALL, run_before=PICTURES["tasks"])
