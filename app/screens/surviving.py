"""What becomes of a console when a screen fails or its terminal is lent, stopped or lost: nothing else ends.

Textual would print pages of stack over the operator's shell; here they are kept as a report, for whoever runs
the console to put somewhere.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from time import monotonic
from typing import Any, Final, TypeVar

import rich.console
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen

from ..core.errors import UsageError
from .driver import TerminalDriver
from .in_order import InOrder
from .leaving import HEADLESS

R = TypeVar("R")
MAX_REPORT: Final = 32_768
"""Characters of a report, from its end."""
WIDTH: Final = 120
"""Columns of a report."""
AT_ONCE: Final = 0.05
"""Seconds in which a process that was to stop goes on, when nobody can stop it."""
TRIES: Final = 3
"""To stop in the background, until there is a terminal again."""


class Surviving(InOrder[R]):
    """Base of the console and of the start screen."""

    guarded = False
    """The terminal is a real one and this is the main thread: its loss is looked out for."""
    hung_up: Callable[[], None] | None = None
    """What SIGHUP means while the terminal is there; without it, it closes this."""
    report = ""
    """What failed, for whoever mends it; empty when nothing did."""
    lent = False
    """The terminal belongs to an editor just now."""
    lost: Any = HEADLESS
    """The answer of a console whose terminal is gone."""

    def get_driver_class(self) -> Any:
        """Ours where Textual takes its own for terminals."""
        kind = super().get_driver_class()
        return TerminalDriver if kind is LinuxDriver else kind

    async def on_mount(self) -> None:
        """Look out for the loss of the terminal."""
        main = threading.current_thread() is threading.main_thread()
        self.guarded = self.guarded or (main and self._terminal is not None)
        if self.guarded and hasattr(signal, "SIGHUP"):
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, self.hear_hangup)
            # From the event loop, not between two instructions: there a lock may be held.
            loop.add_signal_handler(signal.SIGTSTP, self._stop_signal)
            loop.add_signal_handler(signal.SIGCONT, self._continue_signal)

    # What is painted

    @property
    def _terminal(self) -> TerminalDriver | None:
        return self._driver if isinstance(self._driver, TerminalDriver) else None

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """As Textual's, while there is somebody to see it."""
        if self._terminal is None or self._terminal.takes_paint():
            super()._display(screen, renderable)

    def repaint(self) -> None:
        """All of the screen: what was painted before may not have been seen."""
        if self._running and self.screen_stack:
            self.refresh(layout=True)

    # The terminal, lent and stopped

    @contextmanager
    def terminal_lent(self) -> Iterator[None]:
        """It belongs to another program: nothing is read and nothing painted, and the console goes on.

        Raises:
            UsageError: another program has it, or there is none.
        """
        if self.lent:
            raise UsageError("an editor has the terminal already")
        terminal = self._terminal
        if terminal is None:
            if self._driver is not None and self._driver.is_web:
                raise UsageError("there is no terminal here for an editor")
            yield
            return
        self.forget_typed("an editor opens")
        self.keys_wait(wait=False)
        self.lent = True
        terminal.suspend_application_mode()
        try:
            with terminal.no_automatic_restart(), _deaf((signal.SIGINT, signal.SIGQUIT), self.guarded):
                yield
        finally:
            self.lent = False
            self.keys_wait(wait=True)
            if self._running and not self._exit and has_terminal():
                terminal.as_found()  # an editor that was killed leaves it as it had it
                terminal.resume_application_mode()
                self.repaint()

    def suspend_console(self, words: str = "") -> None:
        """Stop this process, and all that the shell started with it, until the shell lets it go on.

        `words` stand on the terminal meanwhile.

        Raises:
            UsageError: nobody could let it go on.
        """
        if self._terminal is None or not self.guarded:
            raise UsageError("there is no shell here to come back from")
        if not self._stop(lambda: os.killpg(os.getpgrp(), signal.SIGTSTP), words):
            raise UsageError("no shell with job control has started this console: it could not come back")

    def _stop_signal(self) -> None:
        if self.lent or self._terminal is None:
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            self._stop(lambda: os.kill(os.getpid(), signal.SIGSTOP))

    def _stop(self, stop: Callable[[], None], words: str = "") -> bool:
        """Give the terminal back and stop; True when the process was stopped, after it has gone on."""
        terminal = self._terminal
        assert terminal is not None
        terminal.suspend_application_mode()
        if words:
            print(words, file=sys.__stderr__, flush=True)
        before = signal.signal(signal.SIGTSTP, signal.SIG_DFL), signal.signal(signal.SIGCONT, signal.SIG_DFL)
        stopped, tries = False, 0
        while tries < TRIES:
            begun = monotonic()
            stop()
            at_once = monotonic() - begun < AT_ONCE
            stopped, tries = stopped or not at_once, tries + at_once
            if _is_ours():  # not in the background, where nothing may be painted
                break
        signal.signal(signal.SIGTSTP, before[0])
        signal.signal(signal.SIGCONT, before[1])
        if _is_ours():
            terminal.resume_application_mode()
            self.repaint()
        else:
            self.hang_up()
        return stopped

    def _continue_signal(self) -> None:
        """Somebody stopped the process without asking: the shell may have set the terminal anew meanwhile."""
        if self._terminal is not None and not self.lent and _is_ours():
            self._terminal.suspend_application_mode()
            self._terminal.resume_application_mode()
            self.repaint()

    # The terminal lost, a failure

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
        self.exit(self.lost)

    def panic(self, *renderables: Any) -> None:
        """Textual's threads cannot go on. Where the terminal is gone that is why, and no failure."""
        if self.guarded and not has_terminal():
            self.hang_up()
            return
        self.report = self.report or "".join(map(_readable, renderables))[-MAX_REPORT:]
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


def _readable(renderable: Any) -> str:
    """What Rich would draw, as text."""
    if isinstance(renderable, str):
        return renderable
    text = StringIO()
    rich.console.Console(file=text, width=WIDTH, color_system=None, legacy_windows=False).print(renderable)
    return text.getvalue()


@contextmanager
def _deaf(numbers: tuple[signal.Signals, ...], guarded: bool) -> Iterator[None]:
    """What the operator's keys send is for the editor. Not ignored: what is started would inherit that."""
    before = [(number, signal.signal(number, _nothing)) for number in numbers] if guarded else []
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _nothing(_number: int, _frame: object) -> None:
    pass


def has_terminal() -> bool:
    """Whether there still is a terminal at the other end."""
    try:
        os.tcgetpgrp(_number())
    except OSError:
        return False
    return True


def _is_ours() -> bool:
    """Whether the shell has given this process the terminal."""
    try:
        return os.tcgetpgrp(_number()) == os.getpgrp()
    except OSError:
        return False


def _number() -> int:
    return sys.__stdin__.fileno() if sys.__stdin__ is not None else 0
