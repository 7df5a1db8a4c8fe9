"""When a worker's news leave: at once when somebody may wait for them, together with what follows when not.

A message, its way to the manager's disk and the answer cost as much for twenty outcomes as for one. Knows
how much work waits and how fast it ends; what is told, and that it is kept before, is the outbox's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from .outbox import Outbox
from .slots import Slots

COMPANY_SECONDS: Final = 0.06
"""How long news may wait for more of them."""
COMPANY: Final = 32
"""Outcomes that are enough: more of them together would hardly cost less each."""
REFILL_SECONDS: Final = 0.015
"""Work that must wait here meanwhile, for each slot: new leases come when outcomes have gone."""


async def tell(outbox: Outbox, slots: Slots, told: Callable[[], None]) -> None:
    """Keep what ends on disk at once, and send it in time, for ever; `told` is called after each time."""
    alarm = _Alarm(outbox.wake)

    def quiet() -> bool:
        return _patience(outbox, slots) > 0

    try:
        while True:
            await outbox.waiting()
            outbox.keep()
            patience = _patience(outbox, slots)
            if patience > 0:
                alarm.set(patience)
                outbox.quiet = quiet  # while the alarm is set, what need not wake anybody does not
                continue
            outbox.quiet = None
            alarm.cancel()
            outbox.flush()
            told()
    finally:
        outbox.quiet = None
        alarm.cancel()


class _Alarm:
    """Calls `wake` once, at the time that was set first."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), wake
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Unless it is set already."""
        self._timer = self._timer or self._loop.call_later(seconds, self._ring)

    def cancel(self) -> None:
        """It is not needed any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._wake()


def _patience(outbox: Outbox, slots: Slots) -> float:
    """Seconds that the news may still wait.

    An outcome waits only if others follow in that time, and while they do, work is left for every slot. That
    something has begun is worth a message only if it does not end soon.
    """
    if outbox.since is None or outbox.urgent:
        return 0.0
    left = outbox.since + COMPANY_SECONDS - monotonic()
    held = len(outbox.held)
    if held:
        pace = (slots.average or 0.0) / max(1, slots.usable)  # seconds from one outcome to the next
        if held >= COMPANY or pace > left or slots.waiting * pace < REFILL_SECONDS:
            return 0.0
    return left
