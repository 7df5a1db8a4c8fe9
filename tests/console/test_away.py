"""A real manager is killed under a console: banner, grey data with its age, and all as it was on return."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from taskmessenger import hosted
from taskmessenger.handle import Group
from taskmessenger.net.client import connect_locally
from taskmessenger.runtimes.payload import pack
from taskmessenger.screens.app import Console
from textual.pilot import Pilot

from tests.support.console import press, text, type_text
from tests.support.processes import Fleet, fleet

BANNER_SECONDS = 3.0
BOUND = 30.0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path / "f") as one:
        yield one


async def shown(pilot: Pilot[Any], condition: Callable[[], object]) -> float:
    """Seconds until it is so."""
    start = time.monotonic()
    with anyio.fail_after(BOUND):
        while not condition():
            await pilot.pause(0.02)
    return time.monotonic() - start


async def test_a_manager_that_is_killed_is_told_and_comes_back_with_cursor_and_filter(running: Fleet) -> None:
    manager = await anyio.to_thread.run_sync(running.manager)
    node = hosted.remote(lambda: connect_locally(running.paths.socket))
    guest = await anyio.to_thread.run_sync(node.start)
    try:
        await guest.submit([Group("render", [pack(n) for n in range(40)]), Group("other", [pack(0)] * 9)])
        console = Console(guest)
        async with console.run_test(size=(120, 40)) as pilot:
            await pilot.press("3")
            await shown(pilot, lambda: "render" in text(console))
            await pilot.press("slash")
            await type_text(pilot, "kind:render\r")
            await shown(pilot, lambda: "40 match" in text(console))
            await press(pilot, "down", "down", "down", "space")
            grid: Any = console.view.grid
            chosen, marks = grid.current().id, grid.table.marks
            assert marks

            await anyio.to_thread.run_sync(manager.kill)
            assert await shown(pilot, lambda: "manager away for" in text(console)) < BANNER_SECONDS
            assert console.view.has_class("-away")
            assert "kind:render" in text(console)
            assert grid.current().id == chosen
            assert console.view.query_one(".body").styles.opacity < 1

            await anyio.to_thread.run_sync(running.manager)
            await shown(pilot, lambda: "manager away" not in text(console))
            assert not console.view.has_class("-away")
            assert (grid.current().id, grid.table.marks) == (chosen, marks)
            assert console.view._text == "kind:render"
            await guest.submit([Group("render", [pack(0)])])
            await press(pilot, "home")
            await shown(pilot, lambda: grid.table.rows[0].id == 50)
    finally:
        await anyio.to_thread.run_sync(lambda: node.stop(0.0))
