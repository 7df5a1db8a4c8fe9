"""Without colours, and with the sixteen of a plain terminal, everything can still be told apart."""

from __future__ import annotations

import os
from typing import Any

import pytest
from rich.color import ColorType
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.screens.fake import FakeNode, FakeWorker
from taskmessenger.screens.widgets.badges import badge, task_state
from taskmessenger.screens.widgets.cells import text_of

from tests.support.console import opened, passed, press, text

SCREENS = ("overview", "sessions", "tasks", "workers", "kinds", "events", "invites", "network", "settings")
PLAIN = {ColorType.DEFAULT, ColorType.STANDARD}


def colours(console: Any) -> set[Any]:
    strips = console.screen._compositor.render_strips()
    styles = [segment.style for strip in strips for segment in strip if segment.style is not None]
    return {colour for style in styles for colour in (style.color, style.bgcolor) if colour is not None}


SIZES = [(80, 24), (130, 38), (160, 45), (200, 60)]


@pytest.mark.parametrize("view", [*SCREENS, "worker", "status"])
async def test_no_color_leaves_shades_of_grey(view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "NO_COLOR", "1")
    node = FakeWorker() if view == "status" else FakeNode()
    about = "w-fern-00" if view == "worker" else ""
    async with opened(node, view=view, argument=about) as (pilot, console, _node):
        for size in SIZES if view in {"overview", "worker", "status"} else SIZES[:1]:
            await pilot.resize_terminal(*size)
            await passed(pilot, 3)
            seen = colours(console)
            assert len(seen) > 1, "there is something to see"
            for colour in seen:
                red, green, blue = colour.get_truecolor()
                assert max(red, green, blue) - min(red, green, blue) <= 1, colour


@pytest.mark.parametrize("view", SCREENS)
async def test_sixteen_colours_are_enough(view: str) -> None:
    async with opened(FakeNode(), view=view) as (pilot, console, _node):
        console.theme = "ansi-dark"
        await press(pilot, "down")
        assert ColorType.STANDARD in (types := {colour.type for colour in colours(console)})
        assert types <= PLAIN


def test_every_state_has_a_word_and_a_shape_of_its_own() -> None:
    shown = [text_of(task_state(state.value)) for state in TaskState]
    shapes, words = zip(*(one.split(" ", 1) for one in shown), strict=True)
    assert len(set(words)) == len(shown)
    assert len(set(shapes)) >= len(shown) - 1, "leased and running may share theirs"
    workers = [text_of(badge(s)) for s in ("connected", "paused", "draining", "away", "offline", "revoked")]
    assert len(set(workers)) == len(workers)


async def test_the_cursor_and_the_marks_are_seen_without_any_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "NO_COLOR", "1")
    async with opened(FakeNode(), view="tasks") as (pilot, console, _node):
        await press(pilot, "space")
        shown = text(console).splitlines()
        assert any(line.startswith(" *") for line in shown)
        assert any(line.startswith("▸") for line in shown)
