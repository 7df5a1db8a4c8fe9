"""Text of strangers is shown as text: no escape, no markup, no link of it does anything, on any screen."""

from __future__ import annotations

from typing import Any

import pytest
from taskmessenger.screens import views
from taskmessenger.screens.commands import found_in
from taskmessenger.screens.fake import FakeNode, FakeWorker
from taskmessenger.screens.view import View

from tests.support.console import opened, passed, press, text
from tests.support.hostile_node import ESCAPED, EVIL, FORBIDDEN, HostileNode, spoiled

VIEWS = found_in(views, View)
ABOUT = {"task": "4964", "worker": f"w-fern-00{EVIL[:40]}", "running": ""}
SHOWS_NONE = {"overview", "status"}
"""Hardly any free text stands there."""


def segments(console: Any) -> list[Any]:
    return [segment for strip in console.screen._compositor.render_strips() for segment in strip]


def check(console: Any) -> None:
    """What is on the screen is plain."""
    shown = text(console)
    assert not FORBIDDEN & set(shown), sorted(FORBIDDEN & set(shown))
    for segment in segments(console):
        style = segment.style
        assert style is None or "app.quit" not in str(style.meta)
        assert style is None or style.link is None


def a_node(view: str) -> Any:
    kind = next(v for v in VIEWS if view == v.NAME)
    return HostileNode(FakeNode() if "manager" in kind.ROLES else FakeWorker())


def argument(view: str, node: Any) -> str:
    return str(node.snapshot().worker.running[0].task) if view == "running" else ABOUT.get(view, "")


@pytest.mark.parametrize("view", [v.NAME for v in VIEWS])
async def test_a_screen_shows_it_as_it_is_written(view: str) -> None:
    node = a_node(view)
    async with opened(node, view=view, argument=argument(view, node), size=(200, 50)) as (pilot, console, _):
        await passed(pilot, 1)
        assert view == console.view.NAME
        check(console)
        if view not in SHOWS_NONE:
            assert "\\x1b" in text(console)
        await press(pilot, "end")
        check(console)
        for key in ("question_mark", "escape", "m", "escape", "dollar_sign", "escape"):
            await press(pilot, key)
            check(console)


@pytest.mark.parametrize("keys", [("down", "c"), ("down", "down", "P"), ("n",), ("e",), ("s",)])
async def test_a_dialog_shows_it_as_it_is_written(keys: tuple[str, ...]) -> None:
    async with opened(HostileNode(FakeNode()), view="tasks", size=(120, 40)) as (pilot, console, _):
        await press(pilot, *keys)
        check(console)


async def test_what_is_told_in_the_corner_is_plain() -> None:
    async with opened(HostileNode(FakeNode()), view="tasks", size=(120, 40)) as (pilot, console, _):
        console.tell(EVIL, "error")
        await passed(pilot, 1)
        check(console)
        assert ESCAPED in console.told[-1][2]
        await press(pilot, "M")
        check(console)


async def test_a_reason_of_an_absence_is_plain() -> None:
    node = FakeNode()
    node.away(reason=spoiled("the link broke"))
    async with opened(HostileNode(node), view="tasks", size=(120, 40)) as (_, console, _node):
        assert "manager away" in text(console)
        check(console)
