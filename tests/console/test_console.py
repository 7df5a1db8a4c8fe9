"""The frame around all screens: away, undo, times, alarms, strangers' text, files of the operator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.traceback import Traceback
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import ActDone
from taskmessenger.paths import under
from taskmessenger.screens.acting import Danger, Order, Question, question
from taskmessenger.screens.dialogs.base import Modal
from taskmessenger.screens.dialogs.progress import Progress, Step
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.prefs import Prefs, SavedView
from taskmessenger.screens.surviving import Surviving
from taskmessenger.screens.widgets.words import TimeMode, moment, safe, span

from tests.support.console import a_console, opened, passed, press, settle, text, type_text

EVIL = "\x1b[31m[bold red]x[/] \x1b]52;c;ZXZpbA==\x07\u202e\u200b"


async def _nothing() -> ActDone | None:
    return None


@pytest.mark.parametrize(
    ("number", "whole", "danger", "phrase", "wanted"),
    [
        (1, False, Danger.NONE, "", Question.NOTHING),
        (10, False, Danger.NONE, "", Question.NOTHING),
        (1, False, Danger.ASK, "", Question.YES),
        (10, False, Danger.DELAYED, "", Question.YES),
        (11, False, Danger.NONE, "", Question.NUMBER),
        (11, False, Danger.DELAYED, "", Question.NUMBER),
        (1, True, Danger.NONE, "", Question.NUMBER),
        (1, False, Danger.ASK, "lab", Question.NAME),
    ],
)
def test_what_is_asked_depends_on_how_much_and_how_final(
    number: int, whole: bool, danger: Danger, phrase: str, wanted: Question
) -> None:
    order = Order(what="x", done="x", do=_nothing, number=number, whole=whole, danger=danger, phrase=phrase)
    assert question(order) is wanted


async def test_cancelling_waits_and_can_be_undone() -> None:
    async with opened(view="tasks", undo_seconds=60.0) as (pilot, console, node):
        await press(pilot, "down", "c", "y")
        assert "Undo" in text(console)
        assert (await node.task(4999)).row.state != TaskState.CANCELLED
        await press(pilot, "u")
        assert not console.actor.pending
        assert (await node.task(4999)).row.state != TaskState.CANCELLED


async def test_an_order_outlives_the_screen_that_it_was_given_on() -> None:
    async with opened(view="tasks", undo_seconds=0.2) as (pilot, console, node):
        await console.go("task", "4999")
        await press(pilot, "c", "y", "escape")
        assert console.view.NAME == "tasks"
        for _ in range(500):
            await settle(pilot)
            if not console.actor.pending:
                break
        await settle(pilot)
        assert (await node.task(4999)).row.state == TaskState.CANCELLED


async def test_what_was_confirmed_is_done_when_the_console_is_left() -> None:
    async with opened(view="tasks", undo_seconds=60.0) as (pilot, _console, node):
        await press(pilot, "down", "c", "y")
        await pilot.press("q")
        await pilot.pause()
    assert (await node.task(4999)).row.state == TaskState.CANCELLED


async def test_a_read_only_console_has_no_key_that_changes_anything() -> None:
    async with opened(view="tasks", read_only=True) as (pilot, console, node):
        await press(pilot, "down", "c", "y")
        assert (await node.task(4999)).row.state != TaskState.CANCELLED
        assert "READ ONLY" in text(console)


async def test_a_manager_that_is_away_is_said_with_the_age_and_nothing_is_lost() -> None:
    async with opened(view="tasks") as (pilot, console, node):
        await press(pilot, "down", "space")
        held = console.view.grid.current().id
        node.away()
        console.clock = lambda: node.now + 7
        await settle(pilot)
        assert "manager away for 7.0 s" in text(console)
        assert console.view.has_class("-away")
        node.back()
        console.clock = lambda: node.now
        await settle(pilot)
        assert "away" not in text(console)
        assert console.view.grid.current().id == held
        assert console.view.grid.table.marks == {4999}


async def test_a_node_that_gives_no_news_counts_as_away() -> None:
    async with opened(view="tasks") as (pilot, console, node):
        start = node.now
        console.clock = lambda: start + 4
        await settle(pilot)
        assert "manager away" in text(console)


async def test_a_dialog_that_is_answered_twice_takes_no_screen_along() -> None:
    async with opened(view="tasks") as (pilot, console, _node):
        behind = console.screen
        await press(pilot, "colon")
        dialog = console.screen
        assert isinstance(dialog, Modal)
        dialog.dismiss("")  # a key that is held down, a look that comes again
        dialog.dismiss("")
        await settle(pilot)
        assert console.screen is behind


async def test_a_dialog_that_is_over_while_the_palette_lies_on_it_leaves_the_palette_there() -> None:
    over = False
    async with opened(view="tasks") as (pilot, console, _node):
        behind = console.screen
        dialog = Progress("Draining", lambda: Step(1.0, over=over), poll=3_600)
        answers: list[bool | None] = []
        console.push_screen(dialog, answers.append)
        await press(pilot, "ctrl+p")
        palette, over = console.screen, True
        assert palette is not dialog
        dialog.see()
        dialog.see()
        await settle(pilot)
        assert console.screen is palette
        assert answers == []
        await press(pilot, "escape")
        dialog.see()
        await settle(pilot)
        assert console.screen is behind
        assert answers == [True]


def test_strangers_text_has_no_power() -> None:
    shown = safe(EVIL)
    assert shown.isprintable()
    assert "[bold red]" in shown, "markup is text"


async def test_strangers_text_is_shown_as_text_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    from msgspec.structs import replace

    node = FakeNode()
    real = node.tasks

    async def tasks(query: Any) -> Any:
        page = await real(query)
        return replace(page, rows=tuple(replace(r, kind=EVIL, worker=EVIL, error=EVIL) for r in page.rows))

    monkeypatch.setattr(node, "tasks", tasks)
    async with opened(node, view="tasks", size=(160, 30)) as (_, console, _node):
        shown = text(console)
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "[bold red]" in shown


async def test_times_are_told_as_local_utc_or_relative() -> None:
    async with opened(view="tasks") as (pilot, console, _node):
        await press(pilot, "T")
        assert console.times is TimeMode.RELATIVE
        await passed(pilot, 3)
        assert " ago" in text(console)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.02, "20 ms"), (1.5, "1.5 s"), (59, "59 s"), (90, "1 min 30 s"), (9000, "2 h 30 min")],
)
def test_lengths_of_time_are_short(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_moment_of_another_day_has_its_date() -> None:
    assert moment(0.0, TimeMode.UTC, 10.0) == "00:00:00"
    assert moment(0.0, TimeMode.UTC, 86_400.0) == "01-01 00:00:00"
    assert moment(1e30, TimeMode.UTC, 0.0) == "1e+30"


async def test_a_new_alarm_is_told_once() -> None:
    from msgspec.structs import replace
    from taskmessenger.handle import Alarm

    async with opened() as (pilot, console, node):
        calm = node.snapshot()
        alarm = Alarm("error", "stuck", "12 tasks wait: no worker offers `foo`", node.now)
        node.snapshot = lambda: replace(calm, alarms=(*calm.alarms, alarm))
        for _ in range(3):
            await settle(pilot)
        assert [what for _, _, what in console.told] == ["12 tasks wait: no worker offers `foo`"]


# ---- files of the operator ------------------------------------------------------------------------------


def test_what_is_kept_comes_back_and_is_private(tmp_path: Path) -> None:
    prefs = Prefs(under(tmp_path))
    prefs.save_view("tasks", "bad", SavedView("state:failed", "run", True))
    prefs.keep(times="utc")
    again = Prefs(under(tmp_path))
    assert again.kept.views["tasks"]["bad"].filter == "state:failed"
    assert again.kept.times == "utc"
    file = tmp_path / "state" / "tm-console" / "console.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not prefs.complaints


@pytest.mark.parametrize("wrong", ["{", '{"task.cancel": 3}', "[]", "\x00\xff"])
def test_a_keymap_that_cannot_be_read_is_a_complaint(tmp_path: Path, wrong: str) -> None:
    folder = tmp_path / "config" / "console"
    folder.mkdir(parents=True)
    (folder / "keymap.json").write_bytes(wrong.encode("latin-1"))
    prefs = Prefs(under(tmp_path))
    assert prefs.keymap() == {}
    assert "keymap.json" in prefs.complaints[0]


def test_themes_of_the_operator_are_taken_and_wrong_ones_told(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "console" / "themes"
    folder.mkdir(parents=True)
    (folder / "mine.json").write_text(json.dumps({"primary": "#88c0d0"}))
    (folder / "wrong.json").write_text(json.dumps({"primary": "no colour"}))
    (folder / "odd.json").write_text(json.dumps({"flavour": "sweet"}))
    prefs = Prefs(under(tmp_path))
    names = {theme.name for theme in prefs.themes()}
    assert {"night", "day", "mine"} <= names
    assert not names & {"wrong", "odd"}
    assert len(prefs.complaints) == 2


async def test_a_view_is_saved_and_shown_again(tmp_path: Path) -> None:
    prefs = Prefs(under(tmp_path))
    async with opened(view="tasks", prefs=prefs) as (pilot, console, _node):
        await press(pilot, "slash")
        await type_text(pilot, "state:failed\r")
        await press(pilot, "ctrl+s")
        await type_text(pilot, "broken\r")
    async with opened(view="tasks", prefs=Prefs(under(tmp_path))) as (pilot, console, _node):
        await press(pilot, "v", "enter")
        assert {row.state for row in console.view.grid.table.rows} == {TaskState.FAILED}


async def test_an_export_writes_all_that_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(FakeNode(tasks=2_500), view="tasks") as (pilot, console, _node):
        console.give("row.export", console.view, "all.jsonl")
        await console.workers.wait_for_complete()
        assert console.told[-1][2] == f"2,500 rows in {tmp_path / 'all.jsonl'}", "wherever that is"
        lines = (tmp_path / "all.jsonl").read_text().splitlines()
        assert len(lines) == 2_500
        assert json.loads(lines[0])["id"] == 2_500
        console.give("row.export", console.view, str(tmp_path / "all.jsonl"))
        await settle(pilot)
        assert "exists already" in console.told[-1][2]


async def test_a_payload_is_edited_and_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/"n": [0-9]*/"n": 7/\' "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    async with opened(view="task", argument="4964") as (pilot, console, _node):
        given: list[Any] = []

        async def act(one: Any) -> ActDone:
            given.append(one)
            return ActDone(1, [6_000])

        console.node.act = act
        await pilot.press("e")
        for _ in range(200):
            await settle(pilot)
            if "Run task" in text(console):
                break
        await press(pilot, "y")
        assert given[0].verb == "edit"
        assert b"\x07" in given[0].payload


async def test_what_a_progress_dialog_tells_is_harmless_on_a_terminal() -> None:
    async with opened(view="workers") as (pilot, console, _node):
        step = Step(0.5, "w-\x1b[31mred\u202e\x07 leaves")
        await console.push_screen(Progress("Drain", lambda: step))
        await settle(pilot)
        shown = text(console)
        assert "leaves" in shown
        assert not {"\x1b", "\u202e", "\x07"} & set(shown)


async def test_the_report_of_a_failure_shows_what_failed_first() -> None:
    console = Surviving()
    console._exception = ValueError("the cause")
    console._fatal_error()
    console._exception = RuntimeError("what came of it")
    console._fatal_error()
    console.panic("and more")
    assert "the cause" in console.report
    assert "what came of it" not in console.report


def test_what_fails_in_a_thread_leaves_a_report_that_can_be_read() -> None:
    console = a_console()
    console._close_messages_no_wait = lambda: None
    try:
        raise RuntimeError("a bug in a thread")
    except RuntimeError:
        console.panic(Traceback())
    assert "RuntimeError: a bug in a thread" in console.report
    assert "test_console.py" in console.report
