"""What becomes of a console when a screen fails or its terminal goes away: it closes, and nothing else ends.

Textual would print pages of stack over the operator's shell; here they are kept as a report, for whoever runs
the console to put somewhere.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from textual.app import App

from .leaving import HEADLESS

MAX_REPORT: Final = 32_768
"""Characters of a report, from its end."""


class Surviving(App[str]):
    """Base of the console."""

    guarded = False
    """The terminal is a real one and this is the main thread: its loss is looked out for."""
    hung_up: Callable[[], None] | None = None
    """What SIGHUP means while the terminal is there; without it, it closes this."""
    report = ""
    """What failed, for whoever mends it; empty when nothing did."""

    async def on_mount(self) -> None:
        """Look out for the loss of the terminal."""
        if self.guarded and hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.hear_hangup)
            _resume_only_after_a_stop()

    def hear_hangup(self) -> None:
        """SIGHUP: from a terminal that goes away, or from somebody."""
        if not has_terminal():
            self.hang_up()
        elif self.hung_up is not None:
            self.hung_up()
        else:
            self.exit()

    def hang_up(self) -> None:
        """The terminal is gone: close as if the operator had left the node to itself."""
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
            if stream is not None:  # the last paint must not fail, and must not wait
                os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        self.exit(HEADLESS)

    def panic(self, *renderables: Any) -> None:
        """Textual's threads cannot go on. Where the terminal is gone that is why, and no failure."""
        if self.guarded and not has_terminal():
            self.hang_up()
            return
        self.report = self.report or "".join(str(one) for one in renderables)[-MAX_REPORT:]
        self._close_messages_no_wait()

    def _fatal_error(self) -> None:
        error = self._exception
        if error is not None and not self.report:
            self.report = "".join(traceback.format_exception(error))[-MAX_REPORT:]
        self._close_messages_no_wait()


def close_soon(app: App[Any]) -> None:
    """Close it without an answer; from a signal handler, on the thread that it runs on."""
    loop = app._loop  # noqa: SLF001  a queue that is filled from a handler wakes nobody
    if loop is not None:
        with suppress(RuntimeError):  # it is closed
            loop.call_soon_threadsafe(app.exit)


def _resume_only_after_a_stop() -> None:
    """A terminal that goes away says "continue" as well: Textual would begin to draw anew, and then hang.

    The stop comes from the event loop, not between two instructions: there the queue of what is to be painted
    may be locked, and Textual would wait for that lock for ever.
    """
    stop, resume = signal.getsignal(signal.SIGTSTP), signal.getsignal(signal.SIGCONT)
    stopped = False

    def stopping() -> None:
        nonlocal stopped
        stopped = True
        if callable(stop):
            stop(signal.SIGTSTP, None)

    def resuming(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped and has_terminal() and callable(resume):
            resume(number, frame)
        stopped = False

    asyncio.get_running_loop().add_signal_handler(signal.SIGTSTP, stopping)
    signal.signal(signal.SIGCONT, resuming)


def has_terminal() -> bool:
    """Whether there still is a terminal at the other end."""
    try:
        os.tcgetpgrp(sys.__stdin__.fileno() if sys.__stdin__ is not None else 0)
    except OSError:
        return False
    return True
