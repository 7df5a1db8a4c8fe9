"""Changing a setting in the configuration file, and showing what was changed."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ...config.edit import meant, write
from ...core.errors import TaskMessengerError, UsageError
from ...handle import Act
from ...paths import find
from ..commands import Command
from ..dialogs.settings import SettingPrompt
from ..settings_words import explained, plain, stronger
from ..view import View

if TYPE_CHECKING:
    from ...handle import SettingRow
    from ...paths import Role
    from ..views.settings import SettingsView


class OnSettings(Command):
    """Base of those for the settings."""

    views, roles = ("settings",), frozenset({"manager", "worker"})


class Set(OnSettings):
    """Write another value into the configuration file, once it is checked. Or typed:  :setting.edit 60 ."""

    name, title, key, place = "setting.edit", "Change", "e", 20
    asks_words = True
    changes, menu = True, True

    def ready(self, view: View) -> bool:
        return view.current() is not None

    def twin(self, view: View) -> str:
        return f"taskmessenger config check --role {view.console.role}"

    async def run(self, view: View, words: str = "") -> None:
        row, console = cast("SettingRow", view.current()), view.console
        role = cast("Role", console.role)
        file = _file(view, row)
        if console.read_only:
            raise UsageError("this console is read-only: start it without --read-only")

        def check(text: str) -> None:
            meant(role, row.key, text)

        typed: str | None = words
        if not words:
            asked = SettingPrompt(
                row.key, [*explained(row, file, role)], plain(row.value), plain(row.default), check
            )
            typed = await console.push_screen_wait(asked)
        if typed is None:
            return
        value = write(file, find(), role, row.key, typed)
        shown = plain(json.dumps(value))
        settings = cast("SettingsView", view)
        settings.pending[row.key] = shown
        if shown == plain(row.value):
            del settings.pending[row.key]
        beaten = f", and only without {stronger(row)}" if stronger(row) else ""
        console.tell(
            f"{row.key} is {shown or '(empty)'} in the file: heeded when the {role} starts again{beaten}"
        )
        view.acted()
        if role == "manager":
            with suppress(TaskMessengerError):  # it is away; what it starts with is written down then
                await console.node.act(Act("set", scope=f"{row.key} = {json.dumps(value)}"))


class OnlyChanged(OnSettings):
    """Only settings that are not as they come; again for all."""

    name, title, key, place = "setting.changed", "Changed ones", "h", 30

    async def run(self, view: View, words: str = "") -> None:
        settings = cast("SettingsView", view)
        settings.only_changed = not settings.only_changed


def _file(view: View, row: SettingRow) -> Path:
    """The configuration file of this node.

    Raises:
        UsageError: the node is not of this machine, or was started from another file than the usual one.
    """
    file = view.console.settings_file
    if file is None:
        raise UsageError(
            f"this node was not started from a file here: set `{row.key}` where it runs;"
            " `taskmessenger config paths` says in which file"
        )
    origins = {one.origin for one in cast("SettingsView", view).known if one.origin.startswith("file ")}
    if origins - {f"file {file}"}:
        others = ", ".join(sorted(origin.partition(" ")[2] for origin in origins))
        raise UsageError(f"this node was started from {others}: set `{row.key}` there")
    return file
