"""The workers: what is told of them, and what is done with one or with many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from taskmessenger.handle import WorkerRow
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.widgets.grid import Grid

from tests.support.console import LARGE, SMALL, a_console, lines, opened, passed, press, text, type_text
from tests.support.pictures import after_a_while


def worker(node: Any, worker_id: str) -> WorkerRow:
    return next(row for row in node.snapshot().workers if row.id == worker_id)


async def test_every_worker_is_listed_with_its_state_in_words() -> None:
    async with opened(view="workers", size=SMALL) as (_, console, node):
        shown = text(console)
        for row in node.snapshot().workers:
            assert row.id in shown
            assert row.state in shown


async def test_curves_of_load_grow_while_time_passes() -> None:
    async with opened(view="workers", size=SMALL) as (pilot, console, _node):
        before = sum(character in "▂▃▄▅▆▇█" for character in text(console))
        for _ in range(10):
            await passed(pilot, 2)
        assert sum(character in "▂▃▄▅▆▇█" for character in text(console)) > before + 20


async def test_p_pauses_the_worker_and_p_again_resumes_it() -> None:
    async with opened(view="workers") as (pilot, _console, node):
        await press(pilot, "p")
        assert worker(node, "w-amber-06").state == "paused"
        await press(pilot, "p")
        assert worker(node, "w-amber-06").state == "connected"


async def test_p_applies_to_all_marked_workers() -> None:
    async with opened(view="workers") as (pilot, _console, node):
        await press(pilot, "space", "space", "p")
        assert {worker(node, name).state for name in ("w-amber-06", "w-birch-02")} == {"paused"}


async def test_resume_is_a_command_of_its_own() -> None:
    async with opened(view="workers") as (pilot, console, node):
        await press(pilot, "p", "colon")
        await type_text(pilot, "worker.resume\r")
        assert worker(node, "w-amber-06").state == "connected"
        assert "resumed worker w-amber-06" in [what for *_, what in console.told]


def own_pause(node: Any, name: str, *others: str) -> None:
    """From here on this worker is paused by its own operator, and by others."""
    snapshot = node.snapshot

    def changed() -> Any:
        now = snapshot()
        rows = tuple(
            replace(row, state="paused", pauses=(*others, "own")) if row.id == name else row
            for row in now.workers
        )
        return replace(now, workers=rows)

    node.snapshot = changed


async def test_a_worker_that_is_paused_by_itself_says_so_and_is_never_called_resumed() -> None:
    async with opened(view="workers") as (pilot, console, node):
        own_pause(node, "w-amber-06")
        await passed(pilot, 1)
        assert "‖ by itself" in text(console)
        assert "paused by its own operator" in text(console)
        await press(pilot, "p")
        assert "p in its own console ends that" in console.told[-1][2]
        await press(pilot, "colon")
        await type_text(pilot, "worker.resume\r")
        assert "p in its own console ends that" in console.told[-1][2]
        assert not any("resumed" in what for *_, what in console.told)


async def test_the_end_of_the_managers_pause_says_that_the_worker_still_has_its_own() -> None:
    async with opened(view="workers") as (pilot, console, node):
        own_pause(node, "w-amber-06", "worker")
        await passed(pilot, 1)
        await press(pilot, "p")
        told = [what for *_, what in console.told]
        assert told[-2] == "ended the manager's pause of worker w-amber-06"
        assert told[-1].startswith("w-amber-06: paused by its own operator")


async def test_drain_asks_for_a_deadline_and_shows_how_far_it_is() -> None:
    async with opened(view="workers") as (pilot, console, node):
        await press(pilot, "d")
        assert "Drain worker w-amber-06" in text(console)
        await press(pilot, *["backspace"] * 3)
        await type_text(pilot, "soon\r")
        assert "is not a length of time" in text(console)
        await press(pilot, *["backspace"] * 4)
        await type_text(pilot, "10s\r")
        assert worker(node, "w-amber-06").state == "draining"
        assert "Draining 1 worker" in text(console)
        await press(pilot, "escape")
        node.advance(11)
        await passed(pilot, 1)
        assert worker(node, "w-amber-06").state == "offline"


async def test_the_progress_of_a_drain_ends_when_the_worker_has_left() -> None:
    async with opened(view="workers") as (pilot, console, node):
        await press(pilot, "d", "enter")
        node.advance(60)
        console.screen.see()
        await passed(pilot, 0)
        assert "Draining" not in text(console).splitlines()[10]
        assert "1 worker left" in [what for *_, what in console.told]


async def test_drain_on_the_command_line_of_the_console_asks_first() -> None:
    async with opened(view="workers") as (pilot, console, node):
        await press(pilot, "colon")
        await type_text(pilot, "worker.drain 10s\r")
        assert "Drain worker w-amber-06?" in text(console)
        assert "taskmessenger worker drain w-amber-06 --deadline 10s" in text(console)
        await press(pilot, "enter")
        assert worker(node, "w-amber-06").state == "connected"


async def test_the_limit_is_a_number_of_tasks_or_none() -> None:
    async with opened(view="workers") as (pilot, console, node):
        before = worker(node, "w-amber-06").limit
        await press(pilot, "L", *["backspace"] * 4)
        await type_text(pilot, "-1\r")
        assert "a limit is a whole number" in text(console)
        await press(pilot, "backspace", "backspace", "3", "enter")
        assert worker(node, "w-amber-06").limit == 3
        assert console.told[-1][2] == "limited to 3: worker w-amber-06"
        await press(pilot, "L", "enter")
        assert worker(node, "w-amber-06").limit == before


async def test_revoking_wants_the_name_of_the_worker() -> None:
    async with opened(view="workers") as (pilot, console, node):
        await press(pilot, "X")
        assert "Type w-amber-06 to go on" in text(console)
        await press(pilot, "enter")
        assert worker(node, "w-amber-06").state == "connected"
        await type_text(pilot, "w-amber-06\r")
        assert worker(node, "w-amber-06").state == "revoked"


async def test_revoking_several_wants_their_number() -> None:
    async with opened(view="workers") as (pilot, console, node):
        await press(pilot, "space", "space", "X")
        assert "Type 2 to go on" in text(console)
        await press(pilot, "2", "enter")
        assert {worker(node, name).state for name in ("w-amber-06", "w-birch-02")} == {"revoked"}


async def test_what_cannot_be_done_is_said_in_one_line() -> None:
    async with opened(view="workers") as (pilot, console, _node):
        await press(pilot, "slash")
        await type_text(pilot, "state:offline\r")
        await press(pilot, "d")
        assert "nothing here that it applies to" in console.told[-1][2]


async def test_of_several_those_that_cannot_be_are_counted() -> None:
    async with opened(view="workers") as (pilot, console, node):
        await press(pilot, "slash")
        await type_text(pilot, "moss\r")
        await press(pilot, "ctrl+a", "d", "enter", "escape")
        assert any("1 could not be" in what for *_, what in console.told)
        assert worker(node, "w-moss-11").state == "offline"


async def test_enter_opens_the_worker_and_t_shows_its_tasks() -> None:
    async with opened(view="workers") as (pilot, console, _node):
        await press(pilot, "enter")
        assert (console.view.NAME, console.view.argument) == ("worker", "w-amber-06")
        await press(pilot, "escape", "t")
        assert console.view.NAME == "tasks"
        assert console.view.query_now.workers == ("w-amber-06",)


async def test_a_search_finds_words_columns_and_what_is_not_there() -> None:
    async with opened(view="workers") as (pilot, console, _node):
        grid = console.view.query_one(Grid)
        for typed, names in (
            ("state:paused,away", {"w-heron-03", "w-reed-09"}),
            ("moss", {"w-moss-01", "w-moss-11"}),
            ("moss -offline", {"w-moss-01"}),
        ):
            console.give("table.search", console.view, typed)
            await passed(pilot, 0)
            assert {row.id for row in grid.table.rows} == names
        await press(pilot, "backslash")
        assert len(grid.table.rows) == 12


async def test_a_column_that_does_not_exist_is_named_with_those_that_do() -> None:
    async with opened(view="workers") as (pilot, console, _node):
        await press(pilot, "slash")
        await type_text(pilot, "colour:red\r")
        assert "no column is called `colour`" in text(console)
        assert "state" in text(console)


async def test_the_command_lines_for_a_shell_name_the_worker() -> None:
    async with opened(view="workers") as (pilot, console, _node):
        await press(pilot, "dollar_sign")
        for line in ("worker pause", "worker drain", "worker revoke", "task ls --worker"):
            assert f"taskmessenger {line} w-amber-06" in text(console)


async def test_two_thousand_workers_are_shown_sorted_and_followed() -> None:
    node = FakeNode(tasks=1_000, workers=2_000)
    async with opened(node, view="workers") as (pilot, console, _node):
        await press(pilot, "end")
        await passed(pilot, 3)
        await passed(pilot, 3)
        grid = console.view.query_one(Grid)
        assert len(grid.table.rows) == 2_000
        assert "2,000" not in text(console).splitlines()[0]
        assert grid.current().id == max(row.id for row in node.snapshot().workers)


async def test_a_worker_that_is_offline_keeps_what_it_has_done() -> None:
    async with opened(view="workers", size=SMALL) as (_, console, node):
        row = worker(node, "w-moss-11")
        assert row.state == "offline"
        line = next(line for line in lines(console) if row.id in line)
        assert f" {row.done} " in line


async def test_slots_are_counted_the_same_here_and_in_the_overview() -> None:
    async with opened(view="workers") as (_, console, node):
        snapshot = node.snapshot()
        assert all(row.running <= row.capacity for row in snapshot.workers)
        assert f"/{snapshot.fleet.slots} slots" in text(console)


async def test_a_worker_that_drains_holds_what_it_holds_and_not_of_nothing() -> None:
    class Draining(FakeNode):
        def snapshot(self) -> Any:
            seen = super().snapshot()
            rows = tuple(replace(row, limit=0, held=2, rtt=0.0) for row in seen.workers)
            return replace(seen, workers=rows)

    async with opened(Draining(), view="workers") as (_, console, _node):
        assert "holds 2  " in text(console)
        assert "2 of 0" not in text(console)
        assert "rtt 0 s" not in text(console)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
def test_picture(size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    steps: Any = after_a_while("workers", "down", "space")
    assert snap_compare(a_console(FakeNode()), terminal_size=size, run_before=steps)
