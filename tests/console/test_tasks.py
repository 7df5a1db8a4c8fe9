"""The task pool: a window over as many tasks as there are, filtered, sorted, chosen and acted on."""

from __future__ import annotations

import asyncio

import anyio
from msgspec.structs import replace
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import TaskPage, TaskQuery
from taskmessenger.handle.filters import query_of
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.widgets.grid import Grid
from taskmessenger.screens.widgets.paging import WINDOW

from tests.support.console import opened, passed, press, settle, text, type_text


async def test_it_shows_the_newest_tasks_first() -> None:
    async with opened(view="tasks") as (_, console, _node):
        ids = [row.id for row in console.view.query_one(Grid).table.rows[:3]]
        assert ids == [5000, 4999, 4998]
        assert "5,000 match" in text(console)


async def test_a_task_of_a_manager_whose_clock_is_ahead_can_be_opened() -> None:
    node = FakeNode()
    async with opened(node, view="tasks", clock=lambda: node.now - 5.0) as (pilot, console, _):
        await press(pilot, "enter")
        assert "Attempts" in text(console) or "waits for" in text(console)
        await console.go("task", "4998")
        await settle(pilot)
        assert "Attempts" in text(console)


async def test_a_sparse_filter_is_not_searched_for_to_its_end_again_and_again() -> None:
    node = FakeNode(tasks=200_000)
    asked: list[object] = []
    page = node.tasks

    async def counted(query: TaskQuery) -> TaskPage:
        asked.append(query)
        return await page(query)

    node.tasks = counted  # type: ignore[method-assign]
    async with opened(node, view="tasks", size=(160, 50)) as (pilot, console, _):
        await press(pilot, "slash")
        await type_text(pilot, "id>199931")
        await press(pilot, "enter")
        assert len(console.view.query_one(Grid).table.rows) >= 69
        before = len(asked)
        for _ in range(8):
            await passed(pilot, 1)
        assert len(asked) - before < 2 * 40  # one search takes forty, and eight refreshes would take eight


async def test_a_long_search_lets_others_have_their_turn() -> None:
    node, turns = FakeNode(tasks=100_000), 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    query = query_of("kind:render state:failed worker:nobody", node.now)
    async with anyio.create_task_group() as group:
        group.start_soon(others)
        hops = 0
        while True:
            found = await node.tasks(query)
            hops += 1
            if not found.more:
                break
            query = replace(query, at=found.next)
        group.cancel_scope.cancel()
    assert hops > 10
    assert turns >= hops - 1


async def test_new_tasks_come_in_at_the_top_until_the_cursor_is_moved() -> None:
    async with opened(view="tasks") as (pilot, console, _node):
        grid = console.view.query_one(Grid)
        await passed(pilot, 5)
        assert grid.current().id > 5000
        await press(pilot, "down")
        held = grid.current().id
        await passed(pilot, 5)
        assert grid.current().id == held


async def test_a_filter_is_typed_and_taken() -> None:
    async with opened(view="tasks") as (pilot, console, _node):
        await press(pilot, "slash")
        await type_text(pilot, "kind:hash state:failed")
        await press(pilot, "enter")
        rows = console.view.query_one(Grid).table.rows
        assert rows
        assert {(row.kind, row.state) for row in rows} == {("hash", TaskState.FAILED)}
        assert console.view.focused is console.view.query_one(Grid)


async def test_a_filter_that_makes_no_sense_says_why_and_stays() -> None:
    async with opened(view="tasks") as (pilot, console, _node):
        await press(pilot, "slash")
        await type_text(pilot, "kind>5")
        await press(pilot, "enter")
        assert "kind" in text(console)
        assert console.view.query_one("FilterBar").has_class("-wrong")
        assert len(console.view.query_one(Grid).table.rows) > 100


async def test_the_end_of_a_million_tasks_is_one_key_away() -> None:
    async with opened(FakeNode(tasks=1_000_000), view="tasks") as (pilot, console, _node):
        grid = console.view.query_one(Grid)
        await press(pilot, "end")
        assert grid.current().id == 1
        await press(pilot, "home")
        assert grid.current().id == 1_000_000


