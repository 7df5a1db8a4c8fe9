"""Getting a console to where its picture is taken, the same on every machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from textual.pilot import Pilot

from tests.support.console import passed, press, settle

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
"""In which picture each screen and dialog is."""
Steps = Callable[[Pilot[Any]], Awaitable[None]]
FRAMES = 40
FRAME_SECONDS = 2.0


def shows(name: str, steps: Steps) -> Steps:
    """Take the steps, and see that what is before the camera then is what this picture is of."""
    wanted = {screen for screen, picture in SEEN_IN.items() if picture == name}

    async def checked(pilot: Pilot[Any]) -> None:
        await steps(pilot)
        await settle(pilot)
        assert not wanted or type(pilot.app.screen).__name__ in wanted

    return checked


def after_a_while(view: str, *keys: str, argument: str = "") -> Steps:
    """Let curves grow, open a view, press keys."""

    async def steps(pilot: Pilot[Any]) -> None:
        app: Any = pilot.app
        await settle(pilot)
        for _ in range(FRAMES):
            app.node.advance(FRAME_SECONDS)
            app.beat()
        await passed(pilot, FRAME_SECONDS)
        await app.go(view, argument)
        await settle(pilot)
        await press(pilot, *keys)

    return shows(view, steps)
