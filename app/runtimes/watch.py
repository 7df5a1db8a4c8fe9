"""Notices when the event loop stands still, and says which async kind holds it.

A thread looks on: nobody on the loop itself could tell. It changes nothing; a handler that blocks cannot be
ended from outside.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final
from weakref import ref

from .base import Job
from .failures import STACK_FRAMES

log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 0.5
"""Between two signs of life of the loop, and between two looks."""
BLOCKED_SECONDS: Final = 3.0
"""The loop has stood still for so long, when that is said."""

Who = Callable[[], Job | None]
"""The job whose handler the loop is in right now; called from the thread that looks on."""


class LoopWatch:
    """Looks on while it is kept."""

    def __init__(self, who: Who) -> None:
        """For the loop that runs now."""
        self._loop, self._home = asyncio.get_running_loop(), threading.get_ident()
        self._who = who
        self.beat_at = time.monotonic()
        self._told = False
        self._beat()
        threading.Thread(target=_look_on, args=(ref(self),), name="tm-loop-watch", daemon=True).start()

    def _beat(self) -> None:
        self.beat_at, self._told = time.monotonic(), False
        self._timer = self._loop.call_later(BEAT_SECONDS, self._beat)

    def stop(self) -> None:
        """The end of it."""
        self._timer.cancel()
        self._told = True

    def look(self) -> None:
        """Say it once for each time that the loop stands still."""
        still = time.monotonic() - self.beat_at
        if self._told or still < BLOCKED_SECONDS or (job := self._who()) is None:
            return
        self._told = True
        frame = sys._current_frames().get(self._home)  # noqa: SLF001  the only way
        where = traceback.format_stack(frame, limit=STACK_FRAMES)[-1:] if frame is not None else []
        log.warning(
            "the async kind `%s` (task %d) has kept the event loop for %.0f s, and everything waits for it: "
            "write `def handle`, which runs elsewhere, or await what takes time; it is at %s",
            job.kind, job.task, still, " ".join("".join(where).split()),
        )  # fmt: skip


def _look_on(watch: ref[LoopWatch]) -> None:
    while (there := watch()) is not None:
        there.look()
        del there
        time.sleep(BEAT_SECONDS)
