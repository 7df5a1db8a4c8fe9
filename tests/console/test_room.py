"""Where there is little room: nothing that matters is cut off, and what is told covers nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from taskmessenger.handle import AttemptInfo, ErrorInfo, EventRow, Group
from taskmessenger.screens.dialogs.base import Dialog
from taskmessenger.screens.fake import FakeNode, FakeWorker
from taskmessenger.screens.widgets.bars import Hints
from taskmessenger.screens.widgets.grid import Grid
from taskmessenger.screens.widgets.words import TimeMode, exact, with_article
from textual.pilot import Pilot
from textual.widgets._toast import Toast

from tests.console.test_pictures import PICTURES
from tests.support.console import (
    LARGE,
    SMALL,
    a_console,
    lines,
    opened,
    passed,
    press,
    settle,
    text,
    type_text,
)

DAY = 86_400.0
DIALOGS = [name for name in PICTURES if name.startswith(("dialog", "invite_made", "setting_", "submit_"))]


class Told(FakeNode):
    """Its events are given."""

    rows: tuple[EventRow, ...] = ()

    def events(self, cursor: int, limit: int = 1_000) -> Any:
        page = super().events(cursor, limit)
        return (
            replace(page, rows=self.rows, cursor=1) if cursor == 0 else replace(page, rows=(), cursor=cursor)
        )


async def test_what_happened_and_to_whom_is_told_in_full() -> None:
    node = Told()
    node.rows = (
        EventRow(0, node.now, "info", "operator.drain", "worker:w-fern-00", "applied to 1"),
        EventRow(1, node.now, "warning", "worker.disconnected", "w-fern-00", "the link broke"),
        EventRow(2, node.now, "info", "log", "roles.sessions", "listening"),
    )
    async with opened(node, size=SMALL, view="events") as (_, console, __):
        first, second, third = lines(console)[3:6]
        assert "log                 roles.sessions   listening" in first
        assert "worker.disconnected w-fern-00        the link broke" in second
        assert "operator.drain      worker:w-fern-00 applied to 1" in third


async def test_a_date_stands_before_the_time_only_where_one_is_needed() -> None:
    node = Told()
    node.rows = (EventRow(0, node.now, "info", "worker.connected", "w1", "here"),)
    async with opened(node, size=SMALL, view="events") as (_, console, __):
        assert "▸ 14:13:20 · info" in text(console)
    node.rows = (replace(node.rows[0], at=node.now - DAY), replace(node.rows[0], number=1))
    async with opened(node, size=SMALL, view="events") as (pilot, console, __):
        assert "09-20 14:13:20 · info" in text(console)
        assert "worker.connected" in text(console)
        console.times = TimeMode.RELATIVE
        await settle(pilot)
        assert "1d ago" in text(console)


async def test_why_a_link_ended_has_room_and_is_not_read_as_its_length() -> None:
    async with opened(size=SMALL, view="sessions") as (pilot, console, _):
        await press(pilot, "h")
        line = next(line for line in lines(console) if "the worker left" in line)
        assert line.split()[1:] == ["·", "ended", "tcp", "the", "worker", "left"]
    async with opened(size=LARGE, view="sessions") as (pilot, console, _):
        head = next(line for line in lines(console) if "WHY IT ENDED" in line)
        assert head.index(" FOR") < head.index("RTT") < head.index("WHY")


@pytest.mark.parametrize("typed", ["kind>5", "stat:failed"])
async def test_what_is_wrong_with_a_filter_is_told_to_its_end(typed: str) -> None:
    async with opened(size=SMALL, view="tasks") as (pilot, console, _):
        await press(pilot, "slash")
        await type_text(pilot, f"{typed}\r")
        told = str(console.view.query_one(".filter--error").render())
        shown = " ".join(line.strip() for line in lines(console)[3:6])
        assert " ".join(told.split()) in shown


async def test_why_a_manager_is_away_is_told_to_its_end() -> None:
    async with opened(size=SMALL, view="tasks") as (pilot, console, node):
        node.away(reason="the link to the manager was lost: connection reset by peer; it is asked again")
        await settle(pilot)
        assert "it is asked again)" in text(console)
        node.back()
        await settle(pilot)
        assert "away" not in text(console)


async def test_a_worker_tells_how_much_memory_it_uses_with_its_unit() -> None:
    async with opened(FakeWorker(), size=SMALL) as (pilot, console, _):
        await passed(pilot, 4)
        assert "of it 67.7 MiB" in text(console)


@asynccontextmanager
async def telling(size: tuple[int, int], view: str) -> AsyncIterator[tuple[Pilot[None], Any]]:
    """A console that shows what it tells."""
    console = a_console(FakeNode())
    async with console.run_test(size=size, notifications=True) as pilot:
        await settle(pilot)
        await console.go(view)
        await settle(pilot)
        yield pilot, console


@pytest.mark.parametrize("view", ["overview", "tasks", "workers", "events"])
async def test_what_is_told_has_a_line_of_its_own_above_the_footer(view: str) -> None:
    async with telling(SMALL, view) as (pilot, console):
        console.tell("the first")
        console.tell("the newest")
        await settle(pilot)
        assert lines(console)[-2] == "▌the newest"
        assert "the first" not in text(console)
        (shown,) = (toast for toast in console.screen.query(Toast) if toast.region)
        assert console.view.query_one(".body").region.bottom <= shown.region.y
        assert shown.region.bottom == console.view.query_one(Hints).region.y
        console.clear_notifications()
        await settle(pilot)
        assert console.view.query_one(".body").region.bottom == SMALL[1] - 1


async def test_where_there_is_room_it_is_told_in_the_corner() -> None:
    async with telling(LARGE, "tasks") as (pilot, console):
        console.tell("there")
        await settle(pilot)
        (shown,) = (toast for toast in console.screen.query(Toast) if toast.region)
        assert shown.region.x >= LARGE[0] // 2
        assert console.view.query_one(".body").region.bottom == LARGE[1] - 1


@pytest.mark.parametrize("name", DIALOGS)
async def test_what_is_told_does_not_cover_the_border_of_a_question(name: str) -> None:
    console = a_console(FakeNode())
    async with console.run_test(size=SMALL, notifications=True) as pilot:
        await PICTURES[name](pilot)
        assert isinstance(console.screen, Dialog)
        console.tell("an alarm")
        await settle(pilot)
        (shown,) = (toast for toast in console.screen.query(Toast) if toast.region)
        assert not shown.region.overlaps(console.screen.query_one(".dialog").region)


@pytest.mark.parametrize("name", ["w-otter-04", "w-rack-17-north.example"])
@pytest.mark.parametrize("times", list(TimeMode))
@pytest.mark.parametrize("age", [60.0, 30 * DAY])
async def test_an_attempt_is_one_line_with_its_worker(name: str, times: TimeMode, age: float) -> None:
    node = FakeNode()
    task = node.task

    async def of_old(task_id: int, payload_limit: int = 65_536) -> Any:
        found = await task(task_id, payload_limit)
        past = node.now - age
        row = replace(found.row, submitted_at=past, finished_at=past + 40, worker=name, attempt=2)
        lost = ErrorInfo("lost", "the worker gave no sign of life while its lease lasted")
        tries = tuple(AttemptInfo(n, name, past + n, past + 20 + n, "timed_out", lost) for n in (1, 2))
        return replace(found, row=row, attempts=tries, error=None, output=None, progress=None, note="")

    node.task = of_old  # type: ignore[method-assign]
    async with opened(node, size=SMALL) as (pilot, console, _):
        console.times = times
        await console.go("task", "4964")
        await settle(pilot)
        await press(pilot, "t")
        tried = [line for line in lines(console) if "━" in line]
        assert len(tried) == 2
        assert all(name[:11] in line for line in tried)


async def test_the_number_of_matches_is_never_less_than_what_is_seen() -> None:
    async with opened(view="tasks") as (pilot, console, node):
        await press(pilot, "slash")
        await type_text(pilot, "id>4998\r")
        assert "2 match" in text(console)
        for _ in range(3):
            await node.submit([Group("hash", [b"\xa1x"])])
            console.beat()
            await settle(pilot)
            rows = len(console.view.query_one(Grid).table.rows)
            assert f"{rows:,} match" in text(console)
        assert rows >= 5


async def test_a_few_matches_are_counted_again_when_something_happens() -> None:
    async with opened(view="tasks", size=SMALL) as (pilot, console, node):
        await press(pilot, "slash")
        await type_text(pilot, "kind:hash id>4700\r")
        await press(pilot, "down", "down", "space")
        before = console.view.matches.found.number
        assert "stands still" in text(console)
        await node.submit([Group("hash", [b"\xa1x"] * 3)])
        for _ in range(2):
            console.beat()
            await settle(pilot)
        assert console.view.matches.found.number >= before + 3


def test_what_is_submitted_in_this_second_is_not_told_as_the_future() -> None:
    assert exact(1_000.14, TimeMode.UTC, 1_000.0).endswith("(just now)")
    assert exact(1_002.5, TimeMode.UTC, 1_000.0).endswith("(in 2.5 s)")
    assert exact(999.0, TimeMode.UTC, 1_000.0).endswith("(1.0 s ago)")


def test_a_role_has_its_article() -> None:
    assert [with_article(role) for role in ("worker", "client", "operator")] == [
        "a worker",
        "a client",
        "an operator",
    ]


async def test_a_task_that_runs_looks_the_same_on_its_worker_as_at_the_manager() -> None:
    async with opened(FakeWorker()) as (pilot, console, _):
        await press(pilot, "enter")
        assert "● running" in text(console)


async def test_failed_tasks_and_failed_attempts_have_different_names() -> None:
    async with opened(size=SMALL, view="kinds") as (pilot, console, _):
        assert "FAILED" in text(console)
        assert "failed tasks" in text(console)
        await press(pilot, "4")
        assert "ERRORS" in text(console)
        assert "FAIL" not in text(console)
        assert "errors" in lines(console)[-4]
