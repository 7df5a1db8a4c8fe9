"""Consoles over real nodes: opened in a test, and waited for until they show something."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import time
from typing import Any

import anyio
from taskmessenger.handle import NodeHandle
from taskmessenger.screens.app import Console
from taskmessenger.screens.prefs import Prefs
from textual.pilot import Pilot

from tests.support.console import text
from tests.support.nodes import BOUND


@asynccontextmanager
async def console_of(node: NodeHandle) -> AsyncIterator[Pilot[Any]]:
    console = Console(node, prefs=Prefs(), clock=time, undo_seconds=0.0)
    async with console.run_test(size=(120, 40)) as pilot:
        yield pilot


async def shows(pilot: Pilot[Any], *words: str) -> None:
    """Wait until all of them are on the screen."""
    try:
        with anyio.fail_after(BOUND):
            while not all(word in text(pilot.app) for word in words):
                await pilot.pause(0.05)
    except TimeoutError as error:
        raise AssertionError(f"{words} are not all shown in\n{text(pilot.app)}") from error


async def becomes(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    with anyio.fail_after(BOUND):
        while not condition():
            await pilot.pause(0.05)
