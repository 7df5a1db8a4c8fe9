"""What signals mean to a role.

SIGTERM and SIGINT: once, leave in good order; twice, leave now. SIGHUP: open the log file anew and go on,
whether somebody has moved the file or the terminal is gone. SIGQUIT, SIGKILL, SIGABRT and what a fault of the
machine code sends end it at once. Every other one does nothing but be noted in the log.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType
from typing import Final

import anyio

log = logging.getLogger(__name__)

_MEANT: Final = ("INT", "TERM", "HUP", "QUIT", "KILL", "ABRT")
_FAULTS: Final = ("SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS", "EMT")
_NO_END: Final = (
    "STOP",
    "TSTP",
    "TTIN",
    "TTOU",
    "CONT",
    "CHLD",
    "CLD",
    "WINCH",
    "URG",
    "PIPE",
    "XFSZ",
    "INFO",
)
"""Those that end nothing; Python ignores two of them itself."""
NOTED: Final = 3
"""Times that a signal without a meaning is noted."""


async def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` at each of them, until cancelled."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.warning("%s: stopping", signal.Signals(number).name)
            stop()


class Heed:
    """Hears signals that must not end a role, for as long as its process lasts.

    Handlers only hand them on: they may come while the main thread holds any lock.
    """

    def __init__(self, reopen: Callable[[], None]) -> None:
        """`reopen`: opens the log anew; called on a thread of its own."""
        self._reopen = reopen
        self._came: SimpleQueue[int] = SimpleQueue()
        self._times: dict[int, int] = {}
        self._thread = threading.Thread(target=self._work, name="tm-signals", daemon=True)

    def begin(self) -> None:
        """From here on; on the main thread. Call it again when somebody has heard some of them meanwhile."""
        if not self._thread.is_alive():
            self._thread.start()
        for number in sorted(_without_meaning()):
            signal.signal(number, self.hear)
        self.hear_hangups()

    def hear_hangups(self) -> None:
        """SIGHUP again, after somebody else has heard it."""
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, self.hear)

    def hear(self, number: int, _frame: FrameType | None = None) -> None:
        """A signal handler."""
        self._came.put(number)

    def _work(self) -> None:
        while True:
            number = self._came.get()
            name = _name(number)
            if name == "SIGHUP":
                self._reopen()
                log.info("SIGHUP: the log is opened anew")
                continue
            self._times[number] = self._times.get(number, 0) + 1
            if self._times[number] <= NOTED:
                log.warning("%s: it means nothing to this program", name)


def _without_meaning() -> set[int]:
    """The signals that would end this process without anybody having meant that."""
    named = {getattr(signal, f"SIG{name}", 0) for name in (*_MEANT, *_FAULTS, *_NO_END)}
    return {int(number) for number in signal.valid_signals()} - {int(number) for number in named}


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of the numbered ones
        return f"signal {number}"
