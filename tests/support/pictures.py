"""Getting a console to where its picture is taken, the same on every machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from textual.pilot import Pilot

from tests.support.console import passed, press, settle

Steps = Callable[[Pilot[Any]], Awaitable[None]]
FRAMES = 40
FRAME_SECONDS = 2.0


def after_a_while(view: str, *keys: str, argument: str = "") -> Steps:
    """Let curves grow, open a view, press keys."""

    async def steps(pilot: Pilot[Any]) -> None:
        app: Any = pilot.app
        await settle(pilot)
        for _ in range(FRAMES):
            app.node.advance(FRAME_SECONDS)
            app.beat()
        await passed(pilot, FRAME_SECONDS)
        await app.go(view, argument)
        await settle(pilot)
        await press(pilot, *keys)

    return steps
