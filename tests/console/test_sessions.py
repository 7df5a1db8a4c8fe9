"""The sessions: every link, how it goes, and why the last ones ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.widgets.grid import Grid

from tests.support.console import LARGE, SMALL, a_console, opened, passed, press, text
from tests.support.pictures import after_a_while


async def test_links_that_stand_come_before_those_that_ended() -> None:
    async with opened(view="sessions") as (_, console, node):
        rows = console.view.query_one(Grid).table.rows
        assert len(rows) == len(node.snapshot().sessions)
        ended = [row.state == "ended" for row in rows]
        assert ended == sorted(ended)


async def test_a_link_is_told_in_full_on_a_small_terminal() -> None:
    async with opened(view="sessions", size=SMALL) as (pilot, console, _node):
        await press(pilot, "down")
        row = console.view.query_one(Grid).current()
        shown = text(console)
        for word in (
            row.peer,
            row.role,
            row.state,
            row.address,
            row.path,
            "sent",
            "received",
            "round trip",
            "heard",
        ):
            assert word in shown


async def test_relayed_links_are_counted() -> None:
    async with opened(view="sessions", size=SMALL) as (_, console, node):
        relayed = sum(row.path == "relayed" for row in node.snapshot().sessions)
        assert f"{relayed} relayed" in text(console)


async def test_h_shows_links_that_ended_with_the_reason_and_h_again_all() -> None:
    async with opened(view="sessions", size=SMALL) as (pilot, console, node):
        await press(pilot, "h")
        grid = console.view.query_one(Grid)
        assert {row.state for row in grid.table.rows} == {"ended"}
        assert grid.current().reason in text(console)
        await press(pilot, "h")
        assert len(grid.table.rows) == len(node.snapshot().sessions)


async def test_enter_goes_to_the_worker_at_the_other_end() -> None:
    async with opened(view="sessions") as (pilot, console, _node):
        peer = console.view.query_one(Grid).current().peer
        await press(pilot, "enter")
        assert (console.view.NAME, console.view.argument) == ("worker", peer)


async def test_a_link_of_an_operator_leads_to_no_worker() -> None:
    async with opened(view="sessions") as (pilot, console, _node):
        console.give("table.search", console.view, "operator")
        await press(pilot, "enter")
        assert console.view.NAME == "sessions"


async def test_what_is_searched_for_is_what_is_exported(tmp_path: Path) -> None:
    async with opened(view="sessions") as (pilot, console, _node):
        console.give("table.search", console.view, "via:zerotier state:connected")
        await passed(pilot, 0)
        wanted = len(console.view.query_one(Grid).table.rows)
        file = tmp_path / "links.jsonl"
        console.give("row.export", console.view, str(file))
        await passed(pilot, 0)
        lines = file.read_text().splitlines()
        assert len(lines) == wanted == 4
        assert all("zerotier" in line for line in lines)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
def test_picture(size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    steps: Any = after_a_while("sessions", "down")
    assert snap_compare(a_console(FakeNode()), terminal_size=size, run_before=steps)
