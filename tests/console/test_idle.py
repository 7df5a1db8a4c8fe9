"""What does not change is not painted: a console that only lies open costs next to nothing, on any screen."""

from __future__ import annotations

from typing import Any

import pytest
from taskmessenger.screens.fake import FakeNode, FakeWorker
from textual._compositor import Compositor
from textual.geometry import Region

from tests.support.console import opened, press, settle

MANAGER = (
    "overview",
    "sessions",
    "tasks",
    "workers",
    "kinds",
    "events",
    "invites",
    "network",
    "settings",
    "worker",
)
VIEWS = [*MANAGER, "status", "history", "log"]
BEATS = 8
"""Frames in two seconds."""
SIZE = (120, 40)


class Paints:
    """Lines that were painted anew."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times, self.lines = 0, 0
        real: Any = Compositor.render_update

        def render_update(compositor: Any, *given: Any, **more: Any) -> Any:
            self.times += 1
            regions: set[Region] = compositor._dirty_regions
            self.lines += len({y for region in regions for y in range(region.y, region.bottom)})
            return real(compositor, *given, **more)

        monkeypatch.setattr(Compositor, "render_update", render_update)


class Idle(FakeNode):
    """A fleet in which nothing happens, though its workers tell of themselves."""

    def __init__(self) -> None:
        super().__init__(tasks=0, rate=1e-6, events=1e-6)


async def beats(pilot: Any, console: Any, seconds: float) -> None:
    """Frames for two seconds, of which the node's clock sees so much."""
    for _ in range(BEATS):
        console.node.advance(seconds / BEATS)
        console.beat()
        await pilot.pause()
    await settle(pilot)


@pytest.mark.parametrize("view", VIEWS)
async def test_nothing_is_painted_while_nothing_changes(view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node: Any = FakeWorker() if view in {"status", "history", "log"} else FakeNode()
    async with opened(node, view=view, argument="w-fern-00" if view == "worker" else "", size=SIZE) as (
        pilot, console, _,
    ):  # fmt: skip
        await beats(pilot, console, 0.0)
        paints = Paints(monkeypatch)
        await beats(pilot, console, 0.0)
        assert (paints.times, paints.lines) == (0, 0)


@pytest.mark.parametrize("view", MANAGER)
async def test_of_a_fleet_at_rest_a_few_lines_a_second_are_painted(
    view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(Idle(), view=view, argument="w-fern-00" if view == "worker" else "", size=SIZE) as (
        pilot, console, _,
    ):  # fmt: skip
        await beats(pilot, console, 2.0)
        paints = Paints(monkeypatch)
        await beats(pilot, console, 2.0)
        assert paints.lines < 2 * SIZE[1], "less than once the whole in a second"
        assert paints.times <= BEATS


async def test_under_a_dialog_the_screen_is_painted_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(FakeNode(), view="sessions", size=SIZE) as (pilot, console, _):
        await press(pilot, "question_mark")
        await beats(pilot, console, 6.0)
        paints = Paints(monkeypatch)
        for _ in range(5):
            await beats(pilot, console, 2.0)
        assert 1 <= paints.times <= 3, "in ten seconds"
        await press(pilot, "escape")
        assert console.view.frame.now == pytest.approx(console.node.now), "seen again, it is as of now"
