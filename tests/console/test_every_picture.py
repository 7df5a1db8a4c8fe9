"""No screen and no dialog is without a picture."""

from __future__ import annotations

from importlib import import_module
from inspect import isclass
from pkgutil import iter_modules
from typing import Any

import pytest
from taskmessenger.screens import dialogs, views
from taskmessenger.screens.commands import found_in
from taskmessenger.screens.dialogs.base import Dialog, Modal
from taskmessenger.screens.fake import FakeNode, FakeWorker
from taskmessenger.screens.view import View
from textual.command import CommandPalette
from textual.screen import Screen

from tests.console import test_pictures, test_worker_role
from tests.support.console import SMALL, a_console, settle
from tests.support.pictures import after_a_while

ELSEWHERE = {"Ask": "test_start", "AskInvite": "test_start"}
"""Of the screen before the console, which is an application of its own."""
SEEN_IN = {
    "Choice": "dialog_choice", "CommandLine": "command_line", "CommandPalette": "palette",
    "Confirm": "dialog_confirm", "EventsView": "events", "HelpScreen": "help", "HistoryView": "history",
    "InviteMade": "invite_made", "InvitesView": "invites", "KindsView": "kinds", "LogView": "log",
    "MakeInvite": "invite_make", "Message": "dialog_messages", "NetworkView": "network",
    "OverviewView": "overview", "Progress": "dialog_draining", "Prompt": "dialog_prompt",
    "QrCode": "invite_code", "RunningView": "running", "SessionsView": "sessions",
    "SettingPrompt": "setting_dialog", "SettingsView": "settings", "StatusView": "status",
    "SubmitForm": "submit_form", "TaskView": "task_running", "TasksView": "tasks", "Typed": "dialog_typed",
    "WorkerView": "worker", "WorkersView": "workers",
}  # fmt: skip
"""In which picture each of them is."""
AFTER_A_WHILE = ("overview", "sessions", "workers", "kinds", "worker")
"""Screens whose own files take their pictures, once there are curves."""


def wanted() -> set[type[Screen[Any]]]:
    """Every screen and dialog there is."""
    found: set[type[Screen[Any]]] = {CommandPalette, *found_in(views, View)}
    for info in iter_modules(dialogs.__path__):
        module = import_module(f"{dialogs.__name__}.{info.name}")
        found |= {
            one
            for one in vars(module).values()
            if isclass(one) and issubclass(one, Screen) and one.__module__ == module.__name__
        }
    return {one for one in found if one not in {Dialog, Modal} and one.__name__ not in ELSEWHERE}


def picture(name: str) -> tuple[Any, Any]:
    """The node and the steps with which it is taken."""
    if name in AFTER_A_WHILE:
        return FakeNode(), after_a_while(name, argument="w-fern-00" * (name == "worker"))
    if name in test_worker_role.PICTURES:
        return FakeWorker(), test_worker_role.PICTURES[name]
    return FakeNode(), test_pictures.PICTURES[name]


def test_every_screen_and_dialog_has_its_picture() -> None:
    assert sorted(one.__name__ for one in wanted()) == sorted(SEEN_IN)


@pytest.mark.parametrize("screen", SEEN_IN)
async def test_it_is_what_its_picture_shows(screen: str) -> None:
    node, steps = picture(SEEN_IN[screen])
    async with a_console(node).run_test(size=SMALL) as pilot:
        await steps(pilot)
        await settle(pilot)
        assert type(pilot.app.screen).__name__ == screen
