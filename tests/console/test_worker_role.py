"""The screens of a worker: its status, a running task, history, log, and what its operator does with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from taskmessenger.handle import Act, EndedRow, RunningRow
from taskmessenger.screens.dialogs.choice import Option
from taskmessenger.screens.fake import FakeWorker
from textual.containers import VerticalScroll
from textual.pilot import Pilot

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
from tests.support.pictures import shows


async def test_a_worker_opens_with_its_status() -> None:
    async with opened(FakeWorker()) as (pilot, console, _):
        await passed(pilot, 4)
        seen = text(console)
        for word in ("● connected", "manager lab", "tcp://203.0.113.7:7711", "certificate for 23 d 23 h"):
            assert word in seen
        for word in ("done 1,7", "failed 31", "received", "Memory", "kinds    hash"):
            assert word in seen


async def test_progress_of_running_tasks_is_a_bar_and_a_number() -> None:
    async with opened(FakeWorker()) as (pilot, console, node):
        await passed(pilot, 9)
        row = node.snapshot().worker.running[0]
        line = next(line for line in lines(console) if str(row.task) in line)
        assert f"{row.fraction:.0%}".replace("%", " %") in line
        assert "━" in line


async def test_enter_shows_the_output_of_a_running_task_and_stays_at_its_end() -> None:
    async with opened(FakeWorker(), size=SMALL) as (pilot, console, node):
        await passed(pilot, 5)
        task = node.snapshot().worker.running[0]
        await press(pilot, "enter")
        newest = task.output.decode().splitlines()[-1]
        assert f"Task {task.task}" in text(console)
        assert newest in text(console)


async def test_output_that_is_read_stands_still() -> None:
    worker = Grows()
    async with opened(worker, size=SMALL) as (pilot, console, node):
        await console.go("running", "7")
        await settle(pilot)
        assert "line 40" in text(console)
        console.screen.query_one(VerticalScroll).scroll_to(0, 0, animate=False)
        node.lines = 80
        await settle(pilot)
        assert "line 1\n" in "\n".join(line.strip() for line in lines(console)) + "\n"
        assert "line 80" not in text(console)


async def test_what_a_task_wrote_stays_when_it_has_ended() -> None:
    worker = Grows()
    async with opened(worker, size=SMALL) as (pilot, console, node):
        await console.go("running", "7")
        await settle(pilot)
        node.over = True
        await settle(pilot)
        assert "line 40" in text(console)
        assert "✗ failed" in text(console)


async def test_escapes_in_output_are_shown_and_not_obeyed() -> None:
    worker = Grows()
    worker.tail = b"\x1b[2J\x1b]0;pwned\x07[bold]x[/bold]"
    async with opened(worker) as (pilot, console, _):
        await console.go("running", "7")
        await settle(pilot)
        assert "\x1b" not in text(console)
        assert "[bold]x[/bold]" in text(console)


@pytest.mark.parametrize("view", ["running", "status"])
async def test_colours_in_output_are_seen(view: str) -> None:
    worker = Grows()
    worker.tail = b"\x1b[31mFAILED\x1b[0m plain"
    async with opened(worker, view=view, argument="7" if view == "running" else "", size=(120, 50)) as (
        pilot, console, _,
    ):  # fmt: skip
        await settle(pilot)
        strips = console.screen._compositor.render_strips()
        colours = {
            word: segment.style.color
            for strip in strips
            for segment in strip
            for word in segment.text.split()
        }
        assert "\\x1b" not in text(console)
        assert colours["FAILED"] != colours["plain"]


@pytest.mark.parametrize(
    ("keys", "state"),
    [
        (("p",), "paused"),
        (("p", "p"), "connected"),
        (("D", "y"), "away"),
        (("D", "n"), "connected"),
        (("D", "y", "R"), "connected"),
    ],
)
async def test_controls_act_on_this_worker(keys: tuple[str, ...], state: str) -> None:
    async with opened(FakeWorker()) as (pilot, console, node):
        await press(pilot, *keys)
        assert node.snapshot().worker.state == state
        assert state in text(console)


async def test_d_asks_for_a_deadline_and_drains() -> None:
    async with opened(FakeWorker()) as (pilot, console, node):
        await press(pilot, "d")
        assert "Deadline" in text(console)
        assert "taskmessenger worker drain w-fern-00 --deadline 30s" in text(console)
        await press(pilot, "enter")
        assert node.snapshot().worker.state == "draining"
        assert "left, deadline in" in text(console)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
async def test_status_shows_how_far_a_drain_is_and_until_when_it_may_take(size: tuple[int, int]) -> None:
    async with opened(FakeWorker(), size=size) as (pilot, console, node):
        await node.act(Act("drain", number=30.0))
        await passed(pilot, 6)
        me = node.snapshot().worker
        assert f"{len(me.running)} of {me.leaving} tasks left, deadline in 24 s" in text(console)
        assert "━" in next(line for line in lines(console) if "tasks left" in line)


async def test_a_worker_that_has_drained_says_so_keeps_its_numbers_and_can_be_started_again() -> None:
    leaving = (Option("headless", "go on"), Option("stop", "stop"))
    async with opened(FakeWorker(), size=SMALL, leaving=leaving) as (pilot, console, node):
        await press(pilot, "d", "enter")
        await passed(pilot, 40)
        await passed(pilot, 1)
        seen = text(console)
        assert "■ this worker has ended, at" in seen
        assert "reattaching" not in seen
        assert "sent 45.8 MiB" in seen
        assert "B/s" not in seen
        assert "R  Start" in seen
        await press(pilot, "R")
        await passed(pilot, 4)
        assert node.snapshot().worker.state == "connected"
        assert "has ended" not in text(console).splitlines()[1]


async def test_a_role_that_has_ended_is_not_offered_to_go_on_headless() -> None:
    leaving = (Option("headless", "go on"), Option("stop", "stop"))
    async with opened(FakeWorker(), leaving=leaving) as (pilot, console, node):
        await node.act(Act("drain", number=0.0))
        await passed(pilot, 1)
        await press(pilot, "q")
        assert console.return_value == ""


async def test_a_deadline_that_is_none_is_refused_in_the_dialog() -> None:
    async with opened(FakeWorker()) as (pilot, console, node):
        await press(pilot, "d", "ctrl+u")
        await type_text(pilot, "soon\r")
        assert "is not a" in text(console) or "is no" in text(console)
        assert node.snapshot().worker.state == "connected"


async def test_why_there_is_no_link_is_said() -> None:
    async with opened(FakeWorker()) as (pilot, console, _):
        await press(pilot, "D", "y")
        assert "◌ away" in text(console)
        assert "disconnected by its operator" in text(console)


async def test_a_read_only_console_offers_no_controls() -> None:
    async with opened(FakeWorker(), read_only=True) as (pilot, console, node):
        await press(pilot, "p")
        assert node.snapshot().worker.state == "connected"
        assert "Drain" not in text(console)


async def test_history_can_be_searched_and_sorted() -> None:
    async with opened(FakeWorker(), view="history") as (pilot, console, _):
        await press(pilot, "slash")
        await type_text(pilot, "how:failed\r")
        assert "✗ failed" in text(console)
        assert "✓ succeeded" not in text(console)
        assert "of 200 match" in text(console)


async def test_the_log_shows_what_the_worker_did() -> None:
    async with opened(FakeWorker()) as (pilot, console, _):
        await press(pilot, "p", "3")
        assert "operator.pause" in text(console)


async def test_screens_of_a_manager_are_not_there() -> None:
    async with opened(FakeWorker()) as (_, console, __):
        assert [view.NAME for view in console.placed()][:3] == ["status", "history", "log"]
        assert not {"tasks", "workers", "invites"} & {view.NAME for view in console.placed()}


class Grows(FakeWorker):
    """One task that writes lines, and can end."""

    lines = 40
    over = False
    tail = b""

    def snapshot(self) -> Any:
        seen = super().snapshot()
        output = "".join(f"line {n}\n" for n in range(1, self.lines + 1)).encode() + self.tail
        row = RunningRow(7, 1, "shell", seen.at - 3, None, "", output)
        ended = (EndedRow(7, 1, "shell", "failed", 3.0, seen.at, "exit code 1"),)
        me = replace(seen.worker, running=() if self.over else (row,), history=ended if self.over else ())
        return replace(seen, worker=me)


async def some_seconds(pilot: Pilot[Any]) -> None:
    await settle(pilot)
    for _ in range(9):
        await passed(pilot, 1)


async def a_task(pilot: Pilot[Any]) -> None:
    await some_seconds(pilot)
    await press(pilot, "enter")


async def apart(pilot: Pilot[Any]) -> None:
    await some_seconds(pilot)
    await press(pilot, "D", "y")
    await passed(pilot, 10)


async def over(pilot: Pilot[Any]) -> None:
    await some_seconds(pilot)
    await press(pilot, "d", "enter")
    await passed(pilot, 40)
    await passed(pilot, 1)


def keys(*pressed: str) -> Callable[[Pilot[Any]], Any]:
    async def steps(pilot: Pilot[Any]) -> None:
        await some_seconds(pilot)
        await press(pilot, *pressed)

    return steps


PICTURES = {
    "status": some_seconds, "running": a_task, "apart": apart, "history": keys("2", "down"),
    "log": keys("p", "p", "3"), "drain": keys("d"), "draining": keys("d", "enter"), "over": over,
}  # fmt: skip


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
@pytest.mark.parametrize("name", PICTURES)
def test_picture(name: str, size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(a_console(FakeWorker()), terminal_size=size, run_before=shows(name, PICTURES[name]))
