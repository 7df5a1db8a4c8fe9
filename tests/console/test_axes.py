"""Plots with axes, where the extra `plots` is installed; in every other test they are plain."""

from __future__ import annotations

from typing import Any

import pytest
from taskmessenger.screens.widgets.axes import Ago, Amount, AxesPanel

from tests.support.console import LARGE, SMALL, a_console, opened, passed, text
from tests.support.pictures import after_a_while

PLACES = [("overview", ""), ("worker", "w-fern-00")]


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
@pytest.mark.parametrize(("view", "argument"), PLACES, ids=["overview", "worker"])
def test_picture(view: str, argument: str, size: tuple[int, int], snap_compare: Any) -> None:
    steps = after_a_while(view, argument=argument)
    assert snap_compare(a_console(axes=True), terminal_size=size, run_before=steps)


async def test_a_panel_too_small_for_axes_shows_the_plain_plot() -> None:
    async with opened(view="overview", size=(160, 50), axes=True) as (pilot, console, _):
        assert all(not panel.has_class("-plain") for panel in console.view.query(AxesPanel))
        await pilot.resize_terminal(160, 34)
        await passed(pilot, 2)
        panels = console.view.query(AxesPanel)
        assert panels
        assert all(panel.has_class("-plain") for panel in panels)
        assert "│" in text(console)


def test_times_are_told_in_units_that_fit_and_as_many_as_have_room() -> None:
    wide = Ago(told=True, width=70)
    assert wide.get_labels_for_ticks(wide.get_ticks(-300.0, 0.0)) == [
        "-5 min", "-4 min", "-3 min", "-2 min", "-1 min", "now",
    ]  # fmt: skip
    narrow = Ago(told=True, width=30)
    assert narrow.get_labels_for_ticks(narrow.get_ticks(-7200.0, 0.0)) == ["-2 h", "-1 h", "now"]
    assert Ago(told=False, width=30).get_labels_for_ticks([-9.0, 0.0]) == ["", ""]


def test_amounts_have_their_unit() -> None:
    assert Amount("%").get_labels_for_ticks([0.0, 50.0]) == ["0%", "50%"]
