"""What is done at a console while the stop-watch runs, and what the figures say of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from taskmessenger.screens.views.tasks import NEWEST
from textual import events

from tests.bench.camera import Operator, a_camera_console

SIZE = (160, 50)
FILTERS = ("kind:hash", "kind:resize", "state:failed", 'run>1.5s "w-"')
ORDERS = ("kind", "run", "priority")
GAP = 0.03
"""Seconds between two keys: a held key repeats as fast."""
Times = dict[str, list[float]]


def percentile(times: list[float], share: float) -> float:
    """Milliseconds."""
    ordered = sorted(times)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3


async def _repeat(count: int, once: Callable[[int], Awaitable[float]], gap: float = GAP) -> list[float]:
    times = []
    for number in range(count):
        times.append(await once(number))
        await asyncio.sleep(gap)
    return times


async def tour(op: Operator, count: int) -> Times:
    """Everything that a hand does at the table of tasks; seconds from the key to the paint."""
    console = op.console
    await console.go("tasks")
    await op.settled(0.5)
    found: Times = {}
    found["down"] = await _repeat(count, lambda _: op.moved(lambda: op.key("down")))

    def wheel() -> None:
        op.grid.post_message(
            events.MouseScrollDown(op.grid, 5, 5, 0, 1, 0, shift=False, meta=False, ctrl=False)
        )

    found["wheel"] = await _repeat(count // 2, lambda _: op.scrolled(wheel))
    found["page down"] = await _repeat(
        min(count, 15), lambda _: op.moved(lambda: op.key("pagedown")), 4 * GAP
    )

    async def calm(do: Callable[[], object]) -> float:
        taken = await op.moved(do)
        await op.settled()
        return taken

    few = max(count // 4, 6)
    found["End, Home"] = await _repeat(few, lambda i: calm(lambda: op.key(("end", "home")[i % 2])))
    view: Any = console.view
    found["sort"] = await _repeat(few, lambda i: calm(lambda: op.grid.sort_by(ORDERS[i % 3])))
    view.load("", NEWEST)
    await op.settled()
    found["filter"] = await _repeat(few, lambda i: calm(lambda: view.load(FILTERS[i % 4])))
    view.load("")
    await op.settled()
    found["other screen"] = await _repeat(few, lambda i: _to(op, ("workers", "tasks")[i % 2]))
    await console.go("tasks")
    return found


async def _to(op: Operator, name: str) -> float:
    console = op.console
    place = next(str(v.PLACE) for v in console.placed() if name == v.NAME)

    def wanted() -> str | None:
        view = console.view
        return None if view is None or name != view.NAME or view.grid is None else r"▸"

    taken = await op.until_seen(lambda: op.key(place), wanted)
    await op.settled()
    return taken


async def load_of(op: Operator, view: str, seconds: float) -> tuple[float, float]:
    """Share of a core that this process takes while nobody types; writes to the screen in a second."""
    await op.console.go(view)
    await op.settled(1.5)
    camera = op.camera
    writes, start = camera.writes, time.perf_counter()
    used = time.process_time() - op.billed()
    await asyncio.sleep(seconds)
    taken = time.perf_counter() - start
    return (time.process_time() - op.billed() - used) / taken, (camera.writes - writes) / taken


def run(node: Any, play: Callable[[Operator], Awaitable[Any]], size: tuple[int, int] = SIZE) -> Any:
    """A console over this node, and what `play` finds at it."""
    console = a_camera_console(node)
    result: list[Any] = []

    async def pilot(_: object) -> None:
        try:
            result.append(await play(Operator(console, lambda: getattr(node, "spent", 0.0))))
        except Exception as error:  # the border of a measure: Textual would print it and end well
            result.append(error)
        console.exit()

    asyncio.run(console.run_async(size=size, auto_pilot=pilot))
    (found,) = result
    if isinstance(found, Exception):
        raise found
    return found
