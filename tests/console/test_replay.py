"""A recording in the screens of the console: forward, back, and what is seen there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from taskmessenger.core.errors import UsageError
from taskmessenger.handle import TaskQuery
from taskmessenger.record import Recording, ReplayNode, Writer
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.fake.node import EPOCH
from taskmessenger.screens.prefs import Prefs
from taskmessenger.screens.replay import SPEEDS, Replay, when
from taskmessenger.screens.widgets.words import TimeMode
from textual.pilot import Pilot

from tests.support.console import LARGE, SMALL, press, settle, text

STEPS = 200


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some minutes of the simulated fleet, in which it is paused after the first one."""
    path = tmp_path_factory.mktemp("kept") / "a.tmrec"
    node, writer, cursor = FakeNode(tasks=500), Writer(path), 0
    for _ in range(STEPS):
        page = node.events(cursor)
        cursor = page.cursor
        writer.events(node.now, page.rows, page.missed)
        writer.tasks(node.now, anyio.run(node.tasks, TaskQuery(limit=100)).rows)
        writer.snapshot(node.now, node.snapshot())
        node.advance(1)
    writer.close()
    return path


@pytest.fixture
def node(kept: Path) -> Iterator[ReplayNode]:
    recording = Recording(kept)
    yield ReplayNode(recording)
    recording.close()


def a_replay(node: ReplayNode) -> Replay:
    replay = Replay(node, prefs=Prefs(), beat_seconds=0.0)
    replay.times = TimeMode.UTC
    return replay


@asynccontextmanager
async def replayed(node: ReplayNode, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Pilot[Any]]:
    async with a_replay(node).run_test(size=size) as pilot:
        await settle(pilot)
        await settle(pilot)
        yield pilot


async def test_it_opens_at_its_start_and_stands_still(node: ReplayNode) -> None:
    async with replayed(node) as pilot:
        assert "REPLAY" in text(pilot.app)
        assert "0:00 of 3:19" in text(pilot.app)
        assert "away for" not in text(pilot.app)
        await settle(pilot)
        assert node.place == 0


async def test_left_and_right_step_and_shift_leaps_a_minute(node: ReplayNode) -> None:
    async with replayed(node) as pilot:
        await press(pilot, "right", "right", "right", "left")
        assert node.at == EPOCH + 2
        await press(pilot, "shift+right")
        assert node.at == EPOCH + 62
        await press(pilot, "shift+left", "shift+left")
        assert node.at == EPOCH


async def test_a_step_forward_goes_on_and_any_other_way_begins_anew(node: ReplayNode) -> None:
    async with replayed(node) as pilot:
        seen = pilot.app.pulse
        await press(pilot, "right")
        assert pilot.app.pulse is seen, "what was seen before belongs to it"
        await press(pilot, "left")
        assert pilot.app.pulse is not seen
        seen = pilot.app.pulse
        await press(pilot, "shift+right")
        assert pilot.app.pulse is not seen


async def test_p_plays_and_stops_and_stands_at_the_end(node: ReplayNode) -> None:
    async with replayed(node) as pilot:
        await press(pilot, "p")
        assert pilot.app.playing
        pilot.app.advance(3.0)
        assert node.at >= EPOCH + 3
        await press(pilot, "p")
        assert not pilot.app.playing
        await press(pilot, "p")
        pilot.app.advance(1_000)
        await settle(pilot)
        assert not pilot.app.playing
        assert node.place == node.last
        await press(pilot, "p")
        assert node.at < EPOCH + 2


async def test_the_events_screen_forgets_what_has_not_happened_yet(node: ReplayNode) -> None:
    async with replayed(node) as pilot:
        await pilot.app.go("events")
        pilot.app.jump(EPOCH + 150)
        await settle(pilot)
        later = pilot.app.view.grid.table.rows
        pilot.app.jump(EPOCH + 20)
        await settle(pilot)
        earlier = pilot.app.view.grid.table.rows
        assert max(row.at for row in later) > EPOCH + 100
        assert earlier
        assert max(row.at for row in earlier) <= EPOCH + 20


async def test_screens_keep_their_cursor_while_time_moves(node: ReplayNode) -> None:
    async with replayed(node) as pilot:
        await pilot.app.go("workers")
        await settle(pilot)
        await press(pilot, "down", "down", "right", "left", "shift+right")
        assert pilot.app.view.grid.table.port.cursor == 2


async def test_the_task_pool_shows_the_newest_tasks_of_then(node: ReplayNode) -> None:
    async with replayed(node) as pilot:
        await pilot.app.go("tasks")
        await settle(pilot)
        first = pilot.app.view.grid.current().id
        pilot.app.jump(EPOCH + 100)
        for _ in range(8):
            await settle(pilot)
        assert max(row.id for row in pilot.app.view.grid.table.rows if row) > first


async def test_nothing_that_changes_the_fleet_is_offered(node: ReplayNode) -> None:
    async with replayed(node) as pilot:
        assert not [command for command in pilot.app.registry.commands.values() if command.changes]
        assert not pilot.app.registry.complaints


async def test_a_click_on_the_bar_goes_there(node: ReplayNode) -> None:
    async with replayed(node) as pilot:
        await pilot.click("TimeBar", offset=(60, 0))
        await settle(pilot)
        assert 0.3 < node.place / node.last < 0.7


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("start", EPOCH),
        ("end", EPOCH + STEPS - 1),
        ("2m", EPOCH + 120),
        ("14:15:00", EPOCH + 100),
        ("14:14", EPOCH + 40),
    ],
)
def test_moments_are_said_in_words(node: ReplayNode, words: str, moment: float) -> None:
    assert when(words, node, TimeMode.UTC) == moment


@pytest.mark.parametrize("words", ["", "soon", "25:61", "14:", "-3"])
def test_what_is_no_moment_is_refused(node: ReplayNode, words: str) -> None:
    with pytest.raises(UsageError, match="is no "):
        when(words, node, TimeMode.UTC)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
def test_picture(node: ReplayNode, size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        pilot.app.jump(EPOCH + 90)
        await settle(pilot)
        await settle(pilot)

    assert snap_compare(a_replay(node), terminal_size=size, run_before=steps)


async def test_it_plays_faster_with_each_p_and_after_the_fastest_as_it_was(node: ReplayNode) -> None:
    async with replayed(node) as pilot:
        console: Any = pilot.app
        speeds = []
        for _ in range(len(SPEEDS) + 1):
            speeds.append(console.speed)
            await press(pilot, "P")
        assert speeds == [*SPEEDS, SPEEDS[0]]
        assert console.told[-1][2] == f"plays {SPEEDS[1]} times as fast as it was"
