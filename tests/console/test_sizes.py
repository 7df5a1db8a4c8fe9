"""Every screen at sizes that nobody works at, and through a storm of them: nothing fails."""

from __future__ import annotations

from typing import Any

import pytest
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.screens import views
from taskmessenger.screens.commands import found_in
from taskmessenger.screens.fake import FakeNode, FakeWorker
from taskmessenger.screens.view import View
from taskmessenger.screens.widgets.grid import Grid
from taskmessenger.screens.widgets.painter import GUTTER

from tests.support.console import opened, passed, settle, text

ABOUT = {"task": "4998", "worker": "w-fern-00", "running": "4998"}
SIZES = [(1, 1), (3, 2), (9, 4), (14, 60), (20, 5), (23, 9), (37, 7), (200, 3), (300, 90)]
WIDTHS = (60, 72, 80, 100, 104, 120, 200)
"""At which all that stands in a table is whole, but for words that are cut."""
VIEWS = [v for v in found_in(views, View) if "manager" in v.ROLES or v.NAME in {"status", "history", "log"}]


def ends_at(grid: Grid[Any]) -> int:
    """The cell behind its last column, and behind its bar."""
    places = grid.table.places(grid.size.width)
    return GUTTER + places[-1].x + places[-1].width + 1 if grid.size.width else 0


@pytest.mark.parametrize("view", [v.NAME for v in VIEWS])
async def test_a_screen_can_have_any_size(view: str) -> None:
    kind = next(v for v in VIEWS if view == v.NAME)
    node = FakeNode() if "manager" in kind.ROLES else FakeWorker()
    async with opened(node, view=view, argument=ABOUT.get(view, ""), size=(100, 30)) as (pilot, console, _):
        for size in [*SIZES, *reversed(SIZES)]:
            await pilot.resize_terminal(*size)
            node.advance(1.0)
            for _ in range(2):
                console.beat()
            await settle(pilot)
        for width in WIDTHS:
            await pilot.resize_terminal(width, 30)
            await settle(pilot)
            for grid in console.view.query(Grid):
                assert ends_at(grid) <= grid.size.width, f"the last column of {grid.id} is cut at {width}"
        await pilot.resize_terminal(100, 30)
        await settle(pilot)
        assert "Help" in text(console)


async def test_a_task_that_ends_while_it_is_looked_at_shows_how() -> None:
    async with opened(view="task", argument="4993") as (pilot, console, node):
        assert "Output" in text(console)
        node.advance(600)
        await passed(pilot, 1)
        view: Any = console.view
        assert TaskState(view.found.row.state).final
        assert view.found.output is not None
        assert not view.found.output.live
        assert "Output (attempt 1" in text(console), "what it wrote stays"
