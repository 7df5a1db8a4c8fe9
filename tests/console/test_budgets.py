"""What a frame, a key and a page cost does not depend on how much there is: ratios only, counted in work.

Work is counted in calls of functions, which no other program on the machine can change; times are measured by
`python -m tests.bench.console`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from taskmessenger.handle import TaskQuery
from taskmessenger.screens.fake import FakeNode

from tests.bench.camera import a_camera_console
from tests.support.console import opened, passed, press, settle

FEW, MANY = 5_000, 1_000_000
FLAT = 1.2
"""More than the same may be a little: ids are longer, and a filter has more to skip."""


class Calls:
    """How many functions were called."""

    number = 0


@contextmanager
def counted() -> Iterator[Calls]:
    """The calls in this block, but for those in the simulation itself."""
    calls = Calls()

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call" and "/screens/fake/" not in frame.f_code.co_filename:
            calls.number += 1

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


@asynccontextmanager
async def at_tasks(tasks: int) -> AsyncIterator[tuple[Any, Any]]:
    node = FakeNode(tasks=tasks, workers=12)
    async with opened(node, view="tasks", size=(120, 40)) as (pilot, console, _):
        await passed(pilot, 1)
        yield pilot, console


async def _work(tasks: int, *keys: str) -> int:
    async with at_tasks(tasks) as (pilot, _):
        await press(pilot, *keys)  # once to warm up
        await press(pilot, "home")
        with counted() as calls:
            await press(pilot, *keys)
        return calls.number


@pytest.mark.parametrize("keys", [("down", "down"), ("pagedown",), ("end",), ("S", "S")], ids="-".join)
async def test_a_key_costs_the_same_over_a_million_tasks(keys: tuple[str, ...]) -> None:
    few, many = await _work(FEW, *keys), await _work(MANY, *keys)
    assert many < FLAT * few, (few, many)


async def test_a_frame_paints_no_row_that_is_not_seen() -> None:
    async with at_tasks(MANY) as (_, console):
        painted = 0
        table = console.view.grid.table
        first = table.columns[0]
        inner: Callable[..., Any] = first.cell

        def cell(row: Any, look: Any) -> Any:
            nonlocal painted
            painted += 1
            return inner(row, look)

        object.__setattr__(first, "cell", cell)
        try:
            console.view.grid.repaint()
        finally:
            object.__setattr__(first, "cell", inner)
        assert 0 < painted <= console.view.grid.size.height


async def test_a_frame_in_which_nothing_happens_paints_nothing() -> None:
    async with at_tasks(MANY) as (pilot, console):
        grid = console.view.grid
        await settle(pilot)
        painted: list[int] = []
        inner = grid.table.paint
        grid.table.paint = lambda *given: painted.append(1) or inner(*given)
        for _ in range(40):
            console.beat()
        await settle(pilot)
        assert not painted


async def test_a_window_of_a_million_keeps_a_thousand() -> None:
    async with at_tasks(MANY) as (pilot, console):
        for _ in range(60):
            await press(pilot, "pagedown")
        assert len(console.view.grid.table.rows) <= 1_000


async def test_a_page_asks_for_no_more_than_a_page() -> None:
    node: Any = FakeNode(tasks=MANY)
    asked: list[int] = []
    inner = node.tasks

    async def tasks(query: TaskQuery) -> Any:
        asked.append(query.limit)
        return await inner(query)

    node.tasks = tasks
    async with opened(node, view="tasks") as (pilot, _, _node):
        await press(pilot, "pagedown", "end", "home")
    assert asked
    assert max(asked) <= 200


async def test_frames_of_a_busy_fleet_are_written_four_times_a_second_at_most() -> None:
    node = FakeNode(tasks=FEW, workers=200, rate=330, events=1_000)
    console = a_camera_console(node, clock=lambda: node.now, beat_seconds=0.0)
    frames = 8
    written: list[int] = []

    async def pilot(found: Any) -> None:
        await found.pause()
        await console.go("tasks")
        await found.pause(0.1)
        camera: Any = console._driver
        for _ in range(frames):
            before = camera.writes
            node.advance(0.25)
            console.beat()
            await found.pause(0.1)
            written.append(camera.writes - before)
        console.exit()

    await console.run_async(size=(120, 40), auto_pilot=pilot)
    assert max(written) <= 4, "writes of one frame: the rows, the bars, what was asked for"
    assert sum(written) / frames <= 2.5, "ten a second"
