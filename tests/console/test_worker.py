"""One worker: its facts, its tasks, its history, and the ways to and from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import EventRow, WorkerPast
from taskmessenger.screens.fake import FakeNode, FakeWorker
from taskmessenger.screens.own_facts import OwnTrail
from taskmessenger.screens.own_facts import curves as own_curves
from taskmessenger.screens.trails import KEPT, WORKER, Trail
from taskmessenger.screens.views.worker import _curves

from tests.support.console import LARGE, SMALL, a_console, opened, passed, press, settle, text, type_text
from tests.support.pictures import after_a_while
from tests.support.rude import WORDS, RudeNode

NAME = "w-heron-03"


async def test_what_it_holds_stands_above_what_it_has_ended() -> None:
    async with opened(view="worker", argument=NAME) as (_, console, _node):
        rows = console.view.grid.table.rows
        assert {row.worker for row in rows} == {NAME}
        ended = [TaskState(row.state).final for row in rows]
        assert ended == sorted(ended)
        assert not ended[0]
        assert ended[-1]


async def test_its_facts_are_told() -> None:
    async with opened(view="worker", argument=NAME, size=SMALL) as (_, console, node):
        row = next(row for row in node.snapshot().workers if row.id == NAME)
        shown = text(console)
        for word in (row.state, row.address, f"{row.held} of {row.limit}", *row.kinds, *row.labels.values()):
            assert word in shown


async def test_its_tasks_are_asked_for_again_as_time_passes() -> None:
    async with opened(view="worker", argument="w-fern-00") as (pilot, console, _node):
        before = max(row.id for row in console.view.grid.table.rows)
        await passed(pilot, 15)
        await passed(pilot, 15)
        assert max(row.id for row in console.view.grid.table.rows) > before


async def test_enter_opens_the_task_and_w_goes_back_to_the_worker() -> None:
    async with opened(view="worker", argument=NAME) as (pilot, console, _node):
        task = console.view.grid.current().id
        await press(pilot, "enter")
        assert (console.view.NAME, console.view.argument) == ("task", str(task))
        await press(pilot, "w")
        assert (console.view.NAME, console.view.argument) == ("worker", NAME)


async def test_curves_are_those_of_the_node_as_soon_as_it_is_opened() -> None:
    async with opened(view="worker", argument="w-fern-00", size=LARGE) as (pilot, console, _node):
        await passed(pilot, 1)
        assert sum(character in "▁▂▃▄▅▆▇█" for character in text(console)) > 200
        assert "-1m" in text(console)


async def test_history_has_what_the_node_remembers_once() -> None:
    class Remembers(FakeNode):
        async def worker_past(self, worker_id: str) -> WorkerPast:
            row = EventRow(-5, self.now - 400, "error", "worker.lost", worker_id, "lease expired")
            return replace(await super().worker_past(worker_id), events=(row,))

    async with opened(Remembers(), view="worker", argument="w-fern-00") as (pilot, console, _node):
        await passed(pilot, 1)
        await press(pilot, "h")
        assert text(console).count("worker.lost") == 1


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_h_turns_to_its_history_with_the_reason_why_links_ended(size: tuple[int, int]) -> None:
    async with opened(view="worker", argument=NAME, size=size) as (pilot, console, node):
        await press(pilot, "h")
        reason = next(row.reason for row in node.snapshot().sessions if row.peer == NAME and row.reason)
        assert "link.ended" in text(console)
        assert reason in text(console)
        await press(pilot, "h")
        assert console.view.grid.id == "tasks"


async def test_commands_are_about_the_worker_and_not_about_the_task_under_the_cursor() -> None:
    async with opened(view="worker", argument="w-fern-00") as (pilot, console, node):
        await press(pilot, "down", "p")
        assert [row.state for row in node.snapshot().workers if row.id == "w-fern-00"] == ["paused"]
        await press(pilot, "X")
        assert "Type w-fern-00 to go on" in text(console)


async def test_the_console_opens_it_by_name() -> None:
    async with opened() as (pilot, console, _node):
        await press(pilot, "colon")
        await type_text(pilot, f"worker {NAME}\r")
        assert (console.view.NAME, console.view.argument) == ("worker", NAME)


async def test_a_worker_that_does_not_exist_is_an_empty_screen_that_says_so() -> None:
    async with opened(view="worker", argument="nobody") as (_, console, _node):
        assert "no worker is called nobody" in text(console)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_words_of_strangers_are_neither_markup_nor_escapes(size: tuple[int, int]) -> None:
    async with opened(RudeNode(), view="worker", argument=WORDS, size=size) as (pilot, console, _node):
        for _ in range(3):
            await passed(pilot, 2)
        await press(pilot, "h")
        assert "[bold red]" in text(console)
        assert "\x1b" not in text(console)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
@pytest.mark.parametrize("keys", [(), ("h",)], ids=["tasks", "history"])
def test_picture(size: tuple[int, int], keys: tuple[str, ...], snap_compare: Callable[..., bool]) -> None:
    steps: Any = after_a_while("worker", *keys, argument=NAME)
    assert snap_compare(a_console(FakeNode()), terminal_size=size, run_before=steps)


class Slow(FakeNode):
    """A manager that takes its time to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.goes_on = 0, anyio.Event()

    async def worker_past(self, worker_id: str) -> WorkerPast:
        self.asked += 1
        await self.goes_on.wait()
        return await super().worker_past(worker_id)


async def test_a_manager_that_is_slow_is_asked_one_question_at_a_time() -> None:
    node = Slow()
    async with opened(view="overview", node=node) as (pilot, console, _node):
        await console.go("worker", "w-fern-00")
        for _ in range(6):
            node.advance(2.0)
            for _ in range(4):
                console.beat()
            await pilot.pause()
        assert node.asked == 1
        node.goes_on.set()
        await settle(pilot)
        node.advance(60.0)
        for _ in range(4):
            console.beat()
        await settle(pilot)
        assert node.asked > 1


async def test_curves_that_are_not_full_yet_end_at_the_right() -> None:
    trail = Trail(WORKER)
    for second in range(10):
        trail.add(1000.0 + second, 0.5, 0.5, 0.5, float(second))
    row = FakeNode().snapshot().workers[0]
    for curve in _curves(row, trail, WorkerPast()):
        assert len(curve.values) == KEPT
        assert math.isnan(curve.values[0])
        assert not math.isnan(curve.values[-1])


async def test_a_worker_s_own_curves_reach_up_to_all_of_it() -> None:
    own = OwnTrail()
    me = FakeWorker().snapshot().worker
    assert me is not None
    for second in range(10):
        own.take(1000.0 + second, replace(me, load={"cpu": 1.0, "memory": 0.25, "rss": 1e6}))
    cpu, memory, busy, _ = own_curves(me, own)
    assert (cpu.values[-1], memory.values[-1], cpu.top) == (100.0, 25.0, 100.0)
    assert math.isnan(cpu.values[0])
    assert busy.top == me.capacity
