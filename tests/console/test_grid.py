"""A table by the mouse: titles sort, rows take the cursor, two clicks open, the wheel moves; its filter."""

from __future__ import annotations

from typing import Any

from taskmessenger.screens.widgets.grid import WHEEL, Grid
from taskmessenger.screens.widgets.painter import GUTTER
from taskmessenger.screens.widgets.sheet import Sheet
from taskmessenger.screens.widgets.table import HEAD

from tests.support.console import lines, opened, press, settle


async def test_a_click_on_any_cell_of_a_title_sorts_by_it_and_one_beside_it_by_nothing() -> None:
    async with opened(view="workers", size=(120, 40)) as (pilot, console, _node):
        grid: Any = console.view.query_one(Grid)
        for place in grid.table.places(grid.size.width)[:4]:
            if not place.column.sorts:
                continue
            for x, own in (
                (place.x, True),
                (place.x + place.width - 1, True),
                (place.x + place.width, False),
            ):
                before = grid.table.sort
                await pilot.click(grid, offset=(GUTTER + x, 0))
                await settle(pilot)
                assert (grid.table.sort != before) is own, (place.column.key, x)
                assert not own or grid.table.sort.key == place.column.key
        assert any("▼" in line or "▲" in line for line in lines(console))


async def test_rows_take_the_cursor_up_to_the_last_and_what_is_below_it_does_not() -> None:
    async with opened(view="workers", size=(120, 40)) as (pilot, console, _node):
        grid: Any = console.view.query_one(Grid)
        last = len(grid.table.rows) - 1
        await pilot.click(grid, offset=(5, HEAD + last))
        assert grid.table.port.cursor == last
        await pilot.click(grid, offset=(5, HEAD + 2))
        assert grid.table.port.cursor == 2
        for below in (last + 1, last + 2):
            await pilot.click(grid, offset=(5, HEAD + below))
            assert grid.table.port.cursor == 2


async def test_two_clicks_open_a_row_and_one_does_not() -> None:
    async with opened(view="workers", size=(120, 40)) as (pilot, console, _node):
        grid: Any = console.view.query_one(Grid)
        await pilot.click(grid, offset=(5, HEAD + 3))
        await settle(pilot)
        assert console.view.NAME == "workers"
        third = grid.table.rows[3].id
        await pilot.click(grid, offset=(5, HEAD + 3), times=2)
        await settle(pilot)
        assert (console.view.NAME, console.view.argument) == ("worker", third)


async def test_the_wheel_moves_the_window_and_the_cursor_only_when_it_would_leave_it() -> None:
    async with opened(view="tasks", size=(120, 30)) as (pilot, console, _node):
        grid: Any = console.view.query_one(Grid)
        await press(pilot, *["down"] * (WHEEL + 1))
        port = grid.table.port
        await pilot._post_mouse_events([_scroll(down=True)], grid, offset=(5, 5))
        assert (port.top, port.cursor) == (WHEEL, WHEEL + 1)
        await pilot._post_mouse_events([_scroll(down=True)], grid, offset=(5, 5))
        assert (port.top, port.cursor) == (2 * WHEEL, 2 * WHEEL)
        await pilot._post_mouse_events([_scroll(down=False)], grid, offset=(5, 5))
        assert (port.top, port.cursor) == (WHEEL, 2 * WHEEL)


def _scroll(*, down: bool) -> Any:
    from textual import events

    return events.MouseScrollDown if down else events.MouseScrollUp


async def test_a_filter_that_was_used_comes_back_with_the_arrows() -> None:
    async with opened(view="workers", size=(120, 30)) as (pilot, console, _node):
        for word in ("fern", "moss"):
            await press(pilot, "backslash", "slash", *word, "enter")
        await press(pilot, "backslash", "slash", "up")
        field: Any = console.screen.focused
        assert field.value == "moss"
        await press(pilot, "up", "up")
        assert field.value == "fern", "the first is the last of them"
        await press(pilot, "down", "down")
        assert field.value == ""
        await press(pilot, "up", "enter")
        assert [row.id.split("-")[1] for row in console.view.query_one(Grid).table.rows] == ["moss", "moss"]


async def test_what_is_typed_after_a_filter_is_another_term() -> None:
    async with opened(view="tasks", size=(120, 30)) as (pilot, console, _node):
        await press(pilot, "slash", *"kind:hash", "enter")
        await press(pilot, "slash", *"state:failed", "enter")
        assert console.view.query_now.kinds == ("hash",)
        assert console.view.query_now.states


async def test_tab_completes_a_column_and_keeps_the_minus_before_it() -> None:
    async with opened(view="workers", size=(120, 30)) as (pilot, console, _node):
        await press(pilot, "slash", *"fern -sta", "tab")
        field: Any = console.screen.focused
        assert field.value == "fern -state:"


async def test_half_pages_move_tables_and_sheets() -> None:
    async with opened(view="tasks", size=(120, 40)) as (pilot, console, _node):
        port = console.view.query_one(Grid).table.port
        await press(pilot, "ctrl+d", "ctrl+d")
        half = (port.height - 1) // 2
        assert (port.cursor, port.top > 0) == (2 * half, True)
        await press(pilot, "ctrl+u")
        assert port.cursor == half
        await console.go("task", "4964")
        await pilot.resize_terminal(80, 12)
        await settle(pilot)
        sheet = console.view.query_one(Sheet)
        await press(pilot, "ctrl+d", "j")
        assert sheet.scroll_offset.y == sheet.size.height // 2 + 1
        await press(pilot, "ctrl+u", "k")
        assert sheet.scroll_offset.y == 0
