"""Settings: value, origin, meaning; and a change that is checked and written into the configuration file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from taskmessenger.handle import Act, ActDone, SettingRow
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.settings_words import plain, source, stronger

from tests.support.console import SMALL, lines, opened, press, settle, text, type_text


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration file of a manager on this machine; there is none yet."""
    monkeypatch.setenv("TASKMESSENGER_HOME", str(tmp_path))
    return tmp_path / "config" / "tm-manager" / "config-manager.json"


async def change(pilot: Any, value: str) -> None:
    """Type another value into the dialog that is open."""
    await press(pilot, "end", *["backspace"] * 40)
    await type_text(pilot, value)


class Local(FakeNode):
    """A manager that was started from this file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self.acts: list[Act] = []

    async def act(self, act: Act) -> ActDone:
        self.acts.append(act)
        return ActDone()

    async def settings(self) -> tuple[SettingRow, ...]:
        rows = await super().settings()
        return tuple(
            replace(row, origin=f"file {self._file}") if row.origin.startswith("file ") else row
            for row in rows
        )


@asynccontextmanager
async def local(file: Path) -> AsyncIterator[tuple[Any, Any]]:
    """Its settings."""
    async with opened(Local(file), view="settings") as (pilot, console, _node):
        console.settings_file = file
        yield pilot, console


def words(console: Any) -> str:
    """What is on the screen, however it was broken into lines of a dialog."""
    return " ".join(word for line in lines(console) for word in line.split() if word != "│")


async def test_it_shows_value_origin_and_meaning() -> None:
    async with opened(view="settings", size=SMALL) as (pilot, console, _node):
        assert "5 settings   3 changed" in text(console)
        await press(pilot, "down", "down", "down")
        painted = text(console)
        assert "retention.days = 14" in painted
        assert "Days that ended tasks stay" in painted
        assert "default 7   TASKMESSENGER_RETENTION_DAYS" in painted


async def test_h_shows_those_that_were_changed() -> None:
    async with opened(view="settings") as (pilot, console, _node):
        await press(pilot, "h")
        assert [row.key for row in console.view.grid.table.rows] == [
            "name",
            "retention.days",
            "transport.listen",
        ]


async def test_enter_writes_another_value_into_the_file(file: Path) -> None:
    async with local(file) as (pilot, console):
        await press(pilot, "down", "enter")
        assert "Set leases.ttl" in text(console)
        assert "heeded when the manager starts again" in words(console)
        await change(pilot, "60")
        await press(pilot, "enter")
        assert json.loads(file.read_text()) == {"leases": {"ttl": 60}}
        assert "30.0 → 60.0" in text(console)
        assert "1 to be heeded at the next start" in text(console)
        assert [(act.verb, act.scope) for act in console.node.acts] == [("set", "leases.ttl = 60.0")]


async def test_a_value_that_cannot_be_is_said_in_the_dialog(file: Path) -> None:
    async with local(file) as (pilot, console):
        await press(pilot, "down", "e")
        await change(pilot, "soon")
        await press(pilot, "enter")
        assert "leases.ttl: wants a number" in text(console)
        await press(pilot, "escape")
        assert not file.exists()


async def test_what_does_not_fit_the_other_settings_is_refused_and_not_written(file: Path) -> None:
    async with local(file) as (pilot, console):
        await press(pilot, "down", "e")
        await change(pilot, "3")
        await press(pilot, "enter")
        assert any("ttl must be at least two heartbeats" in said for _, _, said in console.told)
        assert not file.exists()


async def test_the_default_is_one_button_away(file: Path) -> None:
    async with local(file) as (pilot, _console):
        await press(pilot, "down", "down", "e")
        await pilot.click("#default")
        await settle(pilot)
        await press(pilot, "enter")
        assert json.loads(file.read_text()) == {"name": "manager"}


async def test_it_says_what_beats_the_file(file: Path) -> None:
    async with local(file) as (pilot, console):
        await press(pilot, "down", "down", "down", "e")
        assert "the environment variable TASKMESSENGER_RETENTION_DAYS beats the file" in words(console)


async def test_a_node_that_runs_elsewhere_is_not_changed_here() -> None:
    async with opened(view="settings") as (pilot, console, _node):
        await press(pilot, "e")
        assert any("was not started from a file here" in said for _, _, said in console.told)


async def test_another_file_than_the_usual_one_is_not_touched(file: Path) -> None:
    async with opened(view="settings") as (pilot, console, _node):
        console.settings_file = file
        await press(pilot, "e")
        told = [said for _, _, said in console.told]
        assert any("was started from /etc/task-messenger/config-manager.json" in said for said in told)
        assert not file.exists()


async def test_a_console_that_changes_nothing_does_not_offer_it(file: Path) -> None:
    async with opened(FakeNode(read_only=True), view="settings") as (pilot, console, _node):
        console.settings_file = file
        await press(pilot, "enter", "e")
        assert "Set leases" not in text(console)


def test_values_are_written_as_people_write_them() -> None:
    assert plain('"lab"') == "lab"
    assert plain('["a", "b"]') == "a, b"
    assert plain("30.0") == "30.0"
    assert plain("null") == "null"
    assert plain("not json") == "not json"


def test_sources_in_a_word() -> None:
    assert source(SettingRow("a", "1", "file /etc/x.json")) == "file"
    assert source(SettingRow("a", "1", "command line")) == "command line"
    assert stronger(SettingRow("a", "1", "command line")) == "the command line"
    assert stronger(SettingRow("a", "1", "file x")) == ""
