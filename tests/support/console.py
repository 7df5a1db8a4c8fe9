"""The console over the simulated node, for tests: no clock but the node's, and frames only when asked for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

os.environ["TEXTUAL_ANIMATIONS"] = "none"  # before Textual is imported: it reads this once

from taskmessenger.screens.app import Console
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.prefs import Prefs
from taskmessenger.screens.widgets.words import TimeMode
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

# A cursor that blinks makes another picture every half second.
Input._toggle_cursor = TextArea._toggle_cursor_blink_visible = lambda _self: None  # type: ignore[method-assign]
SMALL = (80, 24)
LARGE = (160, 50)
SETTLES = 20
"""Rounds of the event loop that anything takes at most: workers, messages, layout."""


def a_console(node: Any = None, **given: Any) -> Console:
    """A console that is the same on every machine: the node's clock, UTC, our theme, no files."""
    node = FakeNode() if node is None else node
    given = {"clock": lambda: node.now, "beat_seconds": 0.0, "undo_seconds": 0.0, "prefs": Prefs()} | given
    console = Console(node, **given)
    console.times = TimeMode.UTC
    return console


@asynccontextmanager
async def opened(
    node: Any = None, *, size: tuple[int, int] = (120, 40), view: str = "", argument: str = "", **given: Any
) -> AsyncIterator[tuple[Pilot[None], Console, Any]]:
    """A running console, its pilot and its node, at one of its views."""
    console = a_console(node, **given)
    async with console.run_test(size=size) as pilot:
        await settle(pilot)
        if view:
            await console.go(view, argument)
            await settle(pilot)
        yield pilot, console, console.node


async def settle(pilot: Pilot[Any]) -> None:
    """Until nothing is under way any more, and all of it is on the screen."""
    app = pilot.app
    for _ in range(SETTLES):
        await pilot.pause()
        asking = [w for w in app.workers if not w.is_finished and w.group != "commands"]
        if not asking:
            break
    assert isinstance(app, Console)
    app.beat()
    await pilot.pause()


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Keys, each with all that comes of it."""
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


async def type_text(pilot: Pilot[Any], text: str) -> None:
    """Type into the field that has the focus."""
    for character in text:
        await pilot.press({" ": "space", "\r": "enter"}.get(character, character))
    await settle(pilot)


async def passed(pilot: Pilot[Any], seconds: float) -> None:
    """Let the node's clock go on, and show it."""
    console = pilot.app
    assert isinstance(console, Console)
    advance: Any = console.node
    advance.advance(seconds)
    for _ in range(4):  # every fourth frame asks for what is costly
        console.beat()
    await settle(pilot)


def lines(console: Console) -> list[str]:
    """What stands on the screen, line by line."""
    strips = console.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def text(console: Console) -> str:
    """The same as one text."""
    return "\n".join(lines(console))
