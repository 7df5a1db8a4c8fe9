"""What a handler is given besides its payload: who it is, whether it is to stop, and a way to tell progress.

The same object in every runtime. Where its words go is the runtime's business; how many they may be is
decided here, and again by whoever receives them from another process.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Final

from ..core.text import count
from .failures import clean

OUTPUT_CAP: Final = 10 * 1024 * 1024
"""Bytes of output of one attempt that are passed on as they come; of what comes after only the end is."""
OUTPUT_END: Final = 64 * 1024
"""Bytes of that end."""
OUTPUT_CHUNK: Final = 64 * 1024
"""Largest piece of output that is reported at once."""
NOTE_BYTES: Final = 200
REPORT_INTERVAL: Final = 0.1
"""Seconds between two reports of one job; what comes between is joined, and of progress the newest stays."""

Send = Callable[[float | None, str, bytes], None]
"""Takes progress, note and output; callable from any thread."""


class JobCancelled(BaseException):
    """Ends a handler that was asked to stop. Not an `Exception`: a broad `except` must not swallow it."""


class Stop:
    """A request to stop that one thread makes and another one looks for."""

    __slots__ = ("_event", "_hook", "_lock")

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._hook: Callable[[], object] | None = None

    def set(self) -> None:
        """Ask for it; once is enough."""
        with self._lock:
            self._event.set()
            if self._hook is not None:
                self._hook()

    def is_set(self) -> bool:
        """Whether it was asked for."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until it is asked for, or so long; says whether it was."""
        return self._event.wait(seconds)

    def tell(self, hook: Callable[[], object] | None) -> None:
        """Call `hook` when it is asked for, at once if it was. None: call nobody any more."""
        with self._lock:
            self._hook = hook
            if hook is not None and self._event.is_set():
                hook()


class Context:
    """Given to a handler as `ctx`. Its methods may be called from any thread of the handler."""

    __slots__ = ("_send", "_stop", "attempt", "kind", "task")

    def __init__(self, task: int, attempt: int, kind: str, send: Send, stop: Stop | None = None) -> None:
        self.task = task
        """The task's id."""
        self.attempt = attempt
        """Which attempt this is; strictly growing for a task, so side effects can be fenced with it."""
        self.kind = kind
        self._send = send
        self._stop = stop or Stop()

    @property
    def cancelled(self) -> bool:
        """Whether the work is to end: it was cancelled or took too long."""
        return self._stop.is_set()

    def check_cancelled(self) -> None:
        """End the handler here if it is to stop.

        Raises:
            JobCancelled: it is; do not catch it, except to tidy up and raise it again.
        """
        if self._stop.is_set():
            raise JobCancelled

    def wait_cancelled(self, seconds: float) -> bool:
        """Sleep in a thread so long, or until the work is to end; says whether it is."""
        return self._stop.wait(seconds)

    def progress(self, fraction: float, note: str = "") -> None:
        """Tell how far the work is, from 0 to 1, and what it is at. Cheap: call it as often as you like."""
        done = float(fraction)
        self._send(0.0 if math.isnan(done) else min(1.0, max(0.0, done)), clean(str(note), NOTE_BYTES), b"")

    def write(self, text: str) -> None:
        """Output: live while the work runs, the end of it afterwards. The middle of 10 MiB is left out."""
        self._send(None, "", text.encode("utf-8", "replace"))


class Pending:
    """What one job wants to tell and has not told yet."""

    __slots__ = ("note", "output", "progress")

    def __init__(self) -> None:
        self.progress: float | None = None
        self.note = ""
        self.output = bytearray()

    def add(self, progress: float | None, note: str, output: bytes) -> None:
        """Join it with what is there; of progress only the newest is kept."""
        if progress is not None:
            self.progress, self.note = progress, note
        self.output += output


class Cap:
    """Lets so much output of one attempt pass; of what comes after it keeps the end. For any thread."""

    __slots__ = ("_end", "_left", "_lock", "_lost")

    def __init__(self, most: int) -> None:
        self._left, self._lost = most, 0
        self._end = bytearray()
        self._lock = threading.Lock()

    def take(self, output: bytes) -> bytes:
        """What of it passes."""
        if len(output) <= self._left:
            self._left -= len(output)  # two threads at once may both pass: by less than one call
            return output
        with self._lock:
            left = max(0, self._left)
            passes, rest = output[:left], output[left:]
            self._left -= len(passes)
            self._end += rest
            if len(self._end) > 2 * OUTPUT_END:  # seldom, because it moves what stays
                self._lose(len(self._end) - OUTPUT_END)
            return passes

    def _lose(self, count: int) -> None:
        del self._end[:count]
        self._lost += count

    def rest(self) -> bytes:
        """The end, once there is no more, after a word on how much lies before it."""
        with self._lock:
            self._lose(max(0, len(self._end) - OUTPUT_END))
            mark = (
                f"\n[taskmessenger: {count(self._lost, 'byte')} of output left out here]\n"
                if self._lost
                else ""
            )
            end, self._end, self._lost = bytes(self._end), bytearray(), 0
            return mark.encode() + end
