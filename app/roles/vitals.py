"""Ends a process that lives and serves nobody: its loop stands still, it greets nobody, its memory is gone.

Whoever supervises it starts it again, and what was accepted is on the disk. The watch is kept by a thread,
which needs nothing of the loop. It counts its own looks and no time: a process that was stopped, or a machine
that slept, has missed nothing.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Final

import anyio

from ..net import messages as m
from ..net.framing import FrameWriter
from ..net.unix_name import short_name

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
LOOKS: Final = 60
"""Looks in a row at which the loop has not gone on: then it never will."""
GREETING_LOOKS: Final = 15
"""Looks from one greeting to the next."""
GREETINGS: Final = 4
"""Greetings in a row that nobody answers."""
ANSWER_SECONDS: Final = 10.0
"""For the answer to a greeting."""
AGAIN_SECONDS: Final = 60.0
"""A second lack of memory within this time is the end."""
EXIT_CODE: Final = 1
STACK: Final = 4_000
"""Characters of each thread's stack that are logged."""
End = Callable[[str], None]


def end_process(why: str) -> None:
    """Say why, and where every thread is, in the log; then end, with what is unfinished left as it is."""
    with suppress(Exception):  # the border of a process that is broken: nothing may keep it from ending
        log.critical("this process ends, to be started again: %s", why)
        for number, frame in sys._current_frames().items():  # noqa: SLF001 - there is no other way to see them
            log.error("thread %d: %s", number, "".join(traceback.format_stack(frame))[-STACK:])
        logging.shutdown()
    os._exit(EXIT_CODE)


class Watchdog:
    """Of one manager."""

    def __init__(
        self, local: Path, *, seconds: float = LOOK_SECONDS, looks: int = LOOKS, end: End = end_process
    ) -> None:
        """`local`: the socket at which it greets its own process."""
        self._local, self._seconds, self._looks, self._end = local, seconds, looks, end
        self._beats = 0
        self._over = threading.Event()

    async def run(self) -> None:
        """Watch this event loop, until cancelled."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        try:
            while True:
                self._beats += 1
                await anyio.sleep(self._seconds / 2)
        finally:
            self._over.set()

    def _watch(self) -> None:
        seen, still, unanswered, look, why = -1, 0, 0, 0, ""
        while not why and not self._over.wait(self._seconds):
            beats, look = self._beats, look + 1
            still = still + 1 if beats == seen else 0
            seen = beats
            if look % GREETING_LOOKS == 0:
                unanswered = 0 if self._is_answered() else unanswered + 1
            if still >= self._looks:
                why = f"its event loop has not gone on for {still} looks of {self._seconds:g} s"
            elif unanswered >= GREETINGS:
                why = f"{unanswered} greetings at its own socket had no answer"
        if why and not self._over.is_set():
            self._end(why)

    def _is_answered(self) -> bool:
        """Whether somebody who comes through the local socket hears anything at all."""
        writer = FrameWriter()
        writer.put(m.pack(m.WantAuthority(m.OLDEST, m.PROTOCOL)))
        try:
            with socket.socket(socket.AF_UNIX) as line, short_name(self._local) as name:
                line.settimeout(ANSWER_SECONDS)
                line.connect(name)
                line.sendall(writer.take())
                return bool(line.recv(1))
        except (OSError, MemoryError):
            return False


class Memory:
    """What becomes of a process without memory: once is forgiven, for it may be one peer's doing."""

    def __init__(self, end: End = end_process) -> None:
        self._end = end
        self._last = float("-inf")

    def note(self, error: BaseException) -> None:
        """Somebody could not be served, for this reason; or something else went wrong."""
        if isinstance(error, MemoryError):
            self.ran_out()

    def ran_out(self) -> None:
        """Somebody could not be served for want of it."""
        now = monotonic()
        gc.collect()
        if now - self._last < AGAIN_SECONDS:
            self._end("there is no memory left")
        self._last = now


memory: Final = Memory()
"""Of this process."""


@contextmanager
def enough_memory() -> Iterator[None]:
    """Ends the process when the block ends for want of memory: what it would still do may want some, too."""
    try:
        yield
    except MemoryError:
        end_process("there is no memory left")
    except BaseExceptionGroup as group:
        if group.subgroup(MemoryError) is not None:
            end_process("there is no memory left")
        raise
