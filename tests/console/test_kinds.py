"""The kinds: how busy, how fast, how long, how often they fail; paused and resumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import KindRow
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.widgets.grid import Grid

from tests.support.console import LARGE, SMALL, a_console, opened, passed, press, text, type_text
from tests.support.pictures import after_a_while


def kind(node: Any, name: str) -> KindRow:
    return next(row for row in node.snapshot().kinds if row.name == name)


async def test_the_busiest_kind_comes_first() -> None:
    async with opened(view="kinds") as (_, console, _node):
        running = [row.running for row in console.view.query_one(Grid).table.rows]
        assert running == sorted(running, reverse=True)


async def test_rates_and_times_of_every_kind_fit_a_small_terminal() -> None:
    async with opened(view="kinds", size=SMALL) as (pilot, console, _node):
        await passed(pilot, 2)
        head = text(console).splitlines()[2]
        for title in ("KIND", "RUN", "QUEUE", "5S", "30S", "5MIN", "P50", "P95", "FAIL"):
            assert title in head


async def test_a_kind_that_no_worker_offers_is_pointed_out_with_the_reason() -> None:
    async with opened(view="kinds", size=SMALL) as (pilot, console, _node):
        await press(pilot, "end")
        assert "! no worker" in text(console)
        assert "no worker offers `render`" in text(console)


async def test_p_pauses_the_kind_and_p_again_resumes_it() -> None:
    async with opened(view="kinds") as (pilot, console, node):
        name = console.view.query_one(Grid).current().name
        await press(pilot, "p")
        assert kind(node, name).paused
        await passed(pilot, 1)
        assert "‖ paused" in text(console)
        await press(pilot, "p")
        assert not kind(node, name).paused


async def test_p_applies_to_all_marked_kinds_and_resume_is_a_command_too() -> None:
    async with opened(view="kinds") as (pilot, _console, node):
        await press(pilot, "ctrl+a", "p")
        assert all(row.paused for row in node.snapshot().kinds)
        await passed(pilot, 1)
        await press(pilot, "ctrl+a", "colon")
        await type_text(pilot, "kind.resume\r")
        assert not any(row.paused for row in node.snapshot().kinds)


async def test_enter_shows_the_tasks_of_the_kind_and_f_those_that_failed() -> None:
    async with opened(view="kinds") as (pilot, console, _node):
        name = console.view.query_one(Grid).current().name
        await press(pilot, "enter")
        assert console.view.query_now.kinds == (name,)
        await press(pilot, "5", "F")
        assert console.view.query_now.kinds == (name,)
        assert console.view.query_now.states == (TaskState.FAILED, TaskState.TIMED_OUT)


async def test_it_can_be_sorted_by_any_column() -> None:
    async with opened(view="kinds") as (pilot, console, _node):
        grid = console.view.query_one(Grid)
        for column in grid.table.columns:
            if column.sorts:
                console.give("row.sort", console.view, column.key)
                await passed(pilot, 0)
                assert grid.table.sort.key == column.key


async def test_the_command_lines_for_a_shell_name_the_kind() -> None:
    async with opened(view="kinds") as (pilot, console, _node):
        name = console.view.query_one(Grid).current().name
        await press(pilot, "dollar_sign")
        assert f"taskmessenger pool pause --kind {name}" in text(console)
        assert f"taskmessenger task ls --kind {name}" in text(console)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
def test_picture(size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    steps: Any = after_a_while("kinds", "end")
    assert snap_compare(a_console(FakeNode()), terminal_size=size, run_before=steps)
