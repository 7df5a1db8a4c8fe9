"""Waits some seconds, tells how far it is, and can be ended at any moment."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Protocol

from ._arguments import Number, number

DESCRIPTION = "waits that many seconds and returns them"
EXAMPLE = 0.5
FINAL = (ValueError,)

STEP = 0.5
"""Seconds between two words about progress."""


class _Context(Protocol):
    def progress(self, fraction: float, note: str = "") -> None: ...


async def handle(payload: Any, ctx: _Context) -> Number:
    """The seconds it waited for.

    Raises:
        ValueError: not a number of seconds, or below 0.
    """
    seconds = number(payload, "wait")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"wait wants a number of seconds from 0 up, not {seconds}")
    loop = asyncio.get_running_loop()
    began = loop.time()
    while (left := began + seconds - loop.time()) > 0:
        await asyncio.sleep(min(STEP, left))
        ctx.progress(min(1.0, (loop.time() - began) / seconds), f"{max(0.0, left - STEP):.0f} s left")
    return seconds