async def test_paging_through_the_pool_meets_every_task_once_and_keeps_a_bounded_window() -> None:
    async with opened(FakeNode(tasks=2_000), size=(120, 104), view="tasks") as (pilot, console, _node):
        grid = console.view.query_one(Grid)
        seen: set[int] = set()
        for _ in range(2_000 // 80):
            port = grid.table.port
            seen |= {row.id for row in grid.table.rows[port.top : port.bottom]}
            assert len(grid.table.rows) <= WINDOW
            await press(pilot, "pagedown")
        assert seen == set(range(1, 2_001))
        assert grid.table.rows[0].id < 2_000, "what is far away was dropped"
        for _ in range(2_000 // 80):
            await press(pilot, "pageup")
        assert grid.current().id == 2_000


async def test_a_task_that_no_longer_matches_is_dimmed_and_not_taken_from_under_the_cursor() -> None:
    async with opened(view="tasks") as (pilot, console, node):
        await console.view.run_action("command('tasks.filter')")
        await type_text(pilot, "state:queued")
        await press(pilot, "enter", "down")
        grid = console.view.query_one(Grid)
        held = grid.current().id
        await node.act(_cancel(held))
        await passed(pilot, 1)
        assert grid.current().id == held
        assert held in grid.table.gone


async def test_c_asks_with_no_as_the_answer_of_enter() -> None:
    async with opened(view="tasks") as (pilot, console, node):
        await press(pilot, "down", "c")
        assert "Cancel task 4999?" in text(console)
        await press(pilot, "enter")
        assert (await node.task(4999)).row.state != TaskState.CANCELLED
        await press(pilot, "c", "y")
        assert (await node.task(4999)).row.state == TaskState.CANCELLED


async def test_more_than_ten_tasks_want_their_number_typed() -> None:
    async with opened(view="tasks") as (pilot, console, node):
        await press(pilot, *["space"] * 11, "c")
        assert "Type 11 to go on" in text(console)
        await type_text(pilot, "12")
        await press(pilot, "enter")
        assert "Type 11 to go on" in text(console)
        await press(pilot, "backspace")
        await type_text(pilot, "1")
        await press(pilot, "enter")
        states = {(await node.task(task_id)).row.state for task_id in range(4990, 5001)}
        assert TaskState.CANCELLED in states
        assert not states & {TaskState.QUEUED, TaskState.RUNNING}


async def test_all_that_match_are_cancelled_by_one_command() -> None:
    async with opened(view="tasks") as (pilot, console, node):
        await console.view.run_action("command('tasks.filter')")
        await type_text(pilot, "state:queued kind:hash")
        await press(pilot, "enter")
        number = (await node.count(console.view.query_now)).number
        await press(pilot, "ctrl+a", "c")
        assert f"Cancel all {number:,} tasks that match?" in text(console)
        await type_text(pilot, str(number))
        await press(pilot, "enter")
        assert (await node.count(query_of("state:queued kind:hash", node.now))).number == 0


def _cancel(task_id: int):
    from taskmessenger.handle import Act

    return Act(verb="cancel", ids=(task_id,))


async def test_marks_go_with_what_was_done_to_them_and_come_back_when_it_is_undone() -> None:
    async with opened(view="tasks", undo_seconds=60.0) as (pilot, console, _node):
        table = console.view.query_one(Grid).table
        await press(pilot, "down", "space", "space", "c")
        marked = table.marks
        assert len(marked) == 2
        await press(pilot, "n")
        assert table.marks == marked, "nothing was done"
        await press(pilot, "c", "y")
        assert not table.marks, "the next key is not about them"
        await press(pilot, "space", "u")
        assert table.marks >= marked
        await press(pilot, "ctrl+a", "R", "escape")
        assert console.view.whole
        await press(pilot, "R")
        await type_text(pilot, "5000\r")
        assert not console.view.whole
        assert not console.view.chosen().whole


async def test_edit_is_offered_where_it_can_be_done() -> None:
    async with opened(view="tasks", size=(160, 50)) as (pilot, console, _node):
        for keys, offered in (
            (("home", "space"), False),
            (("escape", "end"), True),
            (("space", "home"), True),
        ):
            await press(pilot, *keys)
            chosen = console.view.chosen().keys[0]
            state = TaskState((await console.node.task(chosen)).row.state)
            assert state.final is offered
            assert ("Edit" in text(console)) is offered
