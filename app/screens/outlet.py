"""Writes to the terminal on a thread of its own. It never keeps its caller waiting, and never fails.

Textual's own waits for room in a queue of thirty: a terminal that is not read, or whose writer was stopped,
holds up the whole console for ever.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, TextIO

MAX_WAITING: Final = 4 << 20
"""Characters that wait to be written; what is more is left out, and the screen painted anew."""
BEHIND: Final = 256 << 10
"""Characters that wait, from which on no paint is made: the next one shows what is true then."""
PIECE: Final = 1_024
"""Bytes of one write: a terminal takes so many without keeping the thread."""
LOOK_SECONDS: Final = 0.1
STOP_SECONDS: Final = 2.0
"""How long the last bytes may take when the terminal is given back."""


class Outlet(threading.Thread):
    """What Textual's driver writes to."""

    def __init__(self, file: TextIO, caught_up: Callable[[], None]) -> None:
        """`caught_up` is called, on this thread, when paints were left out and room is there again."""
        super().__init__(daemon=True, name="console-output")
        self._file, self._caught_up = file, caught_up
        self._number = file.fileno()
        self._encoding = (file.encoding or "utf-8", file.errors or "replace")
        self._news = threading.Condition()
        self._waiting: deque[str] = deque()
        self._size = 0
        self._owed = False
        self._ending = False
        self._gone = False

    def write(self, text: str) -> None:
        """Put it behind what waits."""
        with self._news:
            if self._ending or self._gone:
                return
            if self._size + len(text) > MAX_WAITING:
                self._owed = True
                return
            self._waiting.append(text)
            self._size += len(text)
            self._news.notify()

    def has_room(self) -> bool:
        """Whether a paint would be seen soon. If not, `caught_up` tells when."""
        with self._news:
            behind = self._size > BEHIND
            self._owed |= behind
            return not behind

    def flush(self) -> None:
        """Writing is flushing."""

    def isatty(self) -> bool:
        """Whoever draws takes it for a terminal."""
        return True

    def fileno(self) -> int:
        """Of what it writes to."""
        return self._number

    def stop(self) -> None:
        """Write what waits, and end; not longer than a moment."""
        with self._news:
            self._ending = True
            self._news.notify()
        if self.is_alive():
            self.join(STOP_SECONDS)
        self._gone = True

    def run(self) -> None:
        """Until it is stopped."""
        while (text := self._next()) is not None:
            self._write(text.encode(*self._encoding))
            with self._news:
                self._size -= len(text)
                owed = self._owed and not self._size and not self._ending
                self._owed &= not owed
            if owed:
                self._caught_up()

    def _next(self) -> str | None:
        with self._news:
            while not self._waiting and not self._ending:
                self._news.wait()
            return self._waiting.popleft() if self._waiting else None

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view and not self._gone:
                if select.select([], [self._number], [], LOOK_SECONDS)[1]:
                    view = view[os.write(self._number, view[:PIECE]) :]
        except (OSError, ValueError):  # the terminal is gone: whoever reads from it finds out
            self._gone = True
