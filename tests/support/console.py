"""The console over the simulated node, for tests: no clock but the node's, and frames only when asked for."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

os.environ["TEXTUAL_ANIMATIONS"] = "none"  # before Textual is imported: it reads this once

import anyio
import textual.app
import textual.pilot
from anyio import to_thread
from taskmessenger.screens.app import Console
from taskmessenger.screens.dialogs.progress import Progress
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.prefs import Prefs
from taskmessenger.screens.widgets.words import TimeMode
from textual.app import App
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.events import Key
from textual.keys import KEY_NAME_REPLACEMENTS, _character_to_key
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Button, Input, TextArea

# A cursor that blinks makes another picture every half second.
Input._toggle_cursor = TextArea._toggle_cursor_blink_visible = lambda _self: None  # type: ignore[method-assign]
# A button is deaf for a fifth of a second after a click.
Button._start_active_affect = lambda _self: None  # type: ignore[method-assign]
# The style sheets of one console are those of the next: each is read once.
_RULES: dict[Any, list[RuleSet]] = {}
_read_rules: Any = Stylesheet._parse_rules


def _rules(sheet: Stylesheet, *given: Any, **more: Any) -> list[RuleSet]:
    key = given, tuple(more.items()), tuple(sheet._variables.items())
    if key not in _RULES:
        _RULES[key] = _read_rules(sheet, *given, **more)
    return _RULES[key]


Stylesheet._parse_rules = _rules  # type: ignore[assignment]
SMALL = (80, 24)
LARGE = (160, 50)
SETTLES = 200
"""Rounds that anything takes at most: workers, messages, layout."""
CALM = 3
"""Turns of the event loop in a row without anything else to do, after which nothing is under way in it."""
TURNS = 100_000
FRAME_SECONDS = 0.02
"""A little more than the sixtieth of a second for which Textual puts some things off."""
CLOSED_SECONDS = 30.0
"""A dialog that sees four times a second that it is over takes no longer to close, on any machine."""


async def _idle(_min_sleep: float = 0.0, _max_sleep: float = 1.0) -> None:
    """Until the event loop has nothing to do, now and within a frame.

    Textual's own pilot asks whether the process uses little processor time instead, and takes one that the
    machine gives no time to for one that has nothing to do; and it sleeps where nothing is going to happen.
    """
    loop: Any = asyncio.get_running_loop()
    await _calm()
    end = loop.time() + FRAME_SECONDS
    while (due := end if _outside(loop) else _due(loop)) <= end and loop.time() < end:
        await asyncio.sleep(max(0.0, due - loop.time()))
        await _calm()


def _due(loop: Any) -> float:
    """When the next timer of the event loop goes off."""
    return min((one.when() for one in loop._scheduled if not one.cancelled()), default=math.inf)


def _outside(loop: Any) -> bool:
    """Whether threads, sockets or processes may be at work: nothing is seen of it before they tell."""
    own = 1  # by which threads wake the loop
    return _threads() > 0 or loop._default_executor is not None or len(loop._selector.get_map()) > own


def _threads() -> int:
    return to_thread.current_default_thread_limiter().borrowed_tokens


async def _calm() -> None:
    loop: Any = asyncio.get_running_loop()
    calm = 0
    for _ in range(TURNS):
        await asyncio.sleep(0)
        calm = 0 if loop._ready else calm + 1
        if calm == CALM:
            return


textual.app.wait_for_idle = textual.pilot.wait_for_idle = _idle  # of keys, and of everything else


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
    assert isinstance(app, Console)
    await _rest(pilot)
    app.beat()
    await _rest(pilot)


async def _rest(pilot: Pilot[Any]) -> None:
    for _ in range(SETTLES):
        await pilot.pause()
        asking = _asking(pilot.app)
        if not asking and not _unpainted(pilot.app.screen):
            return
        if asking:
            await asyncio.sleep(FRAME_SECONDS)


def _asking(app: App[Any]) -> bool:
    return _threads() > 0 or any(not one.is_finished and one.group != "commands" for one in app.workers)


def _unpainted(screen: Screen[Any]) -> bool:
    return bool(
        screen._layout_required
        or screen._scroll_required
        or screen._repaint_required
        or screen._recompose_required
        or screen._dirty_widgets
        or screen._callbacks
    )


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Keys, each with all that comes of it."""
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


async def press_at_once(pilot: Pilot[Any], keys: Iterable[str]) -> None:
    """Keys that come in one burst, as from a terminal; until the last of them has done what it does."""
    console = pilot.app
    assert isinstance(console, Console)
    assert console._driver is not None
    for key in keys:
        console._driver.send_message(_key(console, key))
    with anyio.fail_after(CLOSED_SECONDS):
        await _calm()
        while console.is_typing or console._message_queue.qsize():
            await asyncio.sleep(FRAME_SECONDS)
    await settle(pilot)


def _key(console: Console, key: str) -> Key:
    if len(key) == 1:
        name = key if key.isalnum() else {"\r": "enter", " ": "space"}.get(key) or _character_to_key(key)
        event = Key(KEY_NAME_REPLACEMENTS.get(name, name), key)
    else:
        event = Key(key, {"space": " ", "enter": "\r"}.get(key))
    event.set_sender(console)
    return event


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
    screen = console.screen
    if isinstance(screen, Progress) and screen._look().over:
        with anyio.fail_after(CLOSED_SECONDS):
            while console.screen is screen:
                await pilot.pause(FRAME_SECONDS)
    await settle(pilot)


def lines(console: Console) -> list[str]:
    """What stands on the screen, line by line."""
    strips = console.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def text(console: Console) -> str:
    """The same as one text."""
    return "\n".join(lines(console))
