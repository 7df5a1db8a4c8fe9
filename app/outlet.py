"""Standard streams that are there, and standard output that takes all of it or says that it does not.

Comes first in every process of ours. What is started with one of the descriptors 0, 1 and 2 closed gets
/dev/null there, before something that must not be printed to is opened under that number. What a command
prints is written whole, however slow its reader is and however little of it a pipe takes at a time; when it
cannot be, `OutputLost` says why, once, and the rest goes nowhere. Standard error never fails, and never waits
long.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, Final, TextIO

from .core.errors import OutputLost

STREAMS: Final = ("stdin", "stdout", "stderr")
ERRORS: Final = "backslashreplace"
"""What becomes of characters that the terminal cannot show."""
PATIENCE_MS: Final = 500
"""How long standard error waits for room, once: a reader that stands still must not stop a role."""
PIECE: Final = 512
"""Bytes of one write to it: POSIX has room for so many where there is any."""
_GONE: Final = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN})


class _Whole(io.RawIOBase):
    """A descriptor that takes everything it is given, or loses the rest."""

    def __init__(self, number: int, *, tells: bool) -> None:
        super().__init__()
        self._number = number
        self.tells = tells
        """Whether a loss is an error."""
        self.lost: OSError | None = None
        self.writing = False
        """Whether somebody waits in `write` at this moment."""
        self._torn = False
        """The last line ended in its midst."""

    @property
    def name(self) -> str:
        """As that of the interpreter's own streams."""
        return f"<{STREAMS[self._number]}>"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def close(self) -> None:
        """The descriptor stays: it is the process's."""

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        if self.lost is not None and self.tells:
            return len(view)  # it has been said
        rest, self.writing = view, True
        try:
            if self._torn:
                self._some(memoryview(b"\n"))
            while rest:
                rest = rest[self._some(rest) :]
            self.lost, self._torn = None, False
        except OSError as error:
            self.lost, self._torn = error, self._torn or len(rest) < len(view)
            if self.tells:
                raise OutputLost(_why(error)) from error
        finally:
            self.writing = False
        return len(view)

    def _some(self, data: memoryview) -> int:
        """Write what goes; a descriptor that does not block is waited for."""
        if not self.tells:
            self._expect_room()
            return os.write(self._number, data[:PIECE])
        while True:
            try:
                return os.write(self._number, data)
            except BlockingIOError:
                self._has_room(None)

    def _expect_room(self) -> None:
        """A log that nobody reads is left out, and the log file has it.

        Raises:
            BlockingIOError: there is none, and none comes soon.
        """
        if not self._has_room(0 if self.lost is not None else PATIENCE_MS):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _has_room(self, milliseconds: int | None) -> bool:
        import select

        ready = select.poll()
        ready.register(self._number, select.POLLOUT)
        return bool(ready.poll(milliseconds))


def _why(error: OSError) -> str:
    return f"standard output cannot be written ({error.strerror}): what this command printed is not all there"


def provide() -> None:
    """Have descriptors 0, 1 and 2, and streams on them. Before anything else opens a file."""
    for number, name in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            fill(number)
        if getattr(sys, name) is None:
            stream = os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def fill(number: int) -> None:
    """This descriptor leads nowhere, also for programs that are started."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != number:
            os.dup2(nowhere, number)
            os.close(nowhere)
        os.set_inheritable(number, True)


def put_in_place() -> None:
    """Write whole from here on; streams that somebody else has put there stay."""
    for number, tells in ((1, True), (2, False)):
        name = STREAMS[number]
        now = getattr(sys, name)
        if not _is_own(now, number):
            if isinstance(now, io.TextIOWrapper):
                now.reconfigure(errors=ERRORS)
            continue
        now.flush()
        whole = io.BufferedWriter(_Whole(number, tells=tells))
        lines = now.line_buffering or number == 2  # noqa: PLR2004  standard error
        stream = io.TextIOWrapper(whole, now.encoding, ERRORS, newline="\n", line_buffering=lines)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _is_own(stream: Any, number: int) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        buffer = stream.buffer
        own = isinstance(buffer, io.FileIO) or isinstance(getattr(buffer, "raw", None), io.FileIO)
        return isinstance(stream, io.TextIOWrapper) and own and stream.fileno() == number
    return False


def _whole(stream: TextIO | None) -> _Whole | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Whole) else None


def has_no_results() -> None:
    """For a process that prints none: what cannot be written to standard output is nobody's loss."""
    if (whole := _whole(sys.__stdout__)) is not None:
        whole.tells = False


def is_writing() -> bool:
    """Whether this thread's process waits for the reader of standard output."""
    whole = _whole(sys.stdout)
    return whole is not None and whole.writing


def reader_left() -> bool:
    """Whether output was lost because nobody reads it any more, which is no fault."""
    whole = _whole(sys.stdout)
    return whole is not None and whole.lost is not None and whole.lost.errno in _GONE


def give_up() -> None:
    """Whoever waits for the reader shall not: what was not written is lost, and that has been said."""
    whole = _whole(sys.stdout)
    if whole is not None and whole.lost is None:
        whole.lost = InterruptedError(errno.EINTR, os.strerror(errno.EINTR))


def finish() -> None:
    """The end of what is printed.

    Raises:
        OutputLost: it is not all there, whether somebody has said so or not.
    """
    sys.stdout.flush()
    whole = _whole(sys.stdout)
    if whole is not None and whole.tells and whole.lost is not None:
        raise OutputLost(_why(whole.lost))
