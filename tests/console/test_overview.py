"""The overview: totals, curves, alarms, what is paused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from taskmessenger.handle import Snapshot
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.widgets.panel import PlotPanel

from tests.support.console import LARGE, SMALL, a_console, opened, passed, press, text
from tests.support.pictures import after_a_while
from tests.support.rude import ESCAPE, MARKUP, RudeNode


class Unheard(FakeNode):
    """A node of which nothing is known yet."""

    def snapshot(self) -> Snapshot:
        return Snapshot(self.now, "manager", connected=False)


async def test_it_is_the_first_screen_of_a_manager() -> None:
    async with opened() as (_, console, _node):
        assert console.view.NAME == "overview"


async def test_it_tells_how_many_tasks_are_in_each_state() -> None:
    async with opened(view="overview", size=SMALL) as (_, console, node):
        shown = text(console)
        for word, number in node.snapshot().fleet.totals.items():
            assert word.replace("_", " ") in shown
            assert f"{number:,}" in shown


@pytest.mark.parametrize(("size", "plots"), [(SMALL, 0), (LARGE, 4)])
async def test_there_are_curves_of_one_line_on_a_small_terminal_and_plots_on_a_large_one(
    size: tuple[int, int], plots: int
) -> None:
    async with opened(view="overview", size=size) as (_, console, _node):
        assert sum(plot.region.height > 0 for plot in console.view.query(PlotPanel)) == plots
        assert "█" in text(console)
        assert "latency" in text(console).lower()


async def test_enter_on_an_alarm_about_a_kind_shows_the_tasks_that_wait() -> None:
    async with opened(view="overview") as (pilot, console, _node):
        await press(pilot, "enter")
        assert console.view.NAME == "tasks"
        assert console.view.query_now.kinds == ("render",)


async def test_enter_on_an_alarm_about_a_worker_shows_the_worker() -> None:
    async with opened(view="overview") as (pilot, console, _node):
        await press(pilot, "down", "enter")
        assert (console.view.NAME, console.view.argument) == ("worker", "w-reed-09")


async def test_p_asks_before_it_pauses_the_fleet_and_not_before_it_resumes_it() -> None:
    async with opened(view="overview") as (pilot, console, node):
        await press(pilot, "p")
        assert "Pause the whole fleet?" in text(console)
        assert "taskmessenger pool pause" in text(console)
        await press(pilot, "enter")
        assert not node.snapshot().fleet.paused, "Enter says no"
        await press(pilot, "p", "y")
        assert node.snapshot().fleet.paused == ("all",)
        await passed(pilot, 1)
        assert "the fleet" in text(console)
        await press(pilot, "p")
        assert not node.snapshot().fleet.paused


async def test_a_read_only_console_does_not_offer_to_pause() -> None:
    async with opened(view="overview", read_only=True) as (pilot, console, node):
        await press(pilot, "p")
        assert "Pause" not in text(console)
        assert not node.snapshot().fleet.paused


async def test_trouble_of_late_is_listed_on_a_large_terminal() -> None:
    async with opened(view="overview", size=LARGE) as (pilot, console, _node):
        await passed(pilot, 60)
        assert "task.failed" in text(console)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_an_empty_fleet_says_how_to_get_a_worker(size: tuple[int, int]) -> None:
    async with opened(FakeNode(tasks=0, workers=0), view="overview", size=size) as (_, console, _node):
        assert "taskmessenger invite" in text(console)


@pytest.mark.parametrize("view", ["overview", "sessions", "workers", "kinds"])
async def test_a_manager_that_was_not_heard_yet_is_an_empty_screen(view: str) -> None:
    async with opened(Unheard(), view=view) as (_, console, _node):
        assert view == console.view.NAME


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("view", ["overview", "sessions", "workers", "kinds"])
async def test_words_of_strangers_are_neither_markup_nor_escapes(view: str, size: tuple[int, int]) -> None:
    async with opened(RudeNode(), view=view, size=size) as (pilot, console, _node):
        await passed(pilot, 2)
        await passed(pilot, 2)
        if view != "overview":
            await press(pilot, "slash", *"loud", "enter")
        shown = text(console)
        assert MARKUP[:7] in shown
        assert ESCAPE not in shown
        assert "\x1b" not in shown
        assert "\u202e" not in shown


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
def test_picture(size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    steps: Any = after_a_while("overview")
    assert snap_compare(a_console(FakeNode()), terminal_size=size, run_before=steps)


class Failing(FakeNode):
    """Where three of four tasks fail."""

    def snapshot(self) -> Snapshot:
        seen = super().snapshot()
        failed = tuple(value * 0.75 for value in seen.history.finished)
        return replace(seen, history=replace(seen.history, failed=failed, cancelled=(2.0,) * len(failed)))


async def test_failures_are_drawn_in_the_curve_of_what_ends_and_told_beside_it() -> None:
    for node, drawn in ((FakeNode(), False), (Failing(), True)):
        async with opened(node, size=(160, 50)) as (pilot, console, _node):
            await passed(pilot, 1)
            shown = next(iter(console.view.query(PlotPanel)))._said
            red = [span for span in shown.spans if str(span.style) == console.tones()["bad"]]
            assert bool(red) is drawn, "a few of a hundred are less than the height of a line"
            assert f"failed {'3' if drawn else '0.1'}" in text(console)
            assert ("cancelled 2" in text(console)) is drawn
