"""What has the terminal is closed by a signal, and the terminal is as it was before.

To a role beside its console signals mean what they mean to one without (`roles.signals`), whether the console
is open or has been closed. What only looks at a role is ended.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Self

from ..screens.surviving import close_soon, has_terminal
from .told import Told

if TYPE_CHECKING:
    from ..hosted import Hosted
    from ..roles.signals import Heed


LOOK_SECONDS: Final = 0.2
"""Between two looks whether a node has ended, or a signal has come."""


class Ending:
    """Hears the signals that end this process, on the main thread, from `begin` on."""

    def __init__(self) -> None:
        self._came: list[int] = []
        self._app: Any = None

    def begin(self, *, hangups: bool = False) -> Self:
        """From here on; `hangups`: SIGHUP is one of them."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if hangups and hasattr(signal, "SIGHUP"):
            numbers.append(signal.SIGHUP)
        for number in numbers:
            signal.signal(number, self.hear)
        return self

    def hear(self, number: int, _frame: FrameType | None = None) -> None:
        """A signal handler."""
        self._came.append(number)
        if self._app is not None:
            close_soon(self._app)

    def show(self, app: Any) -> Any:
        """What has the terminal until it is left, or one of those signals comes; its answer."""
        self._app = app
        try:
            return None if self._came else app.run()
        finally:
            self._app = None

    def check(self) -> None:
        """For what only looks.

        Raises:
            Told: one of those signals has come.
        """
        if self._came:
            raise Told(self._came[0])

    def outlive_the_terminal(self, heed: Heed) -> None:
        """Go on when the terminal is closed: what would be written to it goes nowhere."""

        def hang_up(number: int, frame: FrameType | None) -> None:
            if not has_terminal():
                let_go_of_terminal()
            heed.hear(number, frame)

        # What Textual leaves behind would draw on the terminal again; a session that ends sends this as well.
        for name in ("SIGCONT", "SIGTSTP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, hang_up)

    def wait(self, node: Hosted) -> None:
        """Until the node has ended by itself, or a signal wants its end."""
        while not self._came and node.running:
            node.wait(LOOK_SECONDS)

    def stop(self, node: Hosted) -> None:
        """End it in good order, within the time that is set; at once when a second signal comes."""
        patient = max(1, len(self._came))
        node.leave()
        while node.running and len(self._came) <= patient:
            node.wait(LOOK_SECONDS)
        if node.running:
            node.stop(0.0)


def let_go_of_terminal() -> None:
    """Standard streams that lead to it lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        with suppress(OSError):
            os.dup2(nowhere, number)
    os.close(nowhere)
